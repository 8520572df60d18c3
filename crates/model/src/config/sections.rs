//! The schema: which tables and keys a `stoa.toml` has, with their defaults and bounds. One function a
//! table.

mod app;
mod database;
mod deploy;
mod variables;

pub use variables::secret_name;

use super::reader::{Reader, Section, choice, count, measure, text};
use super::{Refusal, refuse, units};
use crate::ids::{EnvironmentName, SiteName};
use crate::site::{
    BalancerTier, Bytes, CacheEngine, CacheTier, CommandLine, Count, Domain, Eviction, InnerPath, Site,
    UrlPath, WebTier,
};
use crate::time::Millis;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use toml::Spanned;
use variables::Given;

const TB: Bytes = Bytes(1 << 40);

/// What depends on which environment is read, where the file does not say it.
pub(super) struct Usual {
    /// Which.
    pub(super) environment: EnvironmentName,
    /// `[site] domain`, or why it must be written.
    pub(super) domain: Result<Domain, Refusal>,
    /// `[balancer] listen`, or why it must be written.
    pub(super) listen: Result<SocketAddr, Refusal>,
}

/// What `[app] kind` may say; a site of static files has no application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Php,
    Static,
}

impl Usual {
    /// What production has.
    pub(super) fn production() -> Self {
        Usual {
            environment: EnvironmentName::default(),
            domain: Err(refuse("a site needs a domain", "write below [site] domain = \"www.example.com\"")),
            listen: Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080))),
        }
    }
}

/// The whole file; `None` where something without a default is missing or refused.
pub(super) fn site(reader: &mut Reader<'_>, folder: &Path, usual: &Usual) -> Option<Site> {
    let (has_database, has_cache) = (reader.has("database"), reader.has("cache"));
    let identity = identity(&mut reader.section("site"), usual);
    let balancer = balancer(&mut reader.section("balancer"), usual);
    let cache = cache(&mut reader.section("cache"), has_cache);
    let given = Given { database: has_database, cache: cache.as_ref().map(|cache| cache.engine) };
    let written = reader.has("app");
    let app = app::app(&mut reader.section("app"), written, given, folder);
    let web = web(&mut reader.section("web"), app.kind);
    let name = identity.as_ref().map(|(name, _)| name);
    let has_splitter = reader.has("splitter");
    let splitter = database::splitter(&mut reader.section("splitter"), has_splitter && !has_database);
    let database = database::database(&mut reader.section("database"), has_database, name, splitter);
    let deploy = deploy::deploy(&mut reader.section("deploy"), app.kind, &app.variables);
    let add_host = hosts(&mut reader.section("hosts"));
    reader.passes_over("environments");
    let (name, domains) = identity?;
    Some(Site {
        name,
        domains,
        balancer: balancer?,
        web,
        app: app.tier,
        source: app.source,
        database,
        cache,
        environment: usual.environment.clone(),
        deploy,
        add_host,
    })
}

fn identity(site: &mut Section<'_, '_>, usual: &Usual) -> Option<(SiteName, Vec<Domain>)> {
    let missing = refuse("a site needs a name", "write [site] and below it name = \"my-shop\"");
    let name = site.read_or("name", Err(missing), |value| {
        let parsed = text(value)?.parse::<SiteName>();
        parsed.map_err(|_| {
            let fix = "write 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"my-shop\"";
            refuse("it names folders, users and databases, so it must be plain", fix)
        })
    });
    let domain = site.read_or("domain", usual.domain.clone(), |value| Domain::parse(text(value)?));
    let aliases = site.list("aliases", |value| Domain::parse(text(value)?)).unwrap_or_default();
    let mut domains = vec![domain?];
    for alias in aliases {
        if domains.contains(alias.get_ref()) {
            site.complain_at("aliases", alias.span(), refuse("it is named twice", "name each host once"));
        } else {
            domains.push(alias.into_inner());
        }
    }
    Some((name?, domains))
}

fn balancer(balancer: &mut Section<'_, '_>, usual: &Usual) -> Option<BalancerTier> {
    let instances = balancer.read("instances", |value| count(value, 1..=8)).unwrap_or(2);
    let listen = balancer.read_or("listen", usual.listen.clone(), |value| listen(text(value)?))?;
    Some(BalancerTier { instances, listen })
}

fn listen(text: &str) -> Result<SocketAddr, Refusal> {
    let fix = "write an address and a port, such as \"0.0.0.0:8080\", \"127.0.0.1:8080\" or \"[::]:8080\"";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err(refuse("port 0 means any port to the kernel", fix)),
        Ok(address) => Ok(address),
        Err(_) if text.parse::<std::net::IpAddr>().is_ok() => Err(refuse("it has no port", fix)),
        Err(_) => Err(refuse("it is no address with a port; names are not looked up", fix)),
    }
}

fn web(web: &mut Section<'_, '_>, kind: Kind) -> WebTier {
    let instances = instances(web);
    let files = web.map("files", UrlPath::parse, |value| InnerPath::parse(text(value)?));
    let files = files.unwrap_or_else(|| default_files(kind));
    let root = files.iter().find(|(url, _)| url.as_str() == "/").map(|(_, folder)| folder);
    match kind {
        Kind::Http => {
            if files.values().any(|folder| folder.as_str() == ".") {
                let fix = "name the folder that holds the public files, such as \"public\"";
                web.complain("files", refuse("\".\" would publish the source of the application", fix));
            }
        }
        Kind::Php | Kind::Static => {
            if root.is_none() {
                let fix = "add \"/\" = \".\" or the folder that holds the index, such as \"/\" = \"public\"";
                web.complain("files", refuse("without \"/\" there is no document root", fix));
            }
        }
    }
    let sizes = Bytes(1 << 10)..=TB;
    let max_body = web.read("max_body", |value| Bytes::parse_within(measure(value, "64MB")?, sizes));
    let timeout = web.read("timeout", |value| units::timeout(measure(value, "30s")?));
    WebTier {
        instances,
        files,
        max_body: max_body.unwrap_or(Bytes(16 << 20)),
        timeout: timeout.unwrap_or(Millis::from_secs(60)),
    }
}

fn default_files(kind: Kind) -> BTreeMap<UrlPath, InnerPath> {
    match kind {
        Kind::Http => BTreeMap::new(),
        Kind::Php | Kind::Static => BTreeMap::from([(UrlPath("/".to_owned()), InnerPath(".".to_owned()))]),
    }
}

/// Between how many and how many instances a tier has that can be auto-scaled.
fn instances(tier: &mut Section<'_, '_>) -> Count {
    let (min, max) = tier.bounds("instances", 1..=100).unwrap_or((2, 2));
    Count { min, max }
}

/// The command that adds a host.
fn hosts(hosts: &mut Section<'_, '_>) -> Option<CommandLine> {
    let mut provision = hosts.section("provision", "hosts.provision");
    let words = provision.list("add", |value| text(value).map(str::to_owned))?;
    let words = words.into_iter().map(Spanned::into_inner).collect();
    CommandLine::from_words(words).map_err(|refusal| provision.complain("add", refusal)).ok()
}

fn cache(cache: &mut Section<'_, '_>, written: bool) -> Option<CacheTier> {
    let engines = [("redis", CacheEngine::Redis), ("memcached", CacheEngine::Memcached)];
    let engine = cache.read("engine", |value| choice(value, &engines)).unwrap_or(CacheEngine::Redis);
    let evictions = [
        ("allkeys-lru", Eviction::AllkeysLru),
        ("allkeys-lfu", Eviction::AllkeysLfu),
        ("volatile-lru", Eviction::VolatileLru),
        ("noeviction", Eviction::Noeviction),
    ];
    let eviction = cache.read("eviction", |value| choice(value, &evictions)).unwrap_or(Eviction::AllkeysLru);
    if engine == CacheEngine::Memcached && eviction != Eviction::AllkeysLru {
        let fix = "write eviction = \"allkeys-lru\" or engine = \"redis\"";
        cache.complain("eviction", refuse("Memcached evicts the least recently used and nothing else", fix));
    }
    let sizes = Bytes(1 << 20)..=TB;
    let memory = cache.read("memory", |value| Bytes::parse_within(measure(value, "64MB")?, sizes));
    written.then_some(CacheTier { engine, eviction, memory: memory.unwrap_or(Bytes(64 << 20)) })
}
