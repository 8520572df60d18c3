//! What `up` would do where no daemon runs: the planner's answer for a host on which nothing runs.
//! Nothing is started, kept or changed.

use super::hands::{Numbering, would_take};
use super::operator::{builds_otherwise, next_intent};
use crate::api::types::UpRequest;
use crate::store::{SqliteStore, Store};
use miette::{IntoDiagnostic, miette};
use std::collections::BTreeMap;
use stoa_decide::Input;
use stoa_model::observed::{DataState, Detail, HostObserved, InstanceObserved, ProcessState, ReleaseState};
use stoa_model::site::DatabaseEngine;
use stoa_model::{HostId, Intent, Observed, Paths, Plan, Roster, Routes};
use stoa_tiers::host::{clock, ports};
use stoa_tiers::{app, database};

/// More than any plan hands out.
const FREE_PORTS: usize = 48;

/// The plan for `request` on a host on which nothing runs.
pub(crate) fn plan(paths: &Paths, request: &UpRequest) -> miette::Result<Plan> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(async {
        let (before, roster, routes) = remembered(paths).await?;
        let mut numbering = Numbering::default();
        if let Some(before) = &before {
            numbering.same_from = before.built_from;
            numbering.next = before.release.number() + 1;
            if builds_otherwise(before, &request.site) {
                numbering = numbering.anew();
            }
        }
        let taken = would_take(paths, &request.site, numbering)
            .await
            .map_err(|problem| miette!(help = problem.next, "{}: {}", problem.what, problem.why))?;
        let intent = next_intent(before, request.site.clone(), taken.release, numbering);
        let observed = nothing_runs(paths, &intent, &roster).await;
        let now = clock::now();
        Ok(stoa_decide::plan(&Input {
            intent: &intent,
            roster: &roster,
            routes: &routes,
            observed: &observed,
            demand: &BTreeMap::new(),
            paths,
            now,
        }))
    })
}

async fn remembered(paths: &Paths) -> miette::Result<(Option<Intent>, Roster, Routes)> {
    // Opening a store makes one: where there is none, there is nothing to remember.
    if !paths.database().exists() {
        return Ok((None, Roster::default(), Routes::default()));
    }
    let store = SqliteStore::open(&paths.database()).into_diagnostic()?;
    let (roster, routes) = store.decided().await.into_diagnostic()?;
    Ok((store.intent().await.into_diagnostic()?, roster, routes))
}

async fn nothing_runs(paths: &Paths, intent: &Intent, roster: &Roster) -> Observed {
    let mut releases = app::build::observe(paths);
    releases.entry(intent.release.clone()).or_insert(ReleaseState::Taken);
    let engine = intent.site.database.as_ref().map_or(DatabaseEngine::Mariadb, |database| database.engine);
    let installed = match roster.primary {
        Some(primary) => database::data::installed(primary, engine).await.ok(),
        None => None,
    };
    let seen = |id| {
        let data = match &installed {
            Some(installed) => database::data::state(&paths.data(id), installed),
            None => DataState::Unknown,
        };
        InstanceObserved { process: ProcessState::Absent, data, full: None, detail: Detail::None }
    };
    let host = HostObserved {
        at: clock::now(),
        instances: roster.instances.keys().map(|id| (*id, seen(*id))).collect(),
        releases,
        static_roots: Vec::new(),
        tasks: BTreeMap::new(),
        salvaged: BTreeMap::new(),
        free_ports: ports::free_ports(FREE_PORTS, 0),
        busy: Vec::new(),
        failures: BTreeMap::new(),
    };
    Observed { hosts: [(HostId::local(), host)].into() }
}
