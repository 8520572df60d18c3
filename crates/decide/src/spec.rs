//! Intent and roster -> what an instance is to run as. Only derivation, no choice.

use crate::Input;
use stoa_model::roster::Assignment;
use stoa_model::site::{AppKind, AppTier};
use stoa_model::spec::{
    AppSpec, BalancerSpec, CacheAccess, CacheSpec, DatabaseAccess, DatabaseSpec, Secrets, SplitterSpec,
    WebSpec,
};
use stoa_model::{Endpoint, InstanceId, ReleaseId, Roster, Spec, Tier};

/// What `id` is to run as. `None` where its tier is not part of the site (any more) or something that it
/// is told about has no place yet.
pub(crate) fn of(input: &Input<'_>, roster: &Roster, id: InstanceId) -> Option<Spec> {
    let place = roster.instances.get(&id)?;
    match id.tier {
        Tier::Balancer => Some(Spec::Balancer(balancer(input, place))),
        Tier::Web => Some(Spec::Web(web(input, place))),
        Tier::App => {
            app(input, roster, place.release.clone()?, &place.endpoint, place.restart).map(Spec::App)
        }
        Tier::Splitter => splitter(input, roster, place).map(Spec::Splitter),
        Tier::Database => database(input, id, place).map(Spec::Database),
        Tier::Cache => cache(input, place).map(Spec::Cache),
    }
}

fn balancer(input: &Input<'_>, place: &Assignment) -> BalancerSpec {
    BalancerSpec {
        web_face: input.intent.site.balancer.listen,
        app_face: Endpoint::Unix(input.paths.app_face()),
        control: place.endpoint.clone(),
        restart: place.restart,
    }
}

fn web(input: &Input<'_>, place: &Assignment) -> WebSpec {
    let site = &input.intent.site;
    WebSpec {
        endpoint: place.endpoint.clone(),
        names: site.domains.clone(),
        upstream: site.app.as_ref().map(|_| Endpoint::Unix(input.paths.app_face())),
        kind: site.app.as_ref().map_or(AppKind::Http, |app| app.kind),
        files: site.web.files.clone(),
        max_body: site.web.max_body,
        timeout: site.web.timeout,
        restart: place.restart,
    }
}

/// What a task of a deployment is run as: an instance of `release` that has no place. `None` where
/// something that it is told about has no place yet.
pub(crate) fn of_a_task(input: &Input<'_>, roster: &Roster, release: &ReleaseId) -> Option<AppSpec> {
    // Nobody connects to it; what it is given as its address is where its like are reached.
    let endpoint = Endpoint::Unix(input.paths.app_face());
    app(input, roster, release.clone(), &endpoint, input.intent.restarts(Tier::App))
}

fn app(
    input: &Input<'_>,
    roster: &Roster,
    release: ReleaseId,
    endpoint: &Endpoint,
    restart: u64,
) -> Option<AppSpec> {
    let site = &input.intent.site;
    let app = site.app.as_ref()?;
    let database = match &site.database {
        None => None,
        Some(database) => {
            Some(DatabaseAccess { address: roster.sql_face.clone()?, name: database.name.clone() })
        }
    };
    let cache = match &site.cache {
        None => None,
        Some(cache) => {
            let (_, place) = roster.tier(Tier::Cache).find(|(_, place)| place.retiring.is_none())?;
            Some(CacheAccess { engine: cache.engine, endpoint: place.endpoint.clone() })
        }
    };
    Some(AppSpec {
        site: site.name.clone(),
        release,
        kind: app.kind,
        run: app.run.clone(),
        endpoint: endpoint.clone(),
        env: app.env.clone(),
        persist: app.persist.clone(),
        health: app.health.clone(),
        start_timeout: app.start_timeout,
        stop_timeout: app.stop_timeout,
        memory: app.memory,
        database,
        cache,
        restart,
        environment: site.environment.clone(),
        secrets: secrets(app, input.intent.secrets),
    })
}

/// What changes of other secrets mean nothing to an instance that is given none.
fn secrets(app: &AppTier, changes: u64) -> Secrets {
    if app.secrets.is_empty() { Secrets::default() } else { Secrets { names: app.secrets.clone(), changes } }
}

fn splitter(input: &Input<'_>, roster: &Roster, place: &Assignment) -> Option<SplitterSpec> {
    let database = input.intent.site.database.as_ref()?;
    let Some(Endpoint::Tcp(address)) = roster.sql_face else { return None };
    Some(SplitterSpec {
        address,
        socket: Endpoint::Unix(input.paths.sql_face()),
        control: place.endpoint.clone(),
        rules: database.splitter.rules,
        tls: database.tls,
        restart: place.restart,
    })
}

fn database(input: &Input<'_>, id: InstanceId, place: &Assignment) -> Option<DatabaseSpec> {
    let database = input.intent.site.database.as_ref()?;
    Some(DatabaseSpec {
        engine: database.engine,
        endpoint: place.endpoint.clone(),
        socket: Endpoint::Unix(input.paths.socket(id)),
        server_id: u32::from(id.number),
        name: database.name.clone(),
        memory: database.memory,
        tls: database.tls,
        restart: place.restart,
    })
}

fn cache(input: &Input<'_>, place: &Assignment) -> Option<CacheSpec> {
    let cache = input.intent.site.cache.as_ref()?;
    Some(CacheSpec {
        engine: cache.engine,
        endpoint: place.endpoint.clone(),
        memory: cache.memory,
        eviction: cache.eviction,
        restart: place.restart,
    })
}
