//! The daemon: agent, controller and API of a site in one process, and how it is started.

pub(crate) mod agent;
mod between;
mod checks;
pub(crate) mod controller;
mod faces;
mod gauges;
pub(crate) mod hands;
mod housekeeping;
mod keeper;
mod known;
mod links;
mod meter;
mod operator;
mod preview;
mod seen;
mod start;
mod told;

pub(crate) use controller::Trouble;
pub(crate) use gauges::Gauges;
pub(crate) use keeper::keep;
pub(crate) use operator::Operator;
pub(crate) use preview::plan as preview;
pub(crate) use start::ensure;

use crate::api;
use crate::cycle;
use crate::store::{SqliteStore, Store};
use agent::Agent;
use controller::Controller;
use hands::Hands;
use miette::{IntoDiagnostic, WrapErr, miette};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use stoa_model::{HostId, Paths};
use tokio::sync::Notify;

/// Runs the daemon of the site whose state lies at `paths` until the site was asked to be off and is, or
/// the daemon is asked to end (SIGTERM: the site stays up).
pub(crate) fn run(paths: &Paths) -> miette::Result<ExitCode> {
    let lock = std::fs::File::create(paths.lock()).into_diagnostic().wrap_err("the daemon's lock")?;
    if lock.try_lock().is_err() {
        return Ok(ExitCode::from(keeper::ALREADY_RUNS));
    }
    // One thread: the daemon decides and starts things; all traffic is in the roles.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()?;
    runtime.block_on(serve(paths))?;
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

async fn serve(paths: &Paths) -> miette::Result<()> {
    let wake = Arc::new(Notify::new());
    let store = Arc::new(SqliteStore::open(&paths.database()).into_diagnostic()?);
    let hands = Hands::open(paths.clone(), wake.clone()).await.map_err(|error| miette!("{error}"))?;
    // What a daemon before this one was asked for says which engine the data here is of.
    if let Some(intent) = store.intent().await.into_diagnostic()? {
        hands.expect(&intent);
    }
    let hands = Arc::new(hands);
    let agent = Arc::new(Agent::new(HostId::local(), store.clone(), hands.clone(), wake.clone()));
    let down_asked = Arc::new(AtomicBool::new(false));
    let controller = Controller::new(store.clone(), paths.clone(), down_asked.clone());
    let gauges = Arc::new(Gauges::new());
    tokio::spawn(gauges::run(gauges.clone(), hands.clone(), paths.clone()));
    tokio::spawn(housekeeping::run(paths.clone()));
    tokio::spawn(meter::run(store.clone(), hands.clone()));
    let operator =
        Operator::new(paths.clone(), store.clone(), hands, agent.clone(), wake.clone(), down_asked);
    let operator = Arc::new(operator);
    let trouble = controller.trouble();
    api::serve(paths, api::State { store, operator, gauges, trouble, paths: paths.clone() }).await?;
    tracing::info!(pid = std::process::id(), "the daemon is up");

    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).into_diagnostic()?;
    tokio::select! {
        () = cycle::run(&agent, &controller, wake) => tracing::info!("the site is off; the daemon ends"),
        _ = terminate.recv() => tracing::info!("asked to end; the site stays up without the daemon"),
    }
    let _ = std::fs::remove_file(paths.api_socket());
    Ok(())
}
