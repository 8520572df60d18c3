//! Auto-scaling within a plan.

use super::tier::Tier as Fluid;
use crate::tests::scene::Scene;
use stoa_model::site::Count;
use stoa_model::{Demand, Millis, Tier};

fn scene() -> Scene {
    let mut scene = Scene::new();
    let app = scene.intent.site.app.as_mut().unwrap();
    app.instances = Count { min: 2, max: 6 };
    app.concurrency = Some(4);
    scene.settle();
    scene
}

/// What was measured until now.
fn demand(scene: &Scene, rate: f64) -> Demand {
    let mut fluid = Fluid::new(super::tier::rules());
    fluid.now = scene.now - Millis::from_secs(60);
    fluid.seconds(60, rate);
    fluid.demand
}

#[test]
fn a_range_is_decided_and_a_fixed_count_is_forgotten() {
    let mut scene = scene();
    assert_eq!(scene.plan().roster.scaling.get(&Tier::App).unwrap().wanted, 2);
    assert!(!scene.plan().roster.scaling.contains_key(&Tier::Web), "two are two");
    scene.demand.insert(Tier::App, demand(&scene, 60.0));
    let plan = scene.plan();
    let wanted = plan.roster.scaling.get(&Tier::App).unwrap().wanted;
    assert!(wanted > 3, "{:?}", plan.roster.scaling);
    assert_eq!(plan.roster.tier(Tier::App).count(), usize::from(wanted), "brought about in the same plan");
    scene.roster = plan.roster;
    scene.intent.scale.insert(Tier::App, 3);
    assert!(scene.plan().roster.scaling.is_empty(), "typed by the operator");
}

#[test]
fn what_is_measured_no_more_stays_as_it_is_and_that_is_said() {
    let mut scene = scene();
    scene.demand.insert(Tier::App, demand(&scene, 60.0));
    scene.roster = scene.plan().roster;
    let wanted = scene.roster.scaling.get(&Tier::App).unwrap().wanted;
    let old = demand(&scene, 1.0);
    let samples = old.samples.into_iter().map(|sample| {
        let at = sample.at - Millis::from_secs(40);
        stoa_model::demand::Sample { at, ..sample }
    });
    scene.demand.insert(Tier::App, Demand { samples: samples.collect(), same_hour: Default::default() });
    let plan = scene.plan();
    assert_eq!(plan.roster.scaling.get(&Tier::App).unwrap().wanted, wanted);
    assert!(plan.waiting.iter().any(|wait| wait.until.contains("measured again")), "{:?}", plan.waiting);
}

#[test]
fn at_the_most_that_is_allowed_and_over_target_is_said() {
    let mut scene = scene();
    scene.demand.insert(Tier::App, demand(&scene, 900.0));
    let plan = scene.plan();
    assert_eq!(plan.roster.scaling.get(&Tier::App).unwrap().wanted, 6);
    let said = "requests wait no longer than 100 ms; it has 6, the most that are allowed";
    assert!(plan.waiting.iter().any(|wait| wait.until == said), "{:?}", plan.waiting);
}

#[test]
fn the_web_tier_is_scaled_by_its_processors() {
    let mut scene = Scene::new();
    scene.intent.site.web.instances = Count { min: 1, max: 6 };
    scene.settle();
    let mut busy = demand(&scene, 10.0);
    busy.samples.iter_mut().for_each(|sample| sample.concurrency = 2.5);
    scene.demand.insert(Tier::Web, busy);
    assert_eq!(scene.plan().roster.scaling.get(&Tier::Web).unwrap().wanted, 4);
}
