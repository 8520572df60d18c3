//! The variables of the application's environment: which there are, which may be set, and which a command
//! may name in its arguments.

use super::super::reader::{Section, text};
use super::super::{Refusal, command, refuse};
use crate::site::{CacheEngine, CommandLine, VariableName};
use std::collections::BTreeMap;
use toml::de::DeValue;

/// Given to every command and instance.
const COMMON: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "STOA_SITE",
    "STOA_ENVIRONMENT",
    "STOA_RELEASE",
    "STOA_INSTANCE",
];
/// Given to an instance besides.
pub(super) const OF_AN_INSTANCE: [&str; 2] = ["HOST", "PORT"];
/// Given to a task of a deployment besides.
pub(super) const OF_A_TASK: [&str; 1] = ["STOA_DEPLOY"];

/// Which servers the application is told about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub(super) database: bool,
    pub(super) cache: Option<CacheEngine>,
}

/// The variables that a command of the release has.
pub(super) struct Variables {
    given: Given,
    env: Vec<String>,
    secrets: Vec<String>,
}

/// Reads the name of a secret: a variable that neither Stoa nor the system sets.
pub fn secret_name(name: &str) -> Result<VariableName, Refusal> {
    let plain = |b: u8| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    if name.is_empty()
        || name.len() > 128
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.bytes().all(plain)
    {
        let upper = name.to_ascii_uppercase();
        let fix = match upper != name && secret_name(&upper).is_ok() {
            true => format!("write {upper}"),
            false => {
                "write 1 to 128 of A-Z, 0-9 and _, not beginning with a digit, such as STRIPE_KEY".into()
            }
        };
        return Err(refuse("it cannot name a secret", fix));
    }
    let servers = ["DATABASE_URL", "DATABASE_REPLICA_URL", "CACHE_URL", "REDIS_URL", "MEMCACHED_URL"];
    if is_stoas(name) || servers.contains(&name) {
        return Err(refuse(format!("{name} is set by Stoa"), "choose another name"));
    }
    // What the loader and the shell take from the environment would change how every program runs.
    let systems = COMMON.contains(&name) || matches!(name, "SHELL" | "PWD" | "LOGNAME" | "IFS" | "ENV");
    if systems || name.starts_with("LD_") {
        return Err(refuse(format!("{name} means something to the system"), "choose another name"));
    }
    Ok(VariableName(name.to_owned()))
}

/// `[app] secrets`; none of them stands in `env` too.
pub(super) fn secrets(app: &mut Section<'_, '_>, env: &BTreeMap<String, String>) -> Vec<VariableName> {
    let written = app.list("secrets", |value| {
        let name = text(value)?;
        if name.contains('=') {
            let fix = "write the name alone, and type `stoa secrets set NAME`, which asks for the value";
            return Err(refuse("the value of a secret never stands in this file", fix));
        }
        secret_name(name)
    });
    let mut names: Vec<VariableName> = Vec::new();
    for secret in written.unwrap_or_default() {
        let (place, name) = (secret.span(), secret.into_inner());
        if names.contains(&name) {
            app.complain_at("secrets", place, refuse("it is named twice", "name each secret once"));
        } else if env.contains_key(name.as_str()) {
            let fix = format!("take it out of [app.env] and type `stoa secrets set {name}`");
            app.complain_at("secrets", place, refuse("its value stands in [app.env] for all to read", fix));
        } else {
            names.push(name);
        }
    }
    names
}

/// The value of a variable.
pub(super) fn value(value: &DeValue<'_>) -> Result<String, Refusal> {
    let value = text(value)?;
    if value.contains('\0') || value.len() > 32 << 10 {
        return Err(refuse(
            "a variable has at most 32 KB and no NUL in it",
            "put it in a file of the release",
        ));
    }
    Ok(value.to_owned())
}

impl Variables {
    pub(super) fn new(given: Given, env: &BTreeMap<String, String>, secrets: &[VariableName]) -> Self {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        Variables { given, env: env.keys().cloned().collect(), secrets }
    }

    /// Whether `command` names nothing but what is set for it: those of every command and `more`. No
    /// secret is among them, because everybody on the machine can read another process' arguments.
    pub(super) fn check(&self, command: &CommandLine, more: &[&str]) -> Result<(), Refusal> {
        for name in command.variables() {
            let is_secret = self.secrets.iter().any(|secret| secret == name);
            if is_secret || self.given.passwords().any(|url| url == name) {
                let what = if is_secret { "a secret" } else { "a password" };
                return Err(refuse(
                    format!("${name} holds {what}, and arguments are readable by everybody on the machine"),
                    format!("let the program read {name} from its environment"),
                ));
            }
            self.check_known(name, more)?;
        }
        Ok(())
    }

    fn check_known(&self, name: &str, more: &[&str]) -> Result<(), Refusal> {
        let mut known: Vec<&str> = COMMON.to_vec();
        known.extend(more);
        known.extend(self.given.variables().map(|name| -> &str { name }));
        known.extend(self.env.iter().map(String::as_str));
        if known.contains(&name) {
            return Ok(());
        }
        if OF_AN_INSTANCE.contains(&name) {
            let reason = format!("${name} is set for an instance; this runs once, beside them");
            return Err(refuse(reason, "take it out"));
        }
        let near = known.iter().find(|known| strsim::damerau_levenshtein(known, name) <= 2);
        let fix = match (self.given.line_that_sets(name), near) {
            (Some(line), _) => format!("write {line}, or {name} = \"…\" below [app.env]"),
            (None, Some(near)) => format!("did you mean ${near}?"),
            (None, None) => format!("write {name} = \"…\" below [app.env]"),
        };
        Err(refuse(format!("nothing sets the variable ${name}"), fix))
    }
}

impl Given {
    /// The name of a variable of `[app.env]`.
    pub(super) fn own_name(self, name: &str) -> Result<String, Refusal> {
        if name.len() > 100 || !command::is_variable_name(name) {
            let fix = "write letters, digits and _, not beginning with a digit, such as LOG_LEVEL";
            return Err(refuse("it cannot name a variable of the environment", fix));
        }
        if is_stoas(name) || self.variables().any(|set| set == name) {
            return Err(refuse(format!("{name} is set by Stoa"), "take it out, or choose another name"));
        }
        Ok(name.to_owned())
    }

    fn variables(self) -> impl Iterator<Item = &'static str> {
        let database: &[&str] = if self.database { &["DATABASE_URL", "DATABASE_REPLICA_URL"] } else { &[] };
        let cache: &[&str] = match self.cache {
            Some(CacheEngine::Redis) => &["CACHE_URL", "REDIS_URL"],
            Some(CacheEngine::Memcached) => &["CACHE_URL", "MEMCACHED_URL"],
            None => &[],
        };
        database.iter().chain(cache).copied()
    }

    /// Those with a password in them; Memcached knows none.
    fn passwords(self) -> impl Iterator<Item = &'static str> {
        let cache = self.cache == Some(CacheEngine::Redis);
        let cache: &[&str] = if cache { &["CACHE_URL", "REDIS_URL"] } else { &[] };
        let database: &[&str] = if self.database { &["DATABASE_URL", "DATABASE_REPLICA_URL"] } else { &[] };
        database.iter().chain(cache).copied()
    }

    /// What would have to be written for the variable `name` to be set.
    fn line_that_sets(self, name: &str) -> Option<&'static str> {
        match (name, self.cache) {
            ("DATABASE_URL" | "DATABASE_REPLICA_URL", _) => Some("the table [database]"),
            ("CACHE_URL" | "REDIS_URL", None) => Some("the table [cache]"),
            ("REDIS_URL", _) => Some("engine = \"redis\" below [cache]"),
            ("MEMCACHED_URL", _) => Some("[cache] and below it engine = \"memcached\""),
            _ => None,
        }
    }
}

/// Whether Stoa sets it, whatever the site consists of.
fn is_stoas(name: &str) -> bool {
    OF_AN_INSTANCE.contains(&name) || name.starts_with("STOA_") || name.starts_with("LISTEN_")
}
