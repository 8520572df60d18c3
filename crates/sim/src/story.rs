//! One story from a seed: trouble for a while, then peace, in which the site has to settle; or nothing but
//! deployments, which visitors must never notice.

use crate::world::World;
use crate::{faults, truth};
use stoa_decide::Input;
use stoa_model::deployment::Phase;
use stoa_model::intent::Power;
use stoa_model::{Plan, Time};

/// How a story went that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Plans that were made.
    pub plans: u32,
    /// Seconds from the end of trouble until the site had settled.
    pub settled_after: u64,
}

/// A story that broke a rule or did not settle.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What replays it.
    pub seed: u64,
    /// Which rule was broken, and how.
    pub what: String,
    /// Everything that happened.
    pub trace: Vec<String>,
}

/// Peace must be enough for the longest grace of a stop, several times over.
const PEACE: u64 = 15 * 60_000;

/// Plays the story of `seed`.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed);
    let outcome = play(&mut world);
    outcome.map_err(|what| Box::new(Failure { seed, what, trace: world.trace }))
}

/// Plays the story of `seed` in which nothing goes wrong but releases and the daemon.
pub fn run_deployments(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed);
    let outcome = deploy_all_day(&mut world);
    outcome.map_err(|what| Box::new(Failure { seed, what, trace: world.trace }))
}

fn deploy_all_day(world: &mut World) -> Result<Summary, String> {
    let mut plans = come_to_rest(world)?.plans;
    world.unnoticed = true;
    let orders = world.rng.within(1, 12);
    for _ in 0..orders {
        faults::order_something(world);
        let next = Time(world.now.0 + world.rng.within(100, 40_000));
        while world.now < next {
            plans += u32::from(turn(world)?.is_some());
        }
    }
    let rest = come_to_rest(world)?;
    truth::ended_for_a_reason(world)?;
    Ok(Summary { plans: plans + rest.plans, ..rest })
}

fn play(world: &mut World) -> Result<Summary, String> {
    let mut plans = 0;
    let trouble_ends = Time(world.now.0 + world.rng.within(0, 150_000));
    let mut next_fault = Time(world.now.0 + world.rng.within(100, 30_000));
    while world.now < trouble_ends {
        if world.now >= next_fault {
            faults::strike(world);
            next_fault = Time(world.now.0 + world.rng.within(100, 9_000));
        }
        plans += u32::from(turn(world)?.is_some());
    }
    faults::end(world);
    let rest = come_to_rest(world)?;
    Ok(Summary { plans: plans + rest.plans, ..rest })
}

/// Nothing happens any more: the site has to settle, and to stay so.
fn come_to_rest(world: &mut World) -> Result<Summary, String> {
    let mut plans = 0;
    let peace = world.now;
    loop {
        let watched = world.roster.deployment.as_ref().is_some_and(|d| d.phase == Phase::Watch);
        let plan = turn(world)?;
        plans += u32::from(plan.is_some());
        let off = world.intent.power == Power::Off;
        // What was begun before, such as the build of a release that is no longer wanted, comes to its end.
        let idle = world.daemon.as_ref().is_some_and(|daemon| daemon.jobs.is_empty());
        if plan.as_ref().is_some_and(Plan::settled) && (!watched || off) && idle {
            truth::is_as_asked(world).map_err(|what| format!("settled, but {what}"))?;
            let settled_after = world.now.since(peace).0 / 1000;
            stays_settled(world)?;
            return Ok(Summary { plans, settled_after });
        }
        if world.now.since(peace).0 > PEACE {
            let waiting = plan.map(|plan| format!("{:#?}", plan.waiting)).unwrap_or_default();
            return Err(format!("not settled {PEACE} ms after the last trouble; waiting for {waiting}"));
        }
    }
}

fn stays_settled(world: &mut World) -> Result<(), String> {
    for _ in 0..5 {
        if let Some(plan) = turn(world)?
            && !plan.settled()
        {
            return Err(format!("unsettled without a cause: {:#?} {:#?}", plan.steps, plan.waiting));
        }
    }
    Ok(())
}

/// A moment passes, and the daemon, where it lives, looks, decides and acts.
fn turn(world: &mut World) -> Result<Option<Plan>, String> {
    let moment = world.rng.within(50, 1_500);
    world.pass(moment);
    if world.daemon.is_none() && world.now >= world.daemon_back {
        world.start_daemon();
    }
    for action in std::mem::take(&mut world.left_half_done) {
        world.half_done(&action)?;
    }
    world.databases_go_on()?;
    world.work()?;
    world.look();
    let plan = if world.daemon.is_some() { Some(decide(world)?) } else { None };
    world.push_routes();
    truth::forgive_meddling(world);
    truth::one_writable(world)?;
    truth::only_proven_is_sent_to(world)?;
    truth::enough_can_serve(world)?;
    Ok(plan)
}

fn decide(world: &mut World) -> Result<Plan, String> {
    let observed = world.observe();
    let input = Input {
        intent: &world.intent,
        roster: &world.roster,
        routes: &world.routes,
        demand: &world.demand,
        observed: &observed,
        paths: &world.paths,
        now: world.now,
    };
    let plan = stoa_decide::plan(&input);
    if let Err(refused) = stoa_decide::check(&input, &plan) {
        let all: Vec<_> = refused.iter().map(ToString::to_string).collect();
        return Err(format!("the plan is refused: {}", all.join("; ")));
    }
    let dies_between = world.rng.chance(1) && world.failing_steps > 0;
    world.adopt(&plan, dies_between)?;
    Ok(plan)
}
