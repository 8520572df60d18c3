//! The text of a new stoa.toml. Pure.

use stoa_model::SiteName;
use stoa_tiers::app::detect::{Detected, Kind, Listing};

/// What a new file is to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suggestion<'a> {
    /// The site's name.
    pub(super) name: &'a SiteName,
    /// What the application's files suggest.
    pub(super) detected: &'a Detected,
    /// Which servers it seems to use.
    pub(super) wants: Wants,
}

/// Which servers an application seems to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wants {
    /// MySQL or MariaDB.
    pub(super) database: bool,
    /// Redis or Memcached.
    pub(super) cache: bool,
}

impl Wants {
    /// From the names of the libraries that its files ask for.
    pub(super) fn of<L: Listing + ?Sized>(folder: &L) -> Self {
        const LISTS: [&str; 6] =
            ["requirements.txt", "pyproject.toml", "package.json", "composer.json", "Gemfile", "Cargo.toml"];
        let text = LISTS.map(|list| folder.text(list).to_lowercase()).join("\n");
        let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
        Wants {
            database: names(&["mysql", "mariadb", "doctrine/dbal"]),
            cache: names(&["redis", "memcache"]),
        }
    }
}

/// The whole file.
pub(super) fn text(suggestion: &Suggestion<'_>) -> String {
    let Suggestion { name, detected, wants } = suggestion;
    let mut text = format!(
        "# What this website is. Bring it up with: stoa up\n\
         # Everything that is left away has a default; stoa.example.toml names every key.\n\n\
         [site]\n\
         name = {}\n\
         # The host name that visitors type; localhost is always answered too.\n\
         domain = {}\n\n\
         [balancer]\n\
         # Where visitors connect.\n\
         listen = \"0.0.0.0:8080\"\n\n",
        quoted(&name.to_string()),
        quoted(&format!("www.{name}.example")),
    );
    text.push_str(&app(detected));
    if !detected.files.is_empty() {
        let pairs =
            detected.files.iter().map(|(url, folder)| format!("{} = {}", quoted(url), quoted(folder)));
        text.push_str("\n[web]\n# Folders that nginx serves straight from disk: URL path = folder.\n");
        text.push_str(&format!("files = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", ")));
    }
    if detected.kind != Kind::Static {
        text.push_str(&table(
            "database",
            "MariaDB, a primary and a replica; the app gets DATABASE_URL.",
            wants.database,
        ));
        text.push_str(&table("cache", "Redis; the app gets CACHE_URL and REDIS_URL.", wants.cache));
    }
    text
}

fn app(detected: &Detected) -> String {
    let mut text = "[app]\n".to_owned();
    match detected.kind {
        Kind::Php => text.push_str("# php-fpm runs it.\nkind = \"php\"\n"),
        Kind::Static => text.push_str("# Files only, nothing to run.\nkind = \"static\"\n"),
        Kind::Http => {
            text.push_str(
                "# What starts one instance: it listens on $HOST:$PORT and stays in the foreground.\n",
            );
            match &detected.run {
                Some(run) => text.push_str(&format!("run = {}\n", quoted(run))),
                None => text.push_str("# run = \"your-server --listen $HOST:$PORT\"\n"),
            }
        }
    }
    if !detected.build.is_empty() {
        text.push_str("# Run once for each new release. These are what the files suggest, and the default:\n# build = [\n");
        for command in &detected.build {
            text.push_str(&format!("#   {},\n", quoted(command)));
        }
        text.push_str("# ]\n");
    }
    if detected.kind == Kind::Static {
        return text;
    }
    text.push_str("# The path that answers 2xx or 3xx when an instance is well.\n");
    text.push_str(&format!("health = {}\n", quoted(detected.health.as_deref().unwrap_or("/"))));
    text + "# Folders that outlive a release, such as uploads.\n# persist = [\"uploads\"]\n"
}

fn table(name: &str, what: &str, written: bool) -> String {
    let mark = if written { "" } else { "# " };
    let hint = if written { "" } else { " Take the # of the next line away to have it." };
    format!("\n# {what}{hint}\n{mark}[{name}]\n")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
