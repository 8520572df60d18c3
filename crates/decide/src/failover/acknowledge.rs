//! Semi-synchronous commits: who may hold an acknowledged write, and what happens while nobody is there to.
//!
//! A replica is noted before it is let follow, and forgotten only once nothing depends on it. That the primary
//! takes writes alone is noted before it may, and taken back only after a replica had everything while commits
//! waited again.

use super::diagnosis::{self, Replica};
use super::leader_status;
use crate::planner::Planner;
use stoa_model::cluster::{Degraded, Goal};
use stoa_model::observed::{DataState, DatabaseStatus, Receiving};
use stoa_model::plan::WaitKind;
use stoa_model::site::OnLostReplica;
use stoa_model::{Action, Gtids, InstanceId, Millis, Tier};

/// A replica that only lost its connection is back within this time.
const PATIENCE: Millis = Millis::from_secs(3);
/// A replica that lacks fewer transactions than this has caught up: the rest it gets while commits wait.
const CAUGHT_UP: u64 = 1_000;

/// Keeps the books, and switches the waiting of commits off and on.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    let Some((leader, status)) = leader_status(plan) else { return };
    release(plan, leader, status);
    let wanted = plan.staying(Tier::Database).len() > 1;
    let connected = connected(plan, leader);
    // A primary takes a replica that hangs for connected.
    let lonely =
        connected.is_empty() && (status.semi_sync.acknowledging == 0 || status.semi_sync.waiting > 0);
    let now = plan.input.now;
    if !lonely || plan.roster.database.degraded.is_some() {
        plan.roster.database.lonely = None;
    } else {
        plan.roster.database.lonely.get_or_insert(now);
    }
    if plan.roster.database.degraded.is_some() {
        return restore(plan, leader, status, &connected, wanted);
    }
    if !status.semi_sync.enabled {
        // A server of a store from before, or somebody switched it off: it is as good as degraded.
        degrade(plan, "its commits were found not to wait for a replica");
        return;
    }
    let Some(since) = plan.roster.database.lonely else { return };
    let policy = plan.input.intent.site.database.as_ref().map(|database| database.on_lost_replica);
    let late = plan.input.now.since(since) > PATIENCE;
    if wanted && policy == Some(OnLostReplica::Block) {
        if late && nobody_comes_back(plan, leader) {
            degrade(plan, "no replica can come back: the first is cloned from the primary");
            switch(plan, leader, false, "a clone is not made of commits that wait");
            return;
        }
        let until = "a replica is connected; until then its commits wait, as on_lost_replica says";
        plan.wait(WaitKind::Trouble, leader, until);
    } else if late || !wanted {
        degrade(plan, "no replica is connected");
        switch(plan, leader, false, "no replica is there to acknowledge");
    } else {
        plan.wait(WaitKind::Progress, leader, "a replica is connected again");
    }
}

/// Whether a replica is to be cloned, as at a site's first start, and none can come back to acknowledge. A clone
/// of a primary waits for its commits, which would wait for the clone.
fn nobody_comes_back(plan: &Planner<'_>, leader: InstanceId) -> bool {
    let others: Vec<_> = plan.staying(Tier::Database).into_iter().filter(|id| *id != leader).collect();
    let empty = |id: &InstanceId| *plan.sight().data(*id) == DataState::Absent;
    others.iter().any(empty) && others.iter().all(|id| empty(id) || never_starts(plan, *id))
}

/// Whether a server with data is known to be down and not to come up: it was started again and again, or may not
/// be started at all. Of one that runs, however badly, this is not known.
fn never_starts(plan: &Planner<'_>, id: InstanceId) -> bool {
    match diagnosis::of_replica(plan.sight(), id) {
        Replica::NeverStarts(_) => true,
        Replica::Down => matches!(plan.sight().data(id), DataState::Foreign { .. }),
        _ => false,
    }
}

/// From now on writes may be on the primary alone.
pub(crate) fn degrade(plan: &mut Planner<'_>, because: &str) {
    let since = plan.input.now;
    let because = because.to_owned();
    plan.roster.database.degraded.get_or_insert(Degraded { since, because, goal: None });
}

/// The replicas that are connected to the leader and counted on.
fn connected<'a>(plan: &Planner<'a>, leader: InstanceId) -> Vec<(InstanceId, &'a DatabaseStatus)> {
    let endpoint = plan.roster.instances.get(&leader).map(|place| &place.endpoint);
    let acknowledgers = plan.roster.database.acknowledgers.iter().copied();
    let now = plan.input.now;
    let told = acknowledgers.filter_map(|id| Some((id, plan.sight().told(id)?)));
    let fresh = told.filter_map(|(id, (at, status))| (now.since(at) <= PATIENCE).then_some((id, status)));
    fresh
        .filter(|(id, status)| {
            let replication = status.replication.as_ref();
            let fetches = replication.is_some_and(|r| {
                r.receiving == Receiving::Connected && Some(&r.primary) == endpoint && !r.is_mute()
            });
            fetches && !plan.roster.database.astray.contains_key(id)
        })
        .collect()
}

/// A replica is let follow: from its first moment on it may be the only one to hold an acknowledged write.
/// One that was counted on before may have lost what it had received.
pub(crate) fn count_on(plan: &mut Planner<'_>, id: InstanceId, anew: bool) {
    let Some((_, status)) = leader_status(plan) else { return };
    let known = !plan.roster.database.acknowledgers.insert(id);
    // A new one lacks what the leader had before; what was acknowledged of that it cannot stand for yet.
    let owing = &mut plan.roster.database.owing;
    if anew {
        // What it owed before is part of it.
        owing.insert(id, status.gtid.clone());
    } else if !known {
        owing.entry(id).or_insert_with(|| status.gtid.clone());
    }
}

/// Looks after acknowledgers that ended or were told to follow anew. Those that ended are forgotten once
/// nothing depends on them.
fn release(plan: &mut Planner<'_>, leader: InstanceId, status: &DatabaseStatus) {
    let degraded = plan.roster.database.degraded.is_some();
    let connected = connected(plan, leader);
    let sight = plan.sight();
    let cluster = &mut plan.roster.database;
    for id in cluster.acknowledgers.iter().filter(|id| sight.is_down(**id)) {
        cluster.owing.entry(*id).or_insert_with(|| status.gtid.clone());
    }
    let owing = std::mem::take(&mut cluster.owing);
    for (id, goal) in owing {
        let down = sight.is_down(id);
        let holds = |(_, status): &(InstanceId, &DatabaseStatus)| status.holds().contains(&goal);
        let has = |(other, status): &(InstanceId, &DatabaseStatus)| {
            (*other != id || !down) && !cluster.owing.contains_key(other) && holds(&(*other, status))
        };
        // While it is degraded nobody is counted on.
        if !cluster.acknowledgers.contains(&id) || degraded || connected.iter().any(has) {
            if down {
                cluster.acknowledgers.remove(&id);
            }
        } else {
            cluster.owing.insert(id, goal);
        }
    }
}

/// Whether nothing depends on it: what it may hold is on another replica, or it was never counted on.
pub(crate) fn is_released(plan: &Planner<'_>, id: InstanceId) -> bool {
    !plan.roster.database.acknowledgers.contains(&id)
}

/// Degraded: lets commits wait again as soon as a replica has caught up.
fn restore(
    plan: &mut Planner<'_>,
    leader: InstanceId,
    status: &DatabaseStatus,
    connected: &[(InstanceId, &DatabaseStatus)],
    wanted: bool,
) {
    let near = |holds: &Gtids| status.gtid.ahead_of(holds) <= CAUGHT_UP;
    let ready = connected.iter().find(|(_, replica)| near(replica.holds())).map(|(id, _)| *id);
    let because = plan.roster.database.degraded.as_ref().map(|degraded| degraded.because.clone());
    let because = because.unwrap_or_default();
    let Some(replica) = ready else {
        if status.semi_sync.enabled {
            switch(plan, leader, false, &because);
        }
        if let Some(degraded) = &mut plan.roster.database.degraded {
            degraded.goal = None;
        }
        if wanted {
            // A first replica that is being made is no loss.
            let first =
                plan.roster.database.acknowledgers.is_empty() && plan.roster.database.changed.is_none();
            let kind = if first { WaitKind::Progress } else { WaitKind::Trouble };
            plan.wait(
                kind,
                leader,
                format!("a replica has its writes too; they are on one server only: {because}"),
            );
        }
        return;
    };
    plan.wait(WaitKind::Progress, leader, format!("its writes are on {replica} too"));
    if !status.semi_sync.enabled {
        switch(plan, leader, true, &format!("{replica} has caught up"));
        return;
    }
    // A step that switches it off may have ended since that answer: the next one has to say the same.
    let busy = plan.sight().busy_with(leader).is_some() || plan.acts_on(leader);
    let told = plan.sight().told(leader).map(|(at, _)| at);
    let now = plan.input.now;
    let Some(degraded) = &mut plan.roster.database.degraded else { return };
    if busy {
        degraded.goal = None;
        return;
    }
    let goal = degraded.goal.get_or_insert_with(|| Goal { at: now, gtid: status.gtid.clone() });
    let still = told.is_some_and(|told| told > goal.at);
    if still && connected.iter().any(|(_, replica)| replica.holds().contains(&goal.gtid)) {
        plan.roster.database.degraded = None;
    }
}

fn switch(plan: &mut Planner<'_>, leader: InstanceId, wait: bool, why: &str) {
    let because = match wait {
        true => format!("the commits of {leader} wait for a replica again: {why}"),
        false => format!("the commits of {leader} no longer wait for a replica: {why}"),
    };
    plan.step(Action::SemiSync { instance: leader, term: plan.roster.term, wait }, because);
}
