//! Who may take over: the replica that certainly holds every write that was acknowledged.
//!
//! A commit is acknowledged once the leader and at least one acknowledger have it; which one is not known. So
//! every acknowledger has to be heard of, unless nothing depends on it any more, and the one that is chosen
//! must have everything that any of them has, but for what one that went astray wrote itself.

use crate::planner::Planner;
use stoa_model::observed::{DatabaseStatus, Exited, ProcessState, Receiving, Replication};
use stoa_model::{InstanceId, Time};

/// Why nobody takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nobody {
    /// What is in the way.
    pub(crate) why: String,
    /// The next answer of a replica may change it.
    pub(crate) soon: bool,
}

impl From<String> for Nobody {
    fn from(why: String) -> Self {
        Nobody { why, soon: false }
    }
}

/// The one that takes over from `lost`; else why nobody may.
pub(crate) fn find(plan: &Planner<'_>, lost: InstanceId) -> Result<InstanceId, Nobody> {
    let cluster = &plan.roster.database;
    if let Some(degraded) = &cluster.degraded {
        return Err(format!("writes may be on {lost} alone: {}", degraded.because).into());
    }
    let ended = match plan.sight().process(lost) {
        ProcessState::Exited(Exited { at, .. }) => Some(*at),
        _ => None,
    };
    let mut heard = Vec::new();
    for id in cluster.acknowledgers.iter().copied().filter(|id| *id != lost) {
        let status = is_final(plan, id, ended).map_err(|nobody| Nobody {
            why: format!("{id} may hold what others lack: {}", nobody.why),
            ..nobody
        })?;
        heard.push((id, status));
    }
    let (mut lacking, mut best) = (None, None);
    for (id, status) in &heard {
        if let Err(why) = eligible(plan, *id, status) {
            lacking.get_or_insert(format!("{id} {why}"));
            continue;
        }
        match heard.iter().find(|(other, theirs)| has_more(plan, *other, theirs, status)) {
            Some((other, _)) => {
                lacking.get_or_insert(format!("{id} lacks what {other} has"));
            }
            None => {
                // It takes writes once it has applied all; how many seconds that is, none that lost its
                // primary can tell.
                let rank = (status.unapplied(), *id);
                if best.is_none_or(|(_, best)| rank < best) {
                    best = Some((*id, rank));
                }
            }
        }
    }
    let none = || lacking.unwrap_or_else(|| "no replica acknowledged its writes".to_owned());
    best.map(|(id, _)| id).ok_or_else(|| none().into())
}

/// The answer of a replica, if no write that was acknowledged can be on it and not in that answer.
fn is_final<'a>(
    plan: &Planner<'a>,
    id: InstanceId,
    ended: Option<Time>,
) -> Result<&'a DatabaseStatus, Nobody> {
    let sight = plan.sight();
    let refuse = |why: &str| Err(Nobody::from(why.to_owned()));
    if sight.is_down(id) {
        return refuse("it has ended");
    }
    if let Some(key) = sight.busy_with(id) {
        return Err(Nobody { why: format!("it is to be seen again once {}", key.end()), soon: true });
    }
    let Some((at, status)) = sight.told(id) else { return refuse("it does not answer") };
    let Some(Replication { receiving, error, .. }) = &status.replication else {
        return refuse("it has been started anew and does not tell what it had received");
    };
    let owing = plan.roster.database.owing.get(&id);
    if owing.is_some_and(|goal| !status.holds().contains(goal)) {
        return refuse("it was told to follow anew and has not yet got back what it may have had");
    }
    match receiving {
        // It has read its connection to the end.
        Receiving::Connecting => Ok(status),
        Receiving::Stopped if error.is_some() => Ok(status),
        Receiving::Stopped => refuse("it does not tell what it had received before it was stopped"),
        // What is acknowledged it had written down before, and so before its primary ended.
        Receiving::Connected if ended.is_some_and(|ended| at >= ended) => Ok(status),
        Receiving::Connected if !sight.is_down(plan.roster.primary.unwrap_or(id)) => Ok(status),
        Receiving::Connected => Err(Nobody { why: "it has not answered since".to_owned(), soon: true }),
    }
}

fn eligible(plan: &Planner<'_>, id: InstanceId, status: &DatabaseStatus) -> Result<(), String> {
    let place = plan.roster.instances.get(&id);
    if let Some(astray) = plan.roster.database.astray.get(&id) {
        return Err(format!("has transactions of its own: {}", astray.because));
    }
    if place.is_none_or(|place| place.retiring.is_some()) {
        return Err("retires".to_owned());
    }
    if plan.sight().running(id).is_none_or(|running| running.stopping) || !plan.sight().is_healthy(id) {
        return Err("is not healthy".to_owned());
    }
    let applies = status.replication.as_ref().filter(|replication| !replication.applying);
    match applies.and_then(|replication| replication.error.as_ref()) {
        Some(error) => Err(format!("cannot apply what it has received: {error}")),
        None => Ok(()),
    }
}

/// Whether `other` holds something that `status` has not. What one that went astray began itself is no part
/// of it; what a former leader began is.
fn has_more(plan: &Planner<'_>, id: InstanceId, other: &DatabaseStatus, status: &DatabaseStatus) -> bool {
    let more = other.holds().subtract(status.holds());
    let astray = plan.roster.database.astray.contains_key(&id);
    if astray { !more.not_of(&other.origin).is_empty() } else { !more.is_empty() }
}
