//! Redis and Memcached: how each is run, and whether it is well.

mod render;

use crate::health;
use crate::host::launch::{Launch, Limits, RunAs, StopSignal};
use crate::host::{Credentials, HostError, programs};
use std::time::Duration;
use stoa_model::site::CacheEngine;
use stoa_model::spec::CacheSpec;
use stoa_model::{Endpoint, InstanceId, Paths, Spec, Tier};

/// How a cache server is to be started. Pure.
pub fn launch(
    instance: InstanceId,
    spec: &CacheSpec,
    paths: &Paths,
    credentials: &Credentials,
) -> Result<Launch, HostError> {
    let Endpoint::Tcp(address) = &spec.endpoint else {
        let why = format!("a cache listens on a TCP address, not on {}", spec.endpoint);
        return Err(HostError::Config { instance, why });
    };
    let data = paths.data(instance);
    let (argv, files) = match spec.engine {
        CacheEngine::Redis => {
            let file = render::redis(instance, spec, *address, paths, credentials)?;
            (vec!["redis-server".into(), file.path.clone().into()], vec![file])
        }
        CacheEngine::Memcached => (render::memcached(spec, *address), Vec::new()),
    };
    Ok(Launch {
        instance,
        argv,
        environment: programs::environment(),
        directory: data.clone(),
        user: RunAs::Tier(Tier::Cache),
        limits: Limits::default(),
        stop_signal: StopSignal::Term,
        spec: Spec::Cache(spec.clone()),
        release: None,
        files,
        folders: vec![data],
        held: None,
    })
}

/// Whether a cache server answers.
pub async fn check(spec: &CacheSpec, credentials: &Credentials, timeout: Duration) -> Result<(), String> {
    match spec.engine {
        CacheEngine::Redis => health::redis(&spec.endpoint, credentials.cache(), timeout).await,
        CacheEngine::Memcached => health::memcached(&spec.endpoint, timeout).await,
    }
}

#[cfg(test)]
mod tests;
