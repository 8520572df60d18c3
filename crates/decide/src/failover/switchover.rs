//! The planned change of primary, and the planned restart of one that has no replica to hand over to.
//!
//! Statements are held (routes without a primary), what is under way ends or is ended, the primary is fenced,
//! the candidate catches up, it is promoted. Until then it costs nothing to go back: the primary is let take
//! writes again, in a new term.

use super::{appoint, diagnosis, leads};
use crate::bring_up::database;
use crate::drain;
use crate::planner::Planner;
use diagnosis::Replica;
use stoa_model::cluster::{Handover, HandoverKind, Switchover, SwitchoverOrder, SwitchoverState};
use stoa_model::observed::DatabaseStatus;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Millis, Tier};

/// What is under way at the primary may take so long; then its sessions are ended.
const DRAIN: Millis = Millis::from_secs(5);
/// After one that was given up, none is begun for so long unless it is asked for.
const PAUSE: Millis = Millis::from_secs(30);
/// All of it, up to the fencing and catching up, may take so long; then it is given up.
const LIMIT: Millis = Millis::from_secs(20);

/// Takes up an order, and takes what is under way a step further.
pub(crate) fn advance(plan: &mut Planner<'_>) {
    take_up(plan);
    let Some(handover) = plan.roster.database.handover.clone() else { return };
    if handover.kind != HandoverKind::Switchover || plan.roster.primary != Some(handover.from) {
        return;
    }
    if handover.to == handover.from {
        return restart(plan, &handover);
    }
    if let Err(why) = fit(plan, handover.to) {
        return give_up(plan, &handover, why);
    }
    if plan.input.now.since(handover.since) > LIMIT {
        return give_up(plan, &handover, format!("it was not done within {LIMIT}"));
    }
    let (from, to) = (handover.from, handover.to);
    plan.wait(WaitKind::Progress, from, format!("{to} takes over: {}", handover.because));
    let Some(status) = plan.sight().answer(from) else { return };
    if status.writable {
        if emptied(plan, &handover) {
            plan.step(Action::Fence { instance: from }, format!("{to} takes over: {}", handover.because));
        }
        return;
    }
    match plan.sight().answer(to) {
        Some(candidate) if candidate.holds().contains(&status.gtid) => appoint(plan, to),
        _ => plan.wait(WaitKind::Progress, to, format!("it has everything that {from} has")),
    }
}

/// Whether statements for the primary are held.
pub(crate) fn holds(plan: &Planner<'_>) -> bool {
    let handover = plan.roster.database.handover.as_ref();
    handover.is_some_and(|handover| handover.kind == HandoverKind::Switchover)
}

/// Whether the primary refuses writes on purpose.
pub(super) fn holds_fenced(plan: &Planner<'_>, primary: InstanceId) -> bool {
    let handover = plan.roster.database.handover.as_ref().filter(|handover| handover.to != handover.from);
    handover.is_some_and(|h| h.kind == HandoverKind::Switchover && h.from == primary)
}

/// Begins one, where none is under way. Returns whether it did.
pub(crate) fn begin(plan: &mut Planner<'_>, to: InstanceId, because: String) -> bool {
    let Some(from) = plan.roster.primary.filter(|_| plan.roster.database.handover.is_none()) else {
        return false;
    };
    let (kind, since) = (HandoverKind::Switchover, plan.input.now);
    plan.roster.database.handover = Some(Handover { kind, from, to, since, because });
    true
}

/// Whether one was given up so lately that another one should wait.
pub(crate) fn pauses(plan: &Planner<'_>) -> bool {
    plan.roster.database.given_up.is_some_and(|at| plan.input.now.since(at) < PAUSE)
}

/// The replica that is well and has the least left to apply.
pub(crate) fn best(plan: &Planner<'_>) -> Option<InstanceId> {
    let mut fit: Vec<_> = plan.staying(Tier::Database).into_iter().filter(|id| fit_now(plan, *id)).collect();
    fit.sort_by_key(|id| (plan.sight().answer(*id).map(DatabaseStatus::unapplied), *id));
    fit.first().copied()
}

fn fit_now(plan: &Planner<'_>, id: InstanceId) -> bool {
    !plan.runs_outdated(id) && fit(plan, id).is_ok()
}

/// Why it cannot take over as planned.
fn fit(plan: &Planner<'_>, id: InstanceId) -> Result<(), String> {
    if !plan.staying(Tier::Database).contains(&id) {
        return Err(format!("{id} is no database server of this site"));
    }
    if plan.roster.primary == Some(id) {
        return Err(format!("{id} is the primary already"));
    }
    if let Some(astray) = plan.roster.database.astray.get(&id) {
        return Err(format!("{id} has transactions of its own: {}", astray.because));
    }
    if !plan.sight().is_healthy(id) {
        return Err(format!("{id} is not healthy"));
    }
    if let Some(what) = plan.sight().full(id) {
        return Err(format!("{id} has no room to take writes: {what}"));
    }
    match diagnosis::of_replica(plan.sight(), id) {
        Replica::Well => Ok(()),
        Replica::Lagging(lag) => Err(format!("{id} is {lag} s behind")),
        Replica::Broken(why) => Err(format!("the replication of {id} is broken: {why}")),
        Replica::Joining
        | Replica::Down
        | Replica::NeverStarts(_)
        | Replica::Unknown
        | Replica::DiskFull(_) => Err(format!("{id} does not replicate")),
    }
}

fn take_up(plan: &mut Planner<'_>) {
    let Some(SwitchoverOrder { number, to, by }) = plan.input.intent.switchover.clone() else { return };
    let taken = plan.roster.database.switchover.as_ref().is_some_and(|known| known.number >= number);
    if taken || plan.roster.database.handover.is_some() {
        return;
    }
    let Some(primary) = plan.roster.primary.filter(|primary| leads(plan, *primary)) else {
        plan.wait(
            WaitKind::Progress,
            Tier::Database,
            "there is a primary, so that another one can take over",
        );
        return;
    };
    let chosen = match to {
        Some(to) => fit(plan, to).map(|()| to),
        None => best(plan).ok_or_else(|| "no replica is well".to_owned()),
    };
    let state = match chosen {
        Ok(to) => {
            begin(plan, to, format!("{by} asked for it"));
            SwitchoverState::Underway
        }
        Err(why) => SwitchoverState::Failed { why: format!("{primary} stays primary: {why}") },
    };
    plan.roster.database.switchover = Some(Switchover { number, state });
}

/// Whether nothing more is sent to the primary and what was is over, or had its time.
fn emptied(plan: &mut Planner<'_>, handover: &Handover) -> bool {
    let from = handover.from;
    if plan.input.now.since(handover.since) > DRAIN {
        return true;
    }
    match drain::emptied(plan, from) {
        Ok(()) => true,
        Err(until) => {
            plan.wait(WaitKind::Progress, from, until);
            false
        }
    }
}

/// The primary is restarted in its place: statements are held meanwhile.
fn restart(plan: &mut Planner<'_>, handover: &Handover) {
    let id = handover.from;
    if !plan.runs_outdated(id) {
        if leads(plan, id) {
            plan.roster.database.handover = None;
        }
        return;
    }
    if leads(plan, id) && database::unwell_beside(plan, id).is_some() {
        // One that is wanted since, and has to be cloned from it, or one that was lost meanwhile.
        plan.roster.database.handover = None;
        return;
    }
    let Some(spec) = plan.spec(id) else { return };
    plan.wait(WaitKind::Progress, id, "it has stopped, to start with its new configuration");
    if emptied(plan, handover) && drain::acknowledged(plan, id).is_ok() {
        let stop = Action::Stop { instance: id, grace: spec.stop_timeout() };
        plan.step(stop, handover.because.clone());
    }
}

fn give_up(plan: &mut Planner<'_>, handover: &Handover, why: String) {
    failed(plan, why);
    plan.roster.database.handover = None;
    plan.roster.database.given_up = Some(plan.input.now);
    if !leads(plan, handover.from) {
        // It was fenced: a promotion in a newer term lets it take writes, and refuses whatever comes late.
        appoint(plan, handover.from);
    }
}

/// Says what became of the order that is under way, if one is.
pub(super) fn failed(plan: &mut Planner<'_>, why: String) {
    settle(plan, SwitchoverState::Failed { why });
}

/// Says that the order that is under way, if one is, was carried out.
pub(super) fn done(plan: &mut Planner<'_>, to: InstanceId) {
    settle(plan, SwitchoverState::Done { to });
}

fn settle(plan: &mut Planner<'_>, state: SwitchoverState) {
    if let Some(order) = &mut plan.roster.database.switchover
        && order.state == SwitchoverState::Underway
    {
        order.state = state;
    }
}
