//! The schema: which tables and keys a `stoa.toml` has, with their defaults and bounds. One function a
//! table.

use super::reader::{Reader, Section, choice, count, measure, text};
use super::{Refusal, command, refuse, source, units};
use crate::ids::{EnvironmentName, SiteName};
use crate::site::{
    AppKind, AppTier, BalancerTier, Bytes, CacheEngine, CacheTier, CommandLine, Count, DatabaseEngine,
    DatabaseTier, DeployRules, Domain, Eviction, InnerPath, Site, Source, SourceLocation, UrlPath, WebTier,
};
use crate::time::Millis;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use toml::Spanned;
use toml::de::DeValue;

const TB: Bytes = Bytes(1 << 40);

/// What `[app] kind` may say; a site of static files has no application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Php,
    Static,
}

/// What an application is told about besides its own variables.
struct Given {
    database: bool,
    cache: Option<CacheEngine>,
}

/// The whole file; `None` where something without a default is missing or refused.
pub(super) fn site(reader: &mut Reader<'_>, folder: &Path) -> Option<Site> {
    let (has_database, has_cache) = (reader.has("database"), reader.has("cache"));
    let identity = identity(&mut reader.section("site"));
    let balancer = balancer(&mut reader.section("balancer"));
    let cache = cache(&mut reader.section("cache"), has_cache);
    let given = Given { database: has_database, cache: cache.as_ref().map(|cache| cache.engine) };
    let written = reader.has("app");
    let (kind, app, source) = app(&mut reader.section("app"), written, &given, folder);
    let web = web(&mut reader.section("web"), kind);
    let name = identity.as_ref().map(|(name, _)| name);
    let database = database(&mut reader.section("database"), has_database, name);
    let (name, domains) = identity?;
    Some(Site {
        name,
        domains,
        balancer,
        web,
        app,
        source,
        database,
        cache,
        environment: EnvironmentName::default(),
        deploy: DeployRules::default(),
        add_host: None,
    })
}

fn identity(site: &mut Section<'_, '_>) -> Option<(SiteName, Vec<Domain>)> {
    let missing = refuse("a site needs a name", "write [site] and below it name = \"my-shop\"");
    let name = site.require("name", missing, |value| {
        let parsed = text(value)?.parse::<SiteName>();
        parsed.map_err(|_| {
            let fix = "write 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"my-shop\"";
            refuse("it names folders, users and databases, so it must be plain", fix)
        })
    });
    let missing = refuse("a site needs a domain", "write below [site] domain = \"www.example.com\"");
    let domain = site.require("domain", missing, |value| Domain::parse(text(value)?));
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

fn balancer(balancer: &mut Section<'_, '_>) -> BalancerTier {
    let instances = balancer.read("instances", |value| count(value, 1..=8)).unwrap_or(2);
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
    let listen = balancer.read("listen", |value| listen(text(value)?)).unwrap_or(everywhere);
    BalancerTier { instances, listen }
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
    let instances = Count::fixed(web.read("instances", |value| count(value, 1..=100)).unwrap_or(2));
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

fn app(
    app: &mut Section<'_, '_>,
    written: bool,
    given: &Given,
    folder: &Path,
) -> (Kind, Option<AppTier>, Source) {
    let kinds = [("http", Kind::Http), ("php", Kind::Php), ("static", Kind::Static)];
    let kind = app.read("kind", |value| choice(value, &kinds)).unwrap_or(Kind::Http);
    if !written {
        let fix = "write [app] and below it run = \"…\", kind = \"php\" or kind = \"static\"";
        app.complain("run", refuse("nothing says what the site consists of", fix));
    }
    let source = code(app, folder);
    let env = app.map("env", |name| variable_name(name, given), variable_value).unwrap_or_default();
    let run = app.read("run", |value| CommandLine::parse(text(value)?));
    check_run(app, kind, written, run.as_ref(), &env, given);
    let tier = AppTier {
        kind: if kind == Kind::Php { AppKind::Php } else { AppKind::Http },
        instances: Count::fixed(app.read("instances", |value| count(value, 1..=100)).unwrap_or(2)),
        run,
        env,
        persist: persist(app),
        health: app
            .read("health", |value| UrlPath::parse(text(value)?))
            .unwrap_or_else(|| UrlPath("/".to_owned())),
        start_timeout: app
            .read("start_timeout", |value| units::timeout(measure(value, "30s")?))
            .unwrap_or(Millis::from_secs(60)),
        stop_timeout: app
            .read("stop_timeout", |value| units::timeout(measure(value, "30s")?))
            .unwrap_or(Millis::from_secs(30)),
        memory: app
            .read("memory", |value| Bytes::parse_within(measure(value, "64MB")?, Bytes(16 << 20)..=TB)),
        concurrency: None,
        target_wait: Millis(100),
        secrets: Vec::new(),
    };
    if kind != Kind::Static {
        return (kind, Some(tier), source);
    }
    for key in ["env", "instances", "persist", "health", "start_timeout", "stop_timeout", "memory"] {
        if app.has(key) {
            app.complain(key, refuse("a site of static files has no application", "take this line out"));
        }
    }
    (kind, None, source)
}

fn code(app: &mut Section<'_, '_>, folder: &Path) -> Source {
    let location = app.read("source", |value| source::location(text(value)?, folder));
    let reference = app.read("ref", |value| source::reference(text(value)?));
    let build = app.list("build", |value| CommandLine::parse(text(value)?));
    let build = build.map(|commands| commands.into_iter().map(Spanned::into_inner).collect());
    let build_timeout = app.read("build_timeout", |value| units::timeout(measure(value, "30s")?));
    Source {
        location: location.unwrap_or_else(|| SourceLocation::Folder(folder.to_path_buf())),
        reference: reference.unwrap_or_else(|| "HEAD".to_owned()),
        build,
        build_timeout: build_timeout.unwrap_or(Millis::from_secs(600)),
    }
}

/// `run` belongs to `http` and to nothing else, and names only variables that it will have.
fn check_run(
    app: &mut Section<'_, '_>,
    kind: Kind,
    written: bool,
    run: Option<&CommandLine>,
    env: &BTreeMap<String, String>,
    given: &Given,
) {
    match kind {
        Kind::Php if app.has("run") => {
            app.complain("run", refuse("php-fpm runs a PHP site by itself", "take this line out"));
        }
        Kind::Static if app.has("run") => {
            app.complain("run", refuse("a site of static files runs nothing", "take this line out"));
        }
        Kind::Http if written && !app.has("run") => {
            let fix = "write run = \"gunicorn app:app --bind $HOST:$PORT\" or run = \"node server.js\"; \
                       for PHP write kind = \"php\", for plain files kind = \"static\"";
            app.complain("run", refuse("nothing says how the application is started", fix));
        }
        _ => {}
    }
    let mut known = vec!["HOST", "PORT", "PATH", "HOME", "USER", "LANG", "TMPDIR"];
    known.extend(["STOA_SITE", "STOA_ENVIRONMENT", "STOA_RELEASE", "STOA_INSTANCE"]);
    known.extend(given.variables().map(|name| -> &str { name }));
    known.extend(env.keys().map(String::as_str));
    let strange = run.into_iter().flat_map(CommandLine::variables).find(|name| !known.contains(name));
    if let Some(name) = strange {
        let near = known.iter().find(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let fix = match (given.line_that_sets(name), near) {
            (Some(line), _) => format!("write {line}, or {name} = \"…\" below [app.env]"),
            (None, Some(near)) => format!("did you mean ${near}?"),
            (None, None) => format!("write {name} = \"…\" below [app.env]"),
        };
        app.complain("run", refuse(format!("nothing sets the variable ${name}"), fix));
    }
}

impl Given {
    fn variables(&self) -> impl Iterator<Item = &'static str> {
        let database: &[&str] = if self.database { &["DATABASE_URL", "DATABASE_REPLICA_URL"] } else { &[] };
        let cache: &[&str] = match self.cache {
            Some(CacheEngine::Redis) => &["CACHE_URL", "REDIS_URL"],
            Some(CacheEngine::Memcached) => &["CACHE_URL", "MEMCACHED_URL"],
            None => &[],
        };
        database.iter().chain(cache).copied()
    }

    /// What would have to be written for the variable `name` to be set.
    fn line_that_sets(&self, name: &str) -> Option<&'static str> {
        match (name, self.cache) {
            ("DATABASE_URL" | "DATABASE_REPLICA_URL", _) => Some("the table [database]"),
            ("CACHE_URL" | "REDIS_URL", None) => Some("the table [cache]"),
            ("REDIS_URL", _) => Some("engine = \"redis\" below [cache]"),
            ("MEMCACHED_URL", _) => Some("[cache] and below it engine = \"memcached\""),
            _ => None,
        }
    }
}

fn variable_name(name: &str, given: &Given) -> Result<String, Refusal> {
    if name.len() > 100 || !command::is_variable_name(name) {
        let fix = "write letters, digits and _, not beginning with a digit, such as LOG_LEVEL";
        return Err(refuse("it cannot name a variable of the environment", fix));
    }
    let own = matches!(name, "HOST" | "PORT") || name.starts_with("STOA_") || name.starts_with("LISTEN_");
    if own || given.variables().any(|set| set == name) {
        return Err(refuse(format!("{name} is set by Stoa"), "take it out, or choose another name"));
    }
    Ok(name.to_owned())
}

fn variable_value(value: &DeValue<'_>) -> Result<String, Refusal> {
    let value = text(value)?;
    if value.contains('\0') || value.len() > 32 << 10 {
        return Err(refuse(
            "a variable has at most 32 KB and no NUL in it",
            "put it in a file of the release",
        ));
    }
    Ok(value.to_owned())
}

fn persist(app: &mut Section<'_, '_>) -> Vec<InnerPath> {
    let folders = app.list("persist", |value| InnerPath::parse(text(value)?)).unwrap_or_default();
    for (number, spanned) in folders.iter().enumerate() {
        let (place, folder) = (spanned.span(), spanned.get_ref());
        let outer = |(other, outer): (usize, &Spanned<InnerPath>)| {
            let same = outer.get_ref() == folder;
            outer.get_ref().as_str() != "."
                && if same { other < number } else { outer.get_ref().holds(folder) }
        };
        if folder.as_str() == "." {
            let fix = "name the folder that the application writes to, such as \"uploads\"";
            app.complain_at("persist", place, refuse("it is the release itself, which never changes", fix));
        } else if folders.iter().enumerate().any(outer) {
            let fix = "name the outer one, once";
            app.complain_at("persist", place, refuse("it lies in another folder of the list", fix));
        }
    }
    folders.into_iter().map(Spanned::into_inner).collect()
}

fn database(database: &mut Section<'_, '_>, written: bool, site: Option<&SiteName>) -> Option<DatabaseTier> {
    let engines = [("mariadb", DatabaseEngine::Mariadb), ("mysql", DatabaseEngine::Mysql)];
    let engine = database.read("engine", |value| choice(value, &engines));
    let replicas = database.read("replicas", |value| count(value, 0..=8));
    let memory =
        database.read("memory", |value| Bytes::parse_within(measure(value, "64MB")?, Bytes(16 << 20)..=TB));
    let name = database.read("name", |value| schema_name(text(value)?));
    let default = site.map(|site| site.to_string().replace('-', "_")).unwrap_or_default();
    if written && !database.has("name") && is_system_schema(&default) {
        let fix = format!("write name = \"{default}_site\"");
        database
            .complain("name", refuse(format!("{default}, after the site, is a schema of the server"), fix));
    }
    let tier = DatabaseTier {
        engine: engine.unwrap_or(DatabaseEngine::Mariadb),
        replicas: replicas.unwrap_or(1),
        name: name.unwrap_or(default),
        memory: memory.unwrap_or(Bytes(256 << 20)),
    };
    written.then_some(tier)
}

fn schema_name(name: &str) -> Result<String, Refusal> {
    let fix = "write 1 to 64 of a-z, 0-9 and _, beginning with a letter, such as \"my_shop\"";
    let plain = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !plain || name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(refuse("it is no plain name of a schema", fix));
    }
    if is_system_schema(name) {
        return Err(refuse("it is a schema of the server's own", fix));
    }
    Ok(name.to_owned())
}

fn is_system_schema(name: &str) -> bool {
    matches!(name, "mysql" | "sys" | "information_schema" | "performance_schema")
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
