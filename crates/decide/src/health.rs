//! What checks say of running processes: what is proven is remembered, what is hopeless is stopped so
//! that it is started anew. Never stops what still serves.

use crate::drain;
use crate::failover;
use crate::planner::{self, Planner};
use crate::sight::Standing;
use stoa_model::observed::{Health, Running};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Millis, Tier};

/// A proven process that answers no check for this long hangs ...
const HUNG_FOR: Millis = Millis::from_secs(30);
/// ... when it was asked at least this often.
const HUNG_STREAK: u32 = 10;

/// Writes down which processes have been healthy since they started: a restarted daemon's checks begin
/// anew, but a process that served must not be taken for one that never did.
pub(crate) fn remember_what_is_proven(plan: &mut Planner<'_>) {
    let sight = plan.sight();
    for (id, place) in &mut plan.roster.instances {
        let Some(running) = sight.running(*id) else { continue };
        match &running.health {
            Health::Unproven(Some(_)) if place.proven == Some(running.started) => {
                place.doubted.get_or_insert(sight.input.now);
                continue;
            }
            Health::Unproven(_) => {}
            Health::Healthy { .. } | Health::Failing { .. } => place.proven = Some(running.started),
        }
        place.doubted = None;
    }
}

/// Stops what has not become healthy in its time, what hangs, and what was never proven and runs as
/// something that is no longer wanted. Says what is wrong with the others.
pub(crate) fn stop_the_hopeless(plan: &mut Planner<'_>) {
    for tier in Tier::ALL {
        for id in plan.staying(tier) {
            if let Some(running) = plan.sight().running(id) {
                judge(plan, id, running);
            }
        }
    }
}

fn judge(plan: &mut Planner<'_>, id: InstanceId, running: &Running) {
    if running.stopping {
        plan.wait(WaitKind::Progress, id, "it has stopped; then it is started again");
        return;
    }
    match plan.sight().standing(id, running) {
        Standing::Healthy => {}
        Standing::Unchecked => plan.wait(WaitKind::Progress, id, "its first check passes again"),
        Standing::Wavering(why) => {
            plan.wait(WaitKind::Progress, id, format!("its check passes again: {why}"))
        }
        Standing::Failing(why) => failing(plan, id, running, why),
        Standing::Unproven(why) => unproven(plan, id, running, why),
    }
}

fn unproven(plan: &mut Planner<'_>, id: InstanceId, running: &Running, why: Option<&str>) {
    let limit = plan.spec(id).map_or(Millis::from_secs(60), |spec| spec.start_timeout());
    let age = plan.input.now.since(running.started);
    // A bad answer is no trouble yet of what has just begun, but it is of what should be there by now.
    let trouble = running.crashes > 0 || (why.is_some() && age.0 > limit.0 / 2);
    let why = why.unwrap_or("no check was answered yet");
    if plan.runs_outdated(id) {
        let because = format!("{id} was never healthy and runs as something no longer wanted: {why}");
        stop(plan, id, because);
    } else if age > limit && !waits_for_room(plan, id) {
        stop(plan, id, format!("{id} did not become healthy within {limit} of its start: {why}"));
    }
    let before = match running.crashes {
        0 => String::new(),
        n => format!("; it ended {} before", planner::times(n)),
    };
    let kind = if trouble { WaitKind::Trouble } else { WaitKind::Progress };
    plan.wait(kind, id, format!("it is healthy, within {limit} of its start{before}: {why}"));
}

fn failing(plan: &mut Planner<'_>, id: InstanceId, running: &Running, why: &str) {
    plan.wait(WaitKind::Trouble, id, format!("its check passes again; {}: {why}", checks_failed(running)));
    if !hangs(plan, id, running) {
        return;
    }
    // A role that retires serves on until another one does: it is enough to let this one go.
    let stays = |other: &InstanceId| id.tier.is_role() || plan.staying(id.tier).contains(other);
    let all = plan.roster.tier(id.tier).map(|(other, _)| other);
    let others = all.filter(|other| *other != id && stays(other) && plan.sight().serves(*other));
    // A hanging replica serves nobody, and what may be writable in it holds up its primary.
    let replica = id.tier == Tier::Database && plan.roster.primary != Some(id);
    if waits_for_room(plan, id) {
        return;
    }
    if others.count() == 0 && !replica {
        return;
    }
    let because = format!("{id} has failed its checks for more than {HUNG_FOR}: {why}");
    if id.tier == Tier::Database {
        // It answers nobody, so it would not hear a request to end either; it recovers as after a crash.
        plan.step(Action::Stop { instance: id, grace: Millis(0) }, because);
        return;
    }
    stop(plan, id, because);
}

/// A replica whose disk is full answers nobody while it waits for room, and would do so again when it is started
/// anew. Where its primary does not take writes yet, what may be writable in it comes first.
fn waits_for_room(plan: &Planner<'_>, id: InstanceId) -> bool {
    let primary = plan.roster.primary.filter(|primary| *primary != id && id.tier == Tier::Database);
    primary.is_some_and(|primary| failover::leads(plan, primary)) && plan.sight().full(id).is_some()
}

fn hangs(plan: &Planner<'_>, id: InstanceId, running: &Running) -> bool {
    let long_ago = |since| plan.input.now.since(since) > HUNG_FOR;
    match &running.health {
        Health::Failing { since, streak, .. } => long_ago(*since) && *streak >= HUNG_STREAK,
        _ => plan.roster.instances.get(&id).and_then(|place| place.doubted).is_some_and(long_ago),
    }
}

fn checks_failed(running: &Running) -> String {
    match &running.health {
        Health::Failing { streak, .. } if *streak >= HUNG_STREAK => "it hangs".to_owned(),
        Health::Failing { streak, .. } => format!("{streak} failed in a row"),
        _ => "all failed since this daemon runs".to_owned(),
    }
}

/// Stops an instance in its place, once no balancer sends anything to it.
pub(crate) fn stop(plan: &mut Planner<'_>, id: InstanceId, because: String) {
    if matches!(id.tier, Tier::App | Tier::Web)
        && let Err(until) = drain::acknowledged(plan, id)
    {
        plan.wait(WaitKind::Progress, id, until);
        return;
    }
    let grace = plan.spec(id).map_or(drain::GRACE, |spec| spec.stop_timeout());
    plan.step(Action::Stop { instance: id, grace }, because);
}
