//! `[database]` and `[splitter]`.

use super::super::reader::{Section, choice, count, flag, measure, text};
use super::super::{Refusal, refuse, units};
use super::TB;
use crate::ids::SiteName;
use crate::site::{
    Bytes, Consistency, DatabaseEngine, DatabaseTier, OnLostReplica, SplitterRules, SplitterTier,
    StatementLimits,
};

/// The whole table; none where it is not written.
pub(super) fn database(
    database: &mut Section<'_, '_>,
    written: bool,
    site: Option<&SiteName>,
    splitter: SplitterTier,
) -> Option<DatabaseTier> {
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
    let replicas = replicas.unwrap_or(1);
    let policies = [("block", OnLostReplica::Block), ("degrade", OnLostReplica::Degrade)];
    let policy = database.read("on_lost_replica", |value| choice(value, &policies));
    let tls = database.read("tls", flag).unwrap_or_default();
    let usual = if replicas >= 2 { OnLostReplica::Block } else { OnLostReplica::Degrade };
    let tier = DatabaseTier {
        engine: engine.unwrap_or(DatabaseEngine::Mariadb),
        replicas,
        on_lost_replica: policy.unwrap_or(usual),
        tls,
        name: name.unwrap_or(default),
        memory: memory.unwrap_or(Bytes(256 << 20)),
        splitter,
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

/// How the application reaches the database. Without one there is nothing to split.
pub(super) fn splitter(splitter: &mut Section<'_, '_>, alone: bool) -> SplitterTier {
    let usual = SplitterTier::default();
    let rules = usual.rules;
    let kinds = [
        ("session", Consistency::Session),
        ("global", Consistency::Global),
        ("eventual", Consistency::Eventual),
    ];
    let instances = splitter.read("instances", |value| count(value, 1..=8)).unwrap_or(usual.instances);
    let consistency = splitter.read("consistency", |value| choice(value, &kinds));
    let connections = splitter.read("connections", |value| count(value, 1..=1000));
    let limits = StatementLimits {
        rows: splitter.read("statement_rows", |value| count(value, 1..=1_000_000_000)),
        time: splitter.read("statement_time", |value| units::timeout(measure(value, "10s")?)),
        concurrency: splitter.read("statement_concurrency", |value| count(value, 1..=10_000)),
    };
    let mut span =
        |key, usual| splitter.read(key, |value| units::timeout(measure(value, "10s")?)).unwrap_or(usual);
    let rules = SplitterRules {
        consistency: consistency.unwrap_or(rules.consistency),
        max_lag: span("max_lag", rules.max_lag),
        connections: connections.unwrap_or(rules.connections),
        hold: span("hold", rules.hold),
        slow: span("slow", rules.slow),
        limits,
    };
    if alone {
        let fix = "add an empty table [database], or take this one away";
        splitter.complain("instances", refuse("the site has no database to split statements for", fix));
    }
    SplitterTier { instances, rules }
}
