//! What is wrong with the database, if anything. Says nothing of what to do.
//!
//! A primary that fails its checks is not dead: the replicas are asked as well. They hear from it at least
//! every half second, a heartbeat where nothing else; as long as one of them does, it lives.

use crate::planner::times;
use crate::sight::{Sight, Standing};
use stoa_model::observed::{DatabaseStatus, ProcessState, Receiving, Replication};
use stoa_model::plan::WaitKind;
use stoa_model::{InstanceId, Millis, Roster, Tier, Time};

/// Silence of this length, to the daemon and to every replica, is no slow answer any more.
pub(crate) const SILENCE: Millis = Millis(1_500);
/// A binlog that has not grown for so long while sessions wait does not grow again by itself.
const LOST: Millis = Millis::from_secs(3);
/// So long the largest of rows is on its way at most: a replica that gets no further for longer never gets what is
/// waited for from this primary.
const WEDGED: Millis = Millis::from_secs(30);
/// Where another primary did not help so lately, the next one would not.
const TRIED: Millis = Millis::from_secs(600);
/// A replica's answer that is older says nothing of what it hears now.
const FRESH: Millis = Millis(2_500);
/// A server that ended at so many starts in a row does not come up by being started.
pub(super) const GIVEN_UP: u32 = 5;
/// A replica that is further behind lags.
const LAG: u64 = 60;

/// How the primary stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Diagnosis {
    /// It answers and takes writes.
    Fine,
    /// It runs and does not take writes yet.
    Starting,
    /// Its process ended; how.
    Dead { how: String },
    /// So did those of all its replicas.
    AllDead,
    /// It runs and answers nobody: neither the daemon nor any replica has heard of it for a while.
    Hung { why: String },
    /// It does not answer the daemon, but this replica hears from it.
    Replicates { witness: InstanceId, why: String },
    /// It cannot write to its disk; what it says.
    DiskFull { what: String },
    /// So many commits wait for a replica, and none is connected.
    SemiSyncBlocked { waiting: u32 },
    /// Commits wait for a replica that has them: its acknowledgement was lost, and none comes again.
    Stuck { why: String },
    /// Commits wait for a replica that is connected and never gets them.
    Wedged { why: String },
    /// These take writes as well.
    SplitBrain { others: Vec<InstanceId> },
    /// Nothing is known for certain; why.
    Unknown { why: String },
}

/// How a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replica {
    /// It fetches and applies.
    Well,
    /// So many seconds behind.
    Lagging(u64),
    /// It cannot go on by itself; what it says.
    Broken(String),
    /// It cannot go on for want of room on its disk; what is known of that.
    DiskFull(String),
    /// Its server ended at each of many starts, before it was healthy; how the last time.
    NeverStarts(String),
    /// It tries to reach its primary, or was not told to yet.
    Joining,
    /// Its process ended.
    Down,
    /// It is not known how it stands.
    Unknown,
}

impl Diagnosis {
    /// What is waited for because of it, and how bad that is.
    pub(crate) fn waits(&self) -> Option<(WaitKind, String)> {
        match self {
            Diagnosis::Replicates { witness, why } => {
                let until = format!("it answers: {why}; it is not dead, {witness} hears from it");
                Some((WaitKind::Trouble, until))
            }
            Diagnosis::DiskFull { what } => {
                Some((WaitKind::Trouble, format!("its disk has room again, until then writes wait: {what}")))
            }
            Diagnosis::SemiSyncBlocked { waiting } => {
                let until = format!("a replica acknowledges what it commits; {waiting} commits wait for one");
                Some((WaitKind::Trouble, until))
            }
            Diagnosis::Unknown { why } => {
                Some((WaitKind::Progress, format!("it is known how it stands: {why}")))
            }
            // Told by those that act on it.
            _ => None,
        }
    }
}

/// How the primary stands.
pub(crate) fn diagnose(sight: Sight<'_>, roster: &Roster, primary: InstanceId) -> Diagnosis {
    let running = match sight.process(primary) {
        ProcessState::Unknown => {
            return Diagnosis::Unknown { why: "it is not known whether it runs".to_owned() };
        }
        ProcessState::Absent | ProcessState::Exited(_) if sight.busy_with(primary).is_some() => {
            return Diagnosis::Starting;
        }
        ProcessState::Absent => return dead(sight, roster, primary, "it does not run"),
        ProcessState::Exited(exited) => return dead(sight, roster, primary, &exited.how),
        ProcessState::Running(running) => running,
    };
    if running.stopping {
        return Diagnosis::Unknown { why: "it is being stopped".to_owned() };
    }
    let silent_since = sight.silent_since(primary);
    let why = match sight.standing(primary, running) {
        Standing::Unproven(_) => return Diagnosis::Starting,
        Standing::Healthy => None,
        Standing::Unchecked => Some("no check of this daemon has passed yet"),
        Standing::Wavering(why) | Standing::Failing(why) => Some(why),
    };
    if let Some(why) = why {
        return of_a_silent_one(sight, roster, primary, silent_since, why);
    }
    let Some(status) = sight.answer(primary) else {
        return Diagnosis::Unknown { why: "it has not answered yet".to_owned() };
    };
    let others: Vec<_> = sight.known_of(Tier::Database);
    let others: Vec<_> = others
        .into_iter()
        .filter(|id| *id != primary && sight.answer(*id).is_some_and(|status| status.writable))
        .collect();
    if !others.is_empty() && status.writable {
        return Diagnosis::SplitBrain { others };
    }
    if let Some(what) = sight.full(primary) {
        return Diagnosis::DiskFull { what: what.to_owned() };
    }
    match (status.writable, status.semi_sync) {
        (false, _) => Diagnosis::Starting,
        (true, s) if s.enabled && s.waiting > 0 => match waits_in_vain(sight, roster, primary, status) {
            Some(stuck) => stuck,
            None if s.acknowledging == 0 => Diagnosis::SemiSyncBlocked { waiting: s.waiting },
            None => Diagnosis::Fine,
        },
        (true, _) => Diagnosis::Fine,
    }
}

/// Whether commits that wait will wait for ever, and why.
///
/// What a replica has it acknowledged when it came; where that answer was lost with the connection it is never given
/// again, as a replica that connects anew asks for what comes after it. The next event's answer would do, but where
/// the binlog is held none is written. And a primary may send nothing to a replica that is connected, however often
/// that connects anew: MariaDB's has been seen to, which held the thread of a connection that had ended.
fn waits_in_vain(
    sight: Sight<'_>,
    roster: &Roster,
    primary: InstanceId,
    status: &DatabaseStatus,
) -> Option<Diagnosis> {
    let semi_sync = status.semi_sync;
    if semi_sync.unmoved <= LOST {
        return None;
    }
    let endpoint = &roster.instances.get(&primary)?.endpoint;
    let known = sight.known_of(Tier::Database).into_iter().filter(|id| *id != primary);
    let told = known.filter_map(|id| {
        let told = sight.answer(id)?;
        Some((id, told, told.replication.as_ref()?))
    });
    let connected: Vec<_> =
        told.filter(|(_, _, r)| r.receiving == Receiving::Connected && r.primary == *endpoint).collect();
    let waits = format!(
        "{} of its commits have waited {} for an acknowledgement",
        semi_sync.waiting, semi_sync.unmoved
    );
    if let Some((replica, ..)) = connected.iter().find(|(_, told, _)| told.holds().contains(&status.gtid)) {
        return Some(Diagnosis::Stuck { why: format!("{waits}, and {replica} has all it wrote") });
    }
    let tried = roster.database.wedged.is_some_and(|at| sight.input.now.since(at) < TRIED);
    let all_stall = connected.iter().all(|(_, _, replication)| replication.stalled > WEDGED);
    if tried || semi_sync.unmoved <= WEDGED || !all_stall {
        return None;
    }
    let well = |id| matches!(of_replica(sight, id), Replica::Well | Replica::Lagging(_));
    let (replica, ..) = connected.iter().find(|(id, ..)| well(*id))?;
    let why = format!("{waits}, and {replica}, which is connected to it, gets nothing of it");
    Some(Diagnosis::Wedged { why })
}

fn dead(sight: Sight<'_>, roster: &Roster, primary: InstanceId, how: &str) -> Diagnosis {
    let mut others = roster.tier(Tier::Database).map(|(id, _)| id).filter(|id| *id != primary).peekable();
    let some = others.peek().is_some();
    if some && others.all(|id| sight.is_down(id)) {
        return Diagnosis::AllDead;
    }
    Diagnosis::Dead { how: how.to_owned() }
}

/// It runs and fails its checks.
fn of_a_silent_one(
    sight: Sight<'_>,
    roster: &Roster,
    primary: InstanceId,
    since: Option<Time>,
    why: &str,
) -> Diagnosis {
    let mut witnesses = Vec::new();
    for (id, place) in roster.tier(Tier::Database) {
        let Some((at, status)) = sight.told(id).filter(|_| id != primary && place.retiring.is_none()) else {
            continue;
        };
        let now = sight.input.now;
        let of_it =
            |r: &&Replication| roster.instances.get(&primary).is_some_and(|p| p.endpoint == r.primary);
        if now.since(at) <= FRESH
            && let Some(replication) = status.replication.as_ref().filter(of_it)
        {
            match hears(replication, now.since(at)) {
                Some(true) => return Diagnosis::Replicates { witness: id, why: why.to_owned() },
                Some(false) => witnesses.push(id),
                None => {}
            }
        }
    }
    let Some(since) = since else {
        return Diagnosis::Unknown { why: format!("{why}; this daemon has not heard from it yet") };
    };
    let silent = sight.input.now.since(since);
    match witnesses.first() {
        None => Diagnosis::Unknown { why: format!("{why}; no replica can tell whether it lives") },
        Some(_) if silent < SILENCE => Diagnosis::Unknown { why: why.to_owned() },
        Some(witness) => Diagnosis::Hung {
            why: format!(
                "{why}; it has answered nothing for {silent}, and {witness} hears nothing of it either"
            ),
        },
    }
}

/// Whether a replica hears from its primary; none where it cannot tell. A thread that was stopped says
/// nothing of the primary.
fn hears(replication: &Replication, age: Millis) -> Option<bool> {
    match (replication.receiving, replication.heard) {
        (Receiving::Connected, Some(heard)) => Some(Millis(heard.0 + age.0) < SILENCE),
        (Receiving::Connected, None) | (Receiving::Stopped, _) => None,
        (Receiving::Connecting, _) => Some(false),
    }
}

/// How a replica stands. One whose disk is full waits for room and may answer nothing meanwhile; whatever it
/// lacks, it gets no better by what else would be done about it.
pub(crate) fn of_replica(sight: Sight<'_>, id: InstanceId) -> Replica {
    if let ProcessState::Exited(exited) = sight.process(id)
        && exited.failed_starts >= GIVEN_UP
    {
        return Replica::NeverStarts(format!("it ended {}: {}", times(exited.failed_starts), exited.how));
    }
    if sight.is_down(id) {
        return Replica::Down;
    }
    match (seen_of_replica(sight, id), sight.full(id)) {
        (Replica::Well, _) => Replica::Well,
        (_, Some(what)) => Replica::DiskFull(what.to_owned()),
        (stands, None) => stands,
    }
}

fn seen_of_replica(sight: Sight<'_>, id: InstanceId) -> Replica {
    let Some(status) = sight.answer(id) else { return Replica::Unknown };
    let Some(replication) = &status.replication else { return Replica::Joining };
    match (&replication.error, replication.lag_seconds) {
        (Some(error), _) if !replication.applying || replication.receiving == Receiving::Stopped => {
            Replica::Broken(error.clone())
        }
        _ if !replication.runs() => Replica::Joining,
        (_, Some(lag)) if lag > LAG => Replica::Lagging(lag),
        _ => Replica::Well,
    }
}

#[cfg(test)]
mod tests;
