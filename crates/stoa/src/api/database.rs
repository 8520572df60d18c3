//! How the database stands, put together from what was decided, what its servers say and what the splitters
//! report. It judges nothing.

use super::State;
use super::status::View;
use super::types::Problem;
use super::types::database::{DatabaseFacts, DatabaseReport, DatabaseServer, DatabaseTop};
use std::collections::BTreeMap;
use stoa_model::control::{DIGESTS_MAX, DigestReport};
use stoa_model::observed::{DatabaseStatus, Detail, InstanceObserved, ProcessState};
use stoa_model::roster::Assignment;
use stoa_model::{InstanceId, Tier};
use stoa_tiers::host::clock;

/// Everything `stoa db status` shows.
pub(super) async fn report(state: &State) -> Result<DatabaseReport, Problem> {
    let known = super::status::Known::read(state).await?;
    let view = known.view(state);
    let Some(database) = &view.intent.site.database else { return Err(none(&view)) };
    let cluster = &view.roster.database;
    let primary = view.roster.primary.and_then(|id| status_of(&view, id));
    let servers = view.roster.tier(Tier::Database).map(|(id, place)| server(&view, id, place, primary));
    let splitters: Vec<_> = view.reports().filter_map(|report| report.sql.as_ref()).collect();
    Ok(DatabaseReport {
        engine: view.software(Tier::Database),
        primary: view.roster.primary,
        term: view.roster.term,
        address: view.roster.sql_face.clone(),
        consistency: database.splitter.rules.consistency,
        changed: cluster.changed.clone(),
        changed_ago: cluster.changed.as_ref().map(|change| clock::now().since(change.at)),
        handover: cluster.handover.clone(),
        degraded: cluster.degraded.clone(),
        switchover: cluster.switchover.clone(),
        servers: servers.collect(),
        held: splitters.iter().map(|report| report.held).sum(),
        sessions: splitters.iter().map(|report| report.sessions).sum(),
    })
}

/// Which statements take the time, over all splitters.
pub(super) async fn top(state: &State) -> Result<DatabaseTop, Problem> {
    let known = super::status::Known::read(state).await?;
    let view = known.view(state);
    if view.intent.site.database.is_none() {
        return Err(none(&view));
    }
    let mut digests: BTreeMap<String, DigestReport> = BTreeMap::new();
    let mut statements: BTreeMap<InstanceId, u64> = BTreeMap::new();
    for report in view.reports().filter_map(|report| report.sql.as_ref()) {
        for (id, of) in &report.instances {
            *statements.entry(*id).or_default() += of.statements;
        }
        for row in &report.digests {
            digests.entry(row.digest.clone()).and_modify(|sum| add(sum, row)).or_insert_with(|| row.clone());
        }
    }
    let mut digests: Vec<_> = digests.into_values().collect();
    digests.sort_by_key(|row| std::cmp::Reverse(row.time_us));
    digests.truncate(DIGESTS_MAX);
    Ok(DatabaseTop { digests, statements })
}

fn add(sum: &mut DigestReport, row: &DigestReport) {
    sum.primary += row.primary;
    sum.replica += row.replica;
    sum.errors += row.errors;
    sum.rows += row.rows;
    sum.time_us += row.time_us;
    sum.longest_us = sum.longest_us.max(row.longest_us);
}

fn server(
    view: &View<'_>,
    id: InstanceId,
    place: &Assignment,
    primary: Option<&DatabaseStatus>,
) -> DatabaseServer {
    let one = view.instance(id, place);
    DatabaseServer {
        id,
        role: one.role.unwrap_or_default(),
        state: one.state,
        note: one.note,
        endpoint: one.endpoint,
        tls: seen(view, id)
            .is_some_and(|seen| matches!(&seen.process, ProcessState::Running(running) if running.tls)),
        facts: status_of(view, id).map(|status| facts(status, primary)),
    }
}

fn facts(status: &DatabaseStatus, primary: Option<&DatabaseStatus>) -> DatabaseFacts {
    DatabaseFacts {
        writable: status.writable,
        term: status.term,
        gtid: status.gtid.clone(),
        behind: primary.map(|primary| primary.gtid.ahead_of(&status.gtid)),
        lag_seconds: status.replication.as_ref().and_then(|replication| replication.lag_seconds),
        semi_sync: status.semi_sync,
        version: status.version.clone(),
        drift: status.drift.clone(),
    }
}

fn status_of<'a>(view: &View<'a>, id: InstanceId) -> Option<&'a DatabaseStatus> {
    match &seen(view, id)?.detail {
        Detail::Database { status, .. } => Some(status),
        _ => None,
    }
}

fn seen<'a>(view: &View<'a>, id: InstanceId) -> Option<&'a InstanceObserved> {
    view.observed.hosts.values().find_map(|host| host.instances.get(&id))
}

fn none(view: &View<'_>) -> Problem {
    Problem::from_text(
        format!("the site {} has no database", view.intent.site.name),
        "its file has no table [database]",
        "add an empty [database] to stoa.toml and type: stoa up",
    )
}
