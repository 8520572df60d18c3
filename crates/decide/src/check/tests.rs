//! Plans that nobody should make, each refused for its own reason.

use super::{Rule, check};
use crate::tests::scene::{Scene, id, release};
use stoa_model::deployment::TaskState;
use stoa_model::observed::{DataState, Health, ProcessState};
use stoa_model::plan::{TaskId, TaskKind};
use stoa_model::routes::Canary;
use stoa_model::site::CommandLine;
use stoa_model::{Action, DeployNumber, HostId, InstanceId, Millis, Plan, Spec, Step, Term, Time};

fn rules(scene: &Scene, plan: &Plan) -> Vec<Rule> {
    let observed = scene.observed();
    let refused = check(&scene.input(&observed), plan).err().unwrap_or_default();
    let mut rules: Vec<_> = refused.into_iter().map(|refusal| refusal.rule).collect();
    rules.dedup();
    rules
}

fn step(action: Action) -> Step {
    Step { host: HostId::local(), action, because: "a test".to_owned() }
}

fn stop(instance: &str) -> Step {
    step(Action::Stop { instance: id(instance), grace: Millis(1) })
}

fn promote(instance: InstanceId, term: u64) -> Step {
    step(Action::Promote { instance, term: Term(term), wait: true })
}

fn spec(scene: &Scene, instance: &str) -> Spec {
    let observed = scene.observed();
    crate::spec::of(&scene.input(&observed), &scene.roster, id(instance)).unwrap()
}

#[test]
fn two_writable_primaries() {
    let mut scene = Scene::settled();
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    assert_eq!(rules(&scene, &with(vec![promote(id("database-1"), 1)])), []);
    assert_eq!(rules(&scene, &with(vec![promote(id("database-2"), 1)])), [Rule::OnePrimary]);
    assert_eq!(rules(&scene, &with(vec![promote(id("database-1"), 0)])), [Rule::OnePrimary]);
    let mut other = plan.clone();
    other.roster.primary = Some(id("database-2"));
    other.routes.sql.primary = None;
    other.routes.generation = other.routes.generation.next();
    assert_eq!(rules(&scene, &other), [Rule::OnePrimary], "another primary needs another term");
    other.roster.term = Term(0);
    assert_eq!(rules(&scene, &other), [Rule::OnePrimary]);
    scene.status(id("database-2")).writable = true;
    assert_eq!(rules(&scene, &with(vec![promote(id("database-1"), 1)])), [Rule::OnePrimary]);
    scene.seen("database-2").process = ProcessState::Unknown;
    assert_eq!(rules(&scene, &with(vec![promote(id("database-1"), 1)])), [Rule::OnePrimary]);
}

#[test]
fn routes_to_what_is_not_proven() {
    let scene = Scene::settled();
    let mut plan = scene.plan();
    plan.routes.generation = plan.routes.generation.next();
    plan.routes.app[0].started = Time(1);
    assert!(rules(&scene, &plan).contains(&Rule::ProvenRoutes), "another start is another process");

    let mut dead = Scene::settled();
    dead.died("app-1", 1);
    let plan = Plan { routes: dead.routes.clone(), ..dead.plan() };
    assert_eq!(rules(&dead, &plan), [Rule::ProvenRoutes]);

    let mut scene = Scene::settled();
    let all = scene.routes.clone();
    scene.routes.app.remove(0);
    scene.running(id("app-1")).health = Health::Unproven(None);
    let mut plan = scene.plan();
    plan.routes = stoa_model::Routes { generation: scene.generation().next(), ..all };
    assert_eq!(rules(&scene, &plan), [Rule::ProvenRoutes]);
}

#[test]
fn changed_routes_in_the_same_generation() {
    let scene = Scene::settled();
    let mut plan = scene.plan();
    plan.routes.app_face.timeout = Millis(1);
    assert_eq!(rules(&scene, &plan), [Rule::Generations]);
    let mut plan = scene.plan();
    plan.routes.generation = plan.routes.generation.next();
    assert_eq!(rules(&scene, &plan), [Rule::Generations]);
}

#[test]
fn stops_that_visitors_would_notice() {
    let scene = Scene::settled();
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    assert!(rules(&scene, &with(vec![stop("app-1")])).contains(&Rule::NoStopWhileRouted));
    assert_eq!(rules(&scene, &with(vec![stop("balancer-1")])), []);
    assert_eq!(rules(&scene, &with(vec![stop("balancer-1"), stop("balancer-2")])), [Rule::Minimum]);
    let both = with(vec![stop("database-1"), stop("database-2")]);
    assert_eq!(rules(&scene, &both), [Rule::NoStopWhileRouted, Rule::Minimum]);
    let mut fewer = plan.clone();
    fewer.routes.app.remove(0);
    fewer.routes.generation = fewer.routes.generation.next();
    assert_eq!(rules(&scene, &fewer), [Rule::Minimum]);
}

#[test]
fn what_destroys_on_what_is_not_known() {
    let mut scene = Scene::settled();
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    let prepare = step(Action::Prepare { instance: id("database-2"), spec: spec(&scene, "database-2") });
    assert_eq!(rules(&scene, &with(vec![prepare.clone()])), [Rule::UnknownIsNotDead]);
    scene.died("database-2", 0);
    scene.seen("database-2").data = DataState::Unknown;
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    assert_eq!(rules(&scene, &with(vec![prepare])), [Rule::UnknownIsNotDead]);
    scene.seen("cache-1").process = ProcessState::Unknown;
    assert_eq!(rules(&scene, &with(vec![stop("cache-1")])), [Rule::UnknownIsNotDead]);
    scene.now = scene.now + Millis(11_000);
    assert_eq!(rules(&scene, &with(vec![stop("balancer-1")])), [Rule::UnknownIsNotDead]);
}

#[test]
fn two_servers_at_one_endpoint_and_steps_without_a_place() {
    let scene = Scene::settled();
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    let spec = spec(&scene, "app-1");
    let start = |instance| step(Action::Start { instance: id(instance), spec: spec.clone() });
    assert_eq!(rules(&scene, &with(vec![start("app-1")])), []);
    assert_eq!(rules(&scene, &with(vec![start("app-2")])), [Rule::OwnEndpoint]);
    assert!(rules(&scene, &with(vec![start("app-9")])).contains(&Rule::HasPlace));
    assert_eq!(rules(&scene, &with(vec![stop("cache-9")])), [], "a process without a place may be stopped");
}

#[test]
fn what_a_deployment_must_never_do() {
    let scene = Scene::settled();
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    let share = |release, percent| {
        let mut plan = plan.clone();
        plan.routes.canary = Some(Canary { release, percent });
        plan.routes.generation = plan.routes.generation.next();
        plan
    };
    assert_eq!(rules(&scene, &share(release(1), 5)), []);
    assert_eq!(rules(&scene, &share(release(2), 5)), [Rule::CanaryShare]);
    assert_eq!(rules(&scene, &share(release(1), 100)), [Rule::CanaryShare]);
    let remove = |number| step(Action::Remove { release: release(number) });
    assert_eq!(rules(&scene, &with(vec![remove(1)])), [Rule::RemoveUnused]);
    assert_eq!(rules(&scene, &with(vec![remove(7)])), []);
}

#[test]
fn a_task_again_or_of_another_deployment() {
    let mut scene = Scene::settled();
    let plan = scene.plan();
    let run = |deploy| {
        let task = TaskId { kind: TaskKind::Migrate, deploy: DeployNumber(deploy) };
        let Spec::App(app) = spec(&scene, "app-1") else { panic!("no application") };
        let command = CommandLine::parse("./migrate").unwrap();
        step(Action::Run { task, command, spec: Box::new(app), timeout: Millis(1) })
    };
    let (own, other) = (run(0), run(1));
    let with = |step: &Step| Plan { steps: vec![step.clone()], ..plan.clone() };
    assert_eq!(rules(&scene, &with(&own)), []);
    assert_eq!(rules(&scene, &with(&other)), [Rule::TasksOnce]);
    let task = TaskId { kind: TaskKind::Migrate, deploy: DeployNumber(0) };
    for state in [TaskState::Running { since: scene.now }, TaskState::Done] {
        scene.host.tasks.insert(task, state);
        assert_eq!(rules(&scene, &with(&own)), [Rule::TasksOnce]);
    }
}

#[test]
fn pages_before_their_files() {
    let mut scene = Scene::settled();
    let plan = scene.plan();
    scene.routes.app.remove(0);
    scene.host.static_roots.clear();
    let mut plan = Plan { routes: plan.routes.clone(), ..plan };
    plan.routes.generation = plan.routes.generation.next();
    assert_eq!(rules(&scene, &plan), [Rule::FilesFirst]);
}

#[test]
fn a_primary_that_may_lack_what_was_acknowledged() {
    let mut scene = Scene::settled();
    scene.died("database-1", 0);
    scene.pass(100);
    let good = scene.plan();
    assert_eq!(good.roster.primary, Some(id("database-2")));
    assert_eq!(rules(&scene, &good), []);
    let degraded = |scene: &mut Scene| {
        let (since, because) = (scene.now, "a test".to_owned());
        let degraded = stoa_model::cluster::Degraded { since, because, goal: None };
        scene.roster.database.degraded = Some(degraded);
    };
    let nobody = |scene: &mut Scene| scene.roster.database.acknowledgers.clear();
    let owing = |scene: &mut Scene| {
        scene.roster.database.owing.insert(id("database-2"), "0-1-9".parse().unwrap());
    };
    let silent = |scene: &mut Scene| scene.seen("database-2").process = ProcessState::Unknown;
    for loss in [degraded, nobody, owing, silent] as [fn(&mut Scene); 4] {
        let mut scene = scene.clone();
        loss(&mut scene);
        assert!(rules(&scene, &good).contains(&Rule::NothingLost));
    }
}

#[test]
fn data_that_may_be_needed() {
    let mut scene = Scene::settled();
    scene.died("database-2", 0);
    let plan = scene.plan();
    let with = |steps: Vec<Step>| Plan { steps, ..plan.clone() };
    let discard = |instance| step(Action::Discard { instance: id(instance) });
    assert_eq!(rules(&scene, &with(vec![discard("database-2")])), []);
    assert!(rules(&scene, &with(vec![discard("database-1")])).contains(&Rule::DataKept));
    scene.status(id("database-1")).writable = false;
    assert!(
        rules(&scene, &with(vec![discard("database-2")])).contains(&Rule::DataKept),
        "nobody takes writes"
    );
    let salvage = Action::Salvage { instance: id("database-1"), beyond: Default::default(), term: Term(1) };
    assert!(rules(&scene, &with(vec![step(salvage)])).contains(&Rule::UnknownIsNotDead), "it runs");
}

#[test]
fn writes_to_another_than_the_primary_of_the_term() {
    let scene = Scene::settled();
    let plan = scene.plan();
    let mut other = plan.clone();
    other.routes.generation = other.routes.generation.next();
    let replica = other.routes.sql.replicas.pop();
    other.routes.sql.primary = replica;
    assert_eq!(rules(&scene, &other), [Rule::PrimaryRoute]);
    let mut stale = plan;
    stale.routes.generation = stale.routes.generation.next();
    stale.routes.sql.term = Term(0);
    assert_eq!(rules(&scene, &stale), [Rule::PrimaryRoute]);
}
