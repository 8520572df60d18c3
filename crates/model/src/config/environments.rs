//! `[environments.NAME]`: copies of the site. Each is the file itself with the tables of the environment
//! laid over it, read by the same schema; what is not said is production's, but for what no two copies may
//! share on one machine.

use super::reader::not_a_table;
use super::sections::Usual;
use super::{ConfigError, Refusal, refuse};
use crate::ids::EnvironmentName;
use crate::site::{Domain, Site};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More copies than this are a mistake, or another site.
const ENVIRONMENTS_MAX: usize = 20;

/// What an environment does not take from production: who it is and where it listens.
const ITS_OWN: [(&str, &str); 3] = [("site", "domain"), ("site", "aliases"), ("balancer", "listen")];

/// One environment as the file writes it.
pub(super) struct Written<'t> {
    pub(super) name: EnvironmentName,
    /// Where its name stands.
    pub(super) head: Range<usize>,
    table: &'t DeTable<'t>,
    /// Its place among the environments of the file, from 1.
    place: u16,
}

/// The environments of the file in the order of their places, without those that are refused, and why
/// these are.
pub(super) fn written<'t>(text: &str, root: &'t DeTable<'t>) -> (Vec<Written<'t>>, Vec<ConfigError>) {
    let mut errors = Vec::new();
    let mut complain = |key: String, span: Range<usize>, refusal: Refusal| {
        errors.push(ConfigError::new(text, key, span, refusal));
    };
    let mut entries: Vec<_> = match root.get_key_value("environments") {
        None => Vec::new(),
        Some((key, value)) => match value.get_ref() {
            DeValue::Table(table) => table.iter().collect(),
            other => {
                let mut refusal = not_a_table("environments", other);
                refusal.fix = "write [environments.staging], and below it what differs there".to_owned();
                complain("environments".to_owned(), key.span(), refusal);
                Vec::new()
            }
        },
    };
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut environments = Vec::new();
    for (number, (key, value)) in entries.into_iter().enumerate() {
        let (name, head) = (key.get_ref().as_ref(), key.span());
        let path = format!("environments.{}", super::excerpt(name));
        if number == ENVIRONMENTS_MAX {
            let reason = format!("a file has at most {ENVIRONMENTS_MAX} environments");
            complain(path, head, refuse(reason, "describe another site in a file of its own"));
            break;
        }
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            other => {
                complain(path.clone(), head, not_a_table(&path, other));
                continue;
            }
        };
        match parse_name(name) {
            Err(refusal) => complain(path, head, refusal),
            Ok(name) => {
                check_keys(table, &path, &mut complain);
                let place = u16::try_from(number + 1).unwrap_or(u16::MAX);
                environments.push(Written { name, head, table, place });
            }
        }
    }
    (environments, errors)
}

/// A name that is plain and cannot be mistaken for production's.
fn parse_name(name: &str) -> Result<EnvironmentName, Refusal> {
    if name == "production" {
        let fix = "write its keys in the tables of the file, without environments.production in front";
        return Err(refuse("the file itself describes production", fix));
    }
    let lower = name.to_lowercase();
    let close = lower.len() <= 16 && strsim::damerau_levenshtein(&lower, "production") <= 2;
    if close || matches!(lower.as_str(), "prod" | "prd") {
        let fix = "choose another name, such as \"staging\"; production needs no table";
        return Err(refuse("it could be mistaken for production", fix));
    }
    name.parse().map_err(|_| {
        let fix = "write 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"staging\"";
        refuse("it names folders and a host, so it must be plain", fix)
    })
}

/// What no environment may say, whatever its value.
fn check_keys(table: &DeTable<'_>, path: &str, complain: &mut impl FnMut(String, Range<usize>, Refusal)) {
    if let Some((key, _)) = table.get_key_value("environments") {
        let fix = "write it beside this one, as [environments.NAME]";
        let refusal = refuse("an environment has no environments of its own", fix);
        complain(format!("{path}.environments"), key.span(), refusal);
    }
    if let Some(DeValue::Table(site)) = table.get("site").map(Spanned::get_ref)
        && let Some((key, _)) = site.get_key_value("name")
    {
        let refusal =
            refuse("every environment is a copy of one site, whose name it keeps", "take this line out");
        complain(format!("{path}.site.name"), key.span(), refusal);
    }
}

impl<'t> Written<'t> {
    /// The file with this environment laid over it.
    pub(super) fn over(&self, root: &DeTable<'t>) -> DeTable<'t> {
        let mut base = root.clone();
        base.remove("environments");
        for (table, key) in ITS_OWN {
            if let Some(DeValue::Table(table)) = base.get_mut(table).map(Spanned::get_mut) {
                table.remove(key);
            }
        }
        let mut top = self.table.clone();
        top.remove("environments");
        overlay(base, top)
    }

    /// What it has where it does not say so. A production with mistakes is stood in for, so that those of
    /// the environment are found as well.
    pub(super) fn usual(&self, production: Option<&Site>) -> Usual {
        let name = &self.name;
        let address = production
            .map(|site| site.balancer.listen)
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 8080)));
        let listen = match address.port().checked_add(self.place) {
            Some(port) => Ok(SocketAddr::new(address.ip(), port)),
            None => Err(refuse(
                format!(
                    "it listens {} above production's port {}: there is none",
                    self.place,
                    address.port()
                ),
                format!(
                    "write [environments.{name}.balancer] and below it listen = \"{}:8081\"",
                    address.ip()
                ),
            )),
        };
        let above = production.and_then(|site| site.domains.first());
        let above = above.map_or("example.com", Domain::as_str);
        let domain = Domain::parse(&format!("{name}.{above}")).map_err(|refusal| {
            refuse(
                format!("its domain would be {name}.{above}, but {}", refusal.reason),
                format!("write [environments.{name}.site] and below it domain = \"{name}.example.com\""),
            )
        });
        Usual { environment: name.clone(), domain, listen }
    }

    /// `found` as mistakes of this environment: without those that production has too, and saying which
    /// environment it is.
    pub(super) fn mistakes(&self, found: Vec<ConfigError>, production: &[ConfigError]) -> Vec<ConfigError> {
        let mut places = BTreeMap::new();
        spans(self.table, &mut places);
        let own = |span: &Range<usize>| {
            let before = places.range(..=span.start).next_back();
            before.is_some_and(|(_, end)| span.start < *end)
        };
        let known =
            |error: &ConfigError| production.iter().any(|p| p.key == error.key && p.reason == error.reason);
        let name = &self.name;
        let told = found.into_iter().filter_map(|mut error| {
            if own(&error.span) {
                error.key = format!("environments.{name}.{}", error.key);
            } else if known(&error) {
                return None;
            } else if error.span == self.head {
                error.key = format!("environments.{name}.{}", error.key);
            } else {
                error.reason = format!("with what [environments.{name}] says, {}", error.reason);
            }
            Some(error)
        });
        told.collect()
    }

    /// Where its key `key` of `table` stands, or its name.
    pub(super) fn span_of(&self, table: &str, key: &str) -> Range<usize> {
        match self.table.get(table).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => table.get(key).map_or(self.head.clone(), Spanned::span),
            _ => self.head.clone(),
        }
    }
}

/// `top` laid over `base`: tables key by key, anything else replaced.
fn overlay<'t>(mut base: DeTable<'t>, top: DeTable<'t>) -> DeTable<'t> {
    for (key, value) in top {
        let below = base.remove(key.get_ref().as_ref());
        let place = value.span();
        let value = match (below.map(Spanned::into_inner), value.into_inner()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => DeValue::Table(overlay(below, above)),
            (_, above) => above,
        };
        base.insert(key, Spanned::new(place, value));
    }
    base
}

/// Where the keys and the values of `table` stand: begin -> end.
fn spans(table: &DeTable<'_>, places: &mut BTreeMap<usize, usize>) {
    for (key, value) in table {
        places.insert(key.span().start, key.span().end);
        match value.get_ref() {
            DeValue::Table(table) => spans(table, places),
            _ => {
                places.insert(value.span().start, value.span().end);
            }
        }
    }
}

/// Environments that could not listen beside one another, production among them.
pub(super) fn check_listeners(
    text: &str,
    production: &Site,
    environments: &[(Written<'_>, Option<Site>)],
) -> Vec<ConfigError> {
    let mut before = vec![production];
    let mut errors = Vec::new();
    for (written, site) in environments.iter().filter_map(|(written, site)| Some((written, site.as_ref()?))) {
        let listen = site.balancer.listen;
        if let Some(other) = before.iter().find(|other| collide(other.balancer.listen, listen)) {
            let (name, other) = (&written.name, &other.environment);
            let refusal = refuse(
                format!("{other} and {name} would both listen on port {}", listen.port()),
                format!("write another port: [environments.{name}.balancer] listen = \"{}:…\"", listen.ip()),
            );
            let key = format!("environments.{name}.balancer.listen");
            let place = written.span_of("balancer", "listen");
            errors.push(ConfigError::new(text, key, place, refusal));
        }
        before.push(site);
    }
    errors
}

/// Whether one machine cannot listen on both: `[::]` takes the addresses of IPv4 too.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

/// The mistake of asking for an environment that the file does not have.
pub(super) fn unknown(asked: &EnvironmentName, environments: &[EnvironmentName]) -> ConfigError {
    let asked = asked.to_string();
    let production = EnvironmentName::default();
    let names: Vec<String> =
        std::iter::once(&production).chain(environments).map(ToString::to_string).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let fix = match super::reader::nearest(&asked, &known) {
        Some(name) => format!("did you mean {name}? There are {}", known.join(", ")),
        None if environments.is_empty() => format!("add it with [environments.{asked}], which may be empty"),
        None => format!("there are {}; add it with [environments.{asked}]", known.join(", ")),
    };
    let reason = "the file has no such environment".to_owned();
    ConfigError { span: 0..0, key: "environments".to_owned(), value: asked, reason, fix }
}
