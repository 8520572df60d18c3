//! Servers whose data is not a part of the primary's: former primaries that were lost, and followers that
//! wrote for themselves, cannot go on or cannot even start. What only they have is saved; then they are rewound
//! or made anew.
//!
//! Nothing is done to them before another server takes writes.

use super::diagnosis::{self, Replica};
use super::{leader_status, successor};
use crate::backoff;
use crate::drain;
use crate::planner::Planner;
use stoa_model::cluster::{Astray, Broken, Cure};
use stoa_model::observed::{DataState, DatabaseStatus, Exited, ProcessState, Salvaged};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Millis, Tier};

/// Replication that broke and does not go on within this time, though told to, is broken for good.
const BROKEN_FOR: Millis = Millis::from_secs(10);
/// One that goes on for so long is mended.
const MENDED_FOR: Millis = Millis::from_secs(20);
/// Each change of the roster is a write: what is seen every moment is noted this seldom.
const SEEN_WITHIN: Millis = Millis::from_secs(5);
/// Replicas are asked again within this time after their primary ended.
const ANSWER_WITHIN: Millis = Millis::from_secs(2);
/// A replica that can follows a new primary within this time.
const FOLLOWS_WITHIN: Millis = Millis::from_secs(5);
/// One that was well for this long after it was made anew is as good as any.
const WELL_FOR: Millis = Millis::from_secs(600);

/// Finds those that went astray and takes each a step further.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    let Some((primary, status)) = leader_status(plan) else { return };
    let known: Vec<_> = plan.roster.tier(Tier::Database).map(|(id, _)| id).collect();
    let cluster = &mut plan.roster.database;
    cluster.astray.retain(|id, _| known.contains(id) && *id != primary);
    cluster.broken.retain(|id, _| known.contains(id) && *id != primary);
    for id in plan.staying(Tier::Database) {
        if id != primary {
            find(plan, id, status);
            cure(plan, id);
        }
    }
}

/// Whether its process may be started: nothing has to be done to its data before.
pub(crate) fn may_start(plan: &Planner<'_>, id: InstanceId) -> Result<(), (WaitKind, String)> {
    let leader = plan.roster.database.leader.map(|leader| leader.instance);
    if leader == Some(id) && plan.roster.primary != Some(id) {
        let until = "its successor takes writes; until then its data is left as it is".to_owned();
        return Err((WaitKind::Progress, until));
    }
    if leader == Some(id) && awaits_answer(plan, id) {
        let until = "it is known whether a replica takes over, from what replicas answer next".to_owned();
        return Err((WaitKind::Progress, until));
    }
    let Some(astray) = plan.roster.database.astray.get(&id) else { return Ok(()) };
    if cure_of(plan, id, astray) == Cure::Rewind && is_salvaged(plan, id, astray) {
        return Ok(());
    }
    Err((WaitKind::Progress, "what only it has is saved; then it follows the primary".to_owned()))
}

/// A primary that ended is not started again while the next answer of a replica may let that take over.
fn awaits_answer(plan: &Planner<'_>, id: InstanceId) -> bool {
    let long_ago = match plan.sight().process(id) {
        ProcessState::Exited(exited) => plan.input.now.since(exited.at) > ANSWER_WITHIN,
        _ => false,
    };
    !long_ago && successor::find(plan, id).is_err_and(|nobody| nobody.soon)
}

fn is_salvaged(plan: &Planner<'_>, id: InstanceId, astray: &Astray) -> bool {
    salvaged(plan, id, astray).is_some()
}

fn salvaged(plan: &Planner<'_>, id: InstanceId, astray: &Astray) -> Option<Salvaged> {
    let host = plan.sight().host_of(id).and_then(|host| plan.sight().host(host));
    host.and_then(|host| host.salvaged.get(&id)).copied().filter(|saved| saved.term >= astray.term)
}

/// What is to be done: a server that cannot be rewound need not be started to see that it has to be made anew.
fn cure_of(plan: &Planner<'_>, id: InstanceId, astray: &Astray) -> Cure {
    let database = plan.input.intent.site.database.as_ref();
    let rewinds = database.is_none_or(|database| database.engine.rewinds());
    let own = salvaged(plan, id, astray).is_some_and(|saved| saved.transactions > 0);
    if own && !rewinds { Cure::Rebuild } else { astray.cure }
}

fn find(plan: &mut Planner<'_>, id: InstanceId, primary: &DatabaseStatus) {
    let Some(status) = plan.sight().answer(id) else { return ruined(plan, id, primary) };
    let own = status.gtid.subtract(&primary.gtid).not_of(&primary.origin);
    let term = plan.roster.term;
    if !own.is_empty() {
        let because = format!("it has transactions that the primary has not: {own}");
        let astray = Astray { term, beyond: primary.gtid.clone(), cure: Cure::Rebuild, because };
        let known = plan.roster.database.astray.get(&id).map(|known| (known.cure, known.term));
        if known.is_none_or(|(cure, _)| cure == Cure::Rewind) {
            plan.roster.database.astray.insert(id, astray);
        }
        return;
    }
    plan.roster.database.astray.retain(|other, astray| *other != id || astray.cure == Cure::Rebuild);
    broken(plan, id, primary);
}

/// Replication that breaks again and again is not mended by trying.
fn broken(plan: &mut Planner<'_>, id: InstanceId, primary: &DatabaseStatus) {
    let now = plan.input.now;
    let error = match diagnosis::of_replica(plan.sight(), id) {
        Replica::Broken(error) => error,
        Replica::Well | Replica::Lagging(_) => {
            if let Some(broken) = plan.roster.database.broken.get_mut(&id) {
                if now.since(broken.seen) > MENDED_FOR {
                    broken.since = None;
                }
                if now.since(broken.last) > WELL_FOR {
                    plan.roster.database.broken.remove(&id);
                }
            }
            return;
        }
        _ => return,
    };
    let broken = plan.roster.database.broken.entry(id).or_insert(Broken::fresh(now));
    if now.since(broken.seen) > SEEN_WITHIN {
        broken.seen = now;
    }
    let since = *broken.since.get_or_insert(now);
    if now.since(since) >= BROKEN_FOR {
        make_anew(plan, id, primary, format!("its replication broke and stays so: {error}"));
    }
}

/// A server that never comes up while the primary runs as it should run: it is for what lies in its folder. A
/// primary that waits to be restarted proves nothing, and waits for this one: after twice as many starts other
/// data is tried, as nothing is lost by it.
fn ruined(plan: &mut Planner<'_>, id: InstanceId, primary: &DatabaseStatus) {
    let Replica::NeverStarts(how) = diagnosis::of_replica(plan.sight(), id) else { return };
    let ProcessState::Exited(exited) = plan.sight().process(id) else { return };
    let as_wanted = plan.digest(id) == Some(exited.spec);
    let proven = plan.roster.primary.is_some_and(|primary| !plan.runs_outdated(primary))
        || exited.failed_starts >= 2 * diagnosis::GIVEN_UP;
    // Neither a full disk nor being killed is mended by other data.
    let otherwise = plan.sight().full(id).is_some() || !exited.was_seen() || exited.how == Exited::KILLED;
    let known = plan.roster.database.astray.get(&id).is_some_and(|astray| astray.cure == Cure::Rebuild);
    if *plan.sight().data(id) == DataState::Ready && as_wanted && proven && !otherwise && !known {
        make_anew(plan, id, primary, how);
    }
}

/// What trying does not mend is made anew, the more seldom the oftener that did not help.
fn make_anew(plan: &mut Planner<'_>, id: InstanceId, primary: &DatabaseStatus, because: String) {
    let (now, term) = (plan.input.now, plan.roster.term);
    let cluster = &mut plan.roster.database;
    let broken = cluster.broken.entry(id).or_insert(Broken::fresh(now));
    let pause = Millis(backoff::after_failures(broken.rebuilds).0 * u64::from(broken.rebuilds.min(20)));
    if broken.rebuilds > 0 && now.since(broken.last) < pause {
        return;
    }
    (broken.since, broken.rebuilds, broken.last) = (None, broken.rebuilds + 1, now);
    // What only a former primary has is told from where its successor began.
    let (term, beyond) = match cluster.astray.get(&id) {
        Some(known) => (known.term, known.beyond.clone()),
        None => (term, primary.gtid.clone()),
    };
    cluster.astray.insert(id, Astray { term, beyond, cure: Cure::Rebuild, because });
}

/// After a change of primary its writes wait for a replica that follows it: reading the former one's log, removing
/// its data and cloning it take the same processors and the same disk.
fn others_come_first(plan: &Planner<'_>, id: InstanceId) -> bool {
    let changed = plan.roster.database.changed.as_ref();
    let lately = changed.is_some_and(|change| plan.input.now.since(change.at) < FOLLOWS_WITHIN);
    let Some((leader, status)) = leader_status(plan).filter(|_| lately) else { return false };
    let follows = |other: &InstanceId| {
        let astray = plan.roster.database.astray.contains_key(other);
        *other != id && *other != leader && !astray && plan.sight().is_healthy(*other)
    };
    let waits = status.semi_sync.enabled && status.semi_sync.acknowledging == 0;
    waits && plan.staying(Tier::Database).iter().any(follows)
}

fn cure(plan: &mut Planner<'_>, id: InstanceId) {
    let Some(astray) = plan.roster.database.astray.get(&id).cloned() else { return };
    let cure = cure_of(plan, id, &astray);
    let what = match cure {
        Cure::Rewind => "it follows the primary, without what only it has",
        Cure::Rebuild => "it is made anew",
    };
    plan.wait(WaitKind::Trouble, id, format!("{what}: {}", astray.because));
    let saved = is_salvaged(plan, id, &astray);
    if !plan.sight().is_down(id) {
        // A former primary that was rewound and runs is judged by what it answers.
        let running = plan.sight().running(id).is_some_and(|running| !running.stopping);
        if running && (cure == Cure::Rebuild || !saved) && drain::acknowledged(plan, id).is_ok() {
            let grace = plan.spec(id).map_or(drain::GRACE, |spec| spec.stop_timeout());
            plan.step(Action::Stop { instance: id, grace }, format!("{id} is mended: {}", astray.because));
        }
        return;
    }
    if *plan.sight().data(id) == DataState::Absent && plan.sight().busy_with(id).is_none() {
        plan.roster.database.astray.remove(&id);
    } else if others_come_first(plan, id) {
        plan.wait(
            WaitKind::Progress,
            id,
            "writes are acknowledged by another replica, then it is looked after",
        );
    } else if !saved {
        let (beyond, term) = (astray.beyond, astray.term);
        let because = format!("{id} may have what no other server has: {}", astray.because);
        plan.step(Action::Salvage { instance: id, beyond, term }, because);
    } else if cure == Cure::Rebuild {
        plan.step(Action::Discard { instance: id }, format!("{id} is made anew: {}", astray.because));
    }
}
