//! Where the primary changes: what is wrong with it ([`diagnosis`]), and what follows.
//!
//! One step of a change of primary a plan, each decided anew from what is seen and what the roster remembers,
//! so that it converges however it is interrupted:
//!
//! 1. The primary is lost: its process ended, or it hangs and every replica that could tell hears nothing
//!    either, or its commits wait for an acknowledgement that never comes; then its process is ended first (fence).
//! 2. [`successor`] names the replica that holds all that was acknowledged. Where none does for certain, the
//!    lost one is started again in its place: it holds everything.
//! 3. The successor and a new term are stored in the roster, the routes are without a primary; it is promoted.
//! 4. It takes writes in that term: from now on it is the leader. Routes name it, the others follow it, and
//!    the former one is [`astray`] until what only it has is saved and gone.
//!
//! A switchover ([`switchover`]) is the same with a primary that lives: it is emptied and fenced before.
//! Never promotes where another may take writes; `check` holds all of this against rules of its own.

pub(crate) mod acknowledge;
pub(crate) mod astray;
pub(crate) mod diagnosis;
pub(crate) mod successor;
pub(crate) mod switchover;

use crate::planner::Planner;
use crate::sight::Standing;
use diagnosis::{Diagnosis, diagnose};
use stoa_model::cluster::{Astray, Cure, Fenced, Handover, HandoverKind, Leader, PrimaryChange};
use stoa_model::observed::{DataState, DatabaseStatus, ProcessState};
use stoa_model::plan::WaitKind;
use stoa_model::site::OnLostReplica;
use stoa_model::{Action, InstanceId, Millis, Tier};

/// A successor that is alive and does not come to take writes in this time is given up for the one before.
const HANDOVER_LIMIT: Millis = Millis::from_secs(60);

/// Why a site that comes up first has its writes on one server.
const FIRST: &str = "no replica has joined yet";

/// Decides who is primary. Changes only the roster, but for the fencing of one that hangs.
pub(crate) fn choose(plan: &mut Planner<'_>) {
    // Servers remember terms of a roster that was lost; a lower one would be refused by them.
    let known = plan.staying(Tier::Database).into_iter().filter_map(|id| plan.sight().answer(id));
    let highest = known.map(|status| status.term).max().unwrap_or_default();
    plan.roster.term = plan.roster.term.max(highest);
    let Some(primary) = plan.roster.primary else {
        if let Some(first) = plan.staying(Tier::Database).into_iter().next() {
            appoint(plan, first);
        }
        return;
    };
    match plan.roster.database.leader {
        // A store from before there was one, or a site that comes up first: whoever leads is noted.
        None => {}
        Some(leader) if leader.instance == primary => look_after(plan, primary),
        Some(leader) => see_through(plan, primary, leader.instance),
    }
    note_who_leads(plan);
}

/// Whether it is the primary and takes writes in the term of the roster.
pub(crate) fn leads(plan: &Planner<'_>, id: InstanceId) -> bool {
    leader_status(plan).is_some_and(|(leader, _)| leader == id)
}

/// Whether it is the primary and its commits wait for what does not come, while another can take over.
pub(crate) fn is_stuck(plan: &Planner<'_>, id: InstanceId) -> bool {
    plan.roster.database.leader.is_some_and(|leader| leader.instance == id)
        && is_lost_though_it_answers(&diagnose(plan.sight(), &plan.roster, id))
        && successor::find(plan, id).is_ok()
}

/// The primary that takes writes in the term of the roster, and its answer.
pub(crate) fn leader_status<'a>(plan: &Planner<'a>) -> Option<(InstanceId, &'a DatabaseStatus)> {
    let primary = plan.roster.primary?;
    let status = plan.sight().answer(primary)?;
    (status.writable && status.term == plan.roster.term).then_some((primary, status))
}

/// The primary is the one that led before: is it lost, and who follows it?
fn look_after(plan: &mut Planner<'_>, primary: InstanceId) {
    let diagnosis = diagnose(plan.sight(), &plan.roster, primary);
    let fenced = plan.roster.database.fenced.as_ref().filter(|fenced| fenced.instance == primary);
    let lost = match &diagnosis {
        Diagnosis::Dead { how } => {
            fenced.map_or_else(|| format!("{primary} ended: {how}"), |fenced| fenced.because.clone())
        }
        Diagnosis::AllDead => format!("{primary} and all its replicas have ended"),
        Diagnosis::Hung { why } => format!("{primary} hangs: {why}"),
        Diagnosis::Stuck { why } | Diagnosis::Wedged { why } => {
            format!("{primary} acknowledges nothing any more: {why}")
        }
        other => {
            if *other == Diagnosis::Fine {
                plan.roster.database.fenced = None;
            }
            if let Some((kind, until)) = other.waits() {
                plan.wait(kind, primary, until);
            }
            return;
        }
    };
    match successor::find(plan, primary) {
        Ok(to) if plan.sight().is_down(primary) => hand_over(plan, primary, to, lost),
        // It answers, so statements are held first.
        Ok(_) if is_lost_though_it_answers(&diagnosis) && plan.input.routes.names(primary) => {
            plan.wait(WaitKind::Trouble, primary, format!("no statement is sent to it any more: {lost}"));
        }
        Ok(to) => {
            let because = format!("{lost}; it is fenced by ending its process, so that {to} may take over");
            plan.wait(
                WaitKind::Trouble,
                primary,
                format!("it has ended, so that {to} may take over: {lost}"),
            );
            plan.step(Action::Stop { instance: primary, grace: Millis(0) }, because);
            let wedged = matches!(diagnosis, Diagnosis::Wedged { .. });
            plan.roster.database.fenced = Some(Fenced { instance: primary, because: lost, wedged });
        }
        Err(no) if plan.staying(Tier::Database).len() > 1 => {
            let until = format!("it takes writes again: {lost}; no replica takes over: {}", no.why);
            plan.wait(WaitKind::Trouble, primary, until);
        }
        Err(_) => {}
    }
}

/// Statements are to be held before such a one is ended.
fn is_lost_though_it_answers(diagnosis: &Diagnosis) -> bool {
    matches!(diagnosis, Diagnosis::Stuck { .. } | Diagnosis::Wedged { .. })
}

fn hand_over(plan: &mut Planner<'_>, from: InstanceId, to: InstanceId, because: String) {
    let (kind, since) = (HandoverKind::Failover, plan.input.now);
    plan.roster.database.handover = Some(Handover { kind, from, to, since, because });
    appoint(plan, to);
}

/// Makes it the primary of a new term.
fn appoint(plan: &mut Planner<'_>, id: InstanceId) {
    plan.roster.primary = Some(id);
    plan.roster.term = plan.roster.term.next();
}

/// Another one is to take over and does not lead yet: as long as it can, it is let; else the one before is
/// primary again, which still has everything.
fn see_through(plan: &mut Planner<'_>, to: InstanceId, former: InstanceId) {
    if leads(plan, to) {
        return;
    }
    let Err(why) = still_able(plan, to) else { return };
    if back_in_its_place(plan, former) {
        switchover::failed(plan, format!("{to} could not take over: {why}"));
        plan.roster.database.handover = None;
        appoint(plan, former);
        plan.wait(
            WaitKind::Trouble,
            former,
            format!("it takes writes again; {to} could not take over: {why}"),
        );
    } else {
        let until =
            format!("it takes writes: {why}, and {former}, which it was to follow, cannot be started");
        plan.wait(WaitKind::Trouble, to, until);
    }
}

/// Whether it is the process that was chosen, and can be expected to take writes soon.
pub(crate) fn still_able(plan: &Planner<'_>, to: InstanceId) -> Result<(), String> {
    let Some(handover) = &plan.roster.database.handover else { return Ok(()) };
    let sight = plan.sight();
    match sight.process(to) {
        ProcessState::Absent | ProcessState::Exited(_) => Err("it has ended".to_owned()),
        // What it had received and not applied may be gone with its predecessor.
        ProcessState::Running(running) if running.started > handover.since => {
            Err("it ended and was started again".to_owned())
        }
        _ if plan.input.now.since(handover.since) > HANDOVER_LIMIT => {
            Err(format!("it does not take writes within {HANDOVER_LIMIT}"))
        }
        _ => Ok(()),
    }
}

fn back_in_its_place(plan: &Planner<'_>, former: InstanceId) -> bool {
    let stays = plan.staying(Tier::Database).contains(&former);
    stays && (plan.sight().running(former).is_some() || *plan.sight().data(former) == DataState::Ready)
}

/// Notes that the primary takes writes: what was decided for its predecessor is over.
fn note_who_leads(plan: &mut Planner<'_>) {
    let Some((primary, status)) = leader_status(plan) else { return };
    let (now, term) = (plan.input.now, plan.roster.term);
    let before = plan.roster.database.leader.replace(Leader { instance: primary, term });
    plan.roster.database.astray.remove(&primary);
    let handover =
        plan.roster.database.handover.take_if(|handover| handover.to == primary && handover.from != primary);
    if before.is_none() {
        acknowledge::degrade(plan, FIRST);
    }
    let Some(former) = before.map(|leader| leader.instance).filter(|former| *former != primary) else {
        return;
    };
    let clean = plan.sight().answer(former).is_some_and(|former| {
        !former.writable && former.gtid.subtract(&status.gtid).not_of(&status.origin).is_empty()
    });
    let because = handover.as_ref().map_or_else(String::new, |handover| handover.because.clone());
    let kind = handover.map_or(HandoverKind::Failover, |handover| handover.kind);
    let cluster = &mut plan.roster.database;
    if !clean {
        let because = format!("it was primary until {primary} took over");
        let (beyond, cure) = (status.gtid.clone(), Cure::Rewind);
        cluster.astray.insert(former, Astray { term, beyond, cure, because });
    }
    cluster.acknowledgers.clear();
    cluster.owing.clear();
    cluster.lonely = None;
    if cluster.fenced.take().is_some_and(|fenced| fenced.wedged) {
        cluster.wedged = Some(now);
    }
    let position = status.gtid.clone();
    cluster.changed = Some(PrimaryChange { at: now, kind, from: former, to: primary, because, position });
    switchover::done(plan, primary);
}

/// Lets the primary take writes in the term of the roster, once no other can.
pub(crate) fn promote(plan: &mut Planner<'_>) {
    let Some(primary) = plan.roster.primary else { return };
    let term = plan.roster.term;
    let Some(running) = plan.sight().running(primary).filter(|running| !running.stopping) else { return };
    let Some(status) = plan.sight().answer(primary) else {
        if !matches!(plan.sight().standing(primary, running), Standing::Unproven(_)) {
            plan.wait(WaitKind::Trouble, primary, "the primary answers: it runs, but nothing is known of it");
        }
        return;
    };
    if status.writable && status.term == term {
        return;
    }
    if switchover::holds_fenced(plan, primary) {
        return;
    }
    let leader = plan.roster.database.leader.map(|leader| leader.instance);
    if leader.is_some_and(|leader| leader != primary)
        && let Err(why) = still_able(plan, primary)
    {
        plan.wait(WaitKind::Trouble, primary, format!("it is certain that it holds every write: {why}"));
        return;
    }
    for other in plan.sight().known_of(Tier::Database) {
        if other != primary
            && let Some(doubt) = may_be_writable(plan, other)
        {
            plan.wait(WaitKind::Progress, primary, format!("it may take writes: {doubt}"));
            return;
        }
    }
    let wait = commits_wait(plan, primary);
    if !wait {
        let first = leader.is_none();
        acknowledge::degrade(plan, if first { FIRST } else { "no replica was there when it was promoted" });
    }
    plan.step(
        Action::Promote { instance: primary, term, wait },
        format!("{primary} is the primary of term {term}"),
    );
    plan.wait(WaitKind::Progress, primary, format!("it takes writes in term {term}"));
}

/// Whether the commits of one that is promoted wait for a replica from the first on.
fn commits_wait(plan: &Planner<'_>, primary: InstanceId) -> bool {
    let cluster = &plan.roster.database;
    if cluster.leader.is_none() || cluster.degraded.is_some() {
        // A site that comes up first has nobody who could acknowledge; or it was degraded and still is.
        return false;
    }
    let mut others = plan.staying(Tier::Database);
    others.retain(|id| *id != primary && !cluster.astray.contains_key(id));
    others.retain(|id| plan.sight().answer(*id).is_some());
    let policy = plan.input.intent.site.database.as_ref().map(|database| database.on_lost_replica);
    !others.is_empty() || (policy == Some(OnLostReplica::Block) && plan.wanted(Tier::Database) > 1)
}

/// Every server starts read-only and only one that answered is ever promoted; so one that has not
/// answered since it started refuses writes, and one that has and falls silent is in doubt.
fn may_be_writable(plan: &Planner<'_>, id: InstanceId) -> Option<String> {
    let sight = plan.sight();
    if sight.busy_with(id).is_some_and(|key| key.verb() == "promote") {
        return Some(format!("{id} is being promoted"));
    }
    match (sight.process(id), sight.answer(id)) {
        (ProcessState::Absent | ProcessState::Exited(_), _) => None,
        (_, Some(status)) => status.writable.then(|| format!("{id} takes writes too")),
        (ProcessState::Unknown, None) => Some(format!("it is not known whether {id} runs")),
        (ProcessState::Running(running), None) => match sight.standing(id, running) {
            Standing::Unproven(_) => None,
            _ => Some(format!("{id} runs, but does not say whether it takes writes")),
        },
    }
}

/// Whoever takes writes and is not the primary is told not to.
pub(crate) fn fence_the_others(plan: &mut Planner<'_>) {
    let assigned: Vec<_> = plan.roster.tier(Tier::Database).map(|(id, _)| id).collect();
    for id in assigned {
        let writable = plan.sight().answer(id).is_some_and(|status| status.writable);
        if writable && plan.roster.primary != Some(id) {
            plan.step(Action::Fence { instance: id }, format!("{id} takes writes and is not the primary"));
            plan.wait(WaitKind::Trouble, id, "it refuses writes, which only the primary may take");
        }
    }
}
