//! What holds for every plan.

use super::scene::{Scene, release};
use crate::{check, plan};
use proptest::prelude::*;
use stoa_model::intent::Power;
use stoa_model::observed::ReleaseState;
use stoa_model::{InstanceId, Tier};

/// Something that happens to a scene.
#[derive(Debug, Clone)]
enum Event {
    Dies(u8, u32),
    Fails(u8, u32),
    Scale(u8, u16),
    Restart(u8),
    Deploy,
    Configure(u8, u64),
    Power(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<u8>(), 0..6u32).prop_map(|(who, crashes)| Event::Dies(who, crashes)),
        (any::<u8>(), 1..60u32).prop_map(|(who, streak)| Event::Fails(who, streak)),
        (any::<u8>(), 1..5u16).prop_map(|(tier, count)| Event::Scale(tier, count)),
        any::<u8>().prop_map(Event::Restart),
        Just(Event::Deploy),
        (any::<u8>(), 2..9u64).prop_map(|(what, value)| Event::Configure(what, value)),
        any::<bool>().prop_map(Event::Power),
    ]
}

fn happen(scene: &mut Scene, event: &Event) {
    let tier = |n: u8| Tier::ALL[usize::from(n) % Tier::ALL.len()];
    let running = |scene: &Scene, n: u8| -> Option<InstanceId> {
        let alive = |seen: &stoa_model::observed::InstanceObserved| {
            matches!(seen.process, stoa_model::observed::ProcessState::Running(_))
        };
        let all: Vec<_> =
            scene.host.instances.iter().filter(|(_, seen)| alive(seen)).map(|(id, _)| *id).collect();
        (!all.is_empty()).then(|| all[usize::from(n) % all.len()])
    };
    match event {
        Event::Dies(who, crashes) => {
            if let Some(id) = running(scene, *who) {
                scene.died(&id.to_string(), *crashes);
            }
        }
        Event::Fails(who, streak) => {
            if let Some(id) = running(scene, *who) {
                scene.fails(&id.to_string(), *streak, u64::from(*streak) * 1_000);
            }
        }
        Event::Scale(which, count) => {
            scene.intent.scale.insert(tier(*which), *count);
        }
        Event::Restart(which) => *scene.intent.restarts.entry(tier(*which)).or_default() += 1,
        Event::Deploy => {
            let next = release(scene.intent.release.number() + 1);
            scene.host.releases.insert(next.clone(), ReleaseState::Taken);
            scene.intent.release = next;
        }
        Event::Configure(what, value) => match what % 3 {
            0 => scene.intent.site.web.max_body.0 = *value,
            1 => scene.intent.site.database.as_mut().unwrap().memory.0 = *value,
            _ => scene.intent.site.app.as_mut().unwrap().stop_timeout.0 = *value * 1_000,
        },
        Event::Power(on) => scene.intent.power = if *on { Power::On } else { Power::Off },
    }
}

/// Everybody whose checks fail is well again.
fn recover(scene: &mut Scene) {
    use stoa_model::observed::{Health, ProcessState};
    let now = scene.now;
    for seen in scene.host.instances.values_mut() {
        if let ProcessState::Running(running) = &mut seen.process {
            running.health = Health::Healthy { since: now, last: now, passes: 9 };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any events, any part of each plan's steps done: every plan is safe and the same when made twice, and in
    /// the end the site settles.
    #[test]
    fn a_plan_interrupted_anywhere_and_decided_again_converges(
        events in prop::collection::vec((event(), any::<u16>()), 1..12),
    ) {
        let mut scene = Scene::settled();
        for (event, done) in events {
            happen(&mut scene, &event);
            let observed = scene.observed();
            let input = scene.input(&observed);
            let made = plan(&input);
            prop_assert_eq!(check(&input, &made), Ok(()));
            prop_assert_eq!(&plan(&input), &made);
            scene.adopt(&made, |index| done >> (index % 16) & 1 == 1);
        }
        recover(&mut scene);
        scene.settle();
        let plan = scene.plan();
        prop_assert!(plan.settled());
        prop_assert_eq!(plan.roster, scene.roster);
        prop_assert_eq!(plan.routes, scene.routes);
    }
}
