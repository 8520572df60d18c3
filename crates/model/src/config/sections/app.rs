//! `[app]`: the application, its code and how it is built.

use super::super::reader::{Section, choice, count, measure, text};
use super::super::{refuse, source, units};
use super::variables::{self, Given, Variables};
use super::{Kind, TB, instances};
use crate::site::{AppKind, AppTier, Bytes, CommandLine, InnerPath, Source, SourceLocation, UrlPath};
use crate::time::Millis;
use std::path::Path;
use toml::Spanned;

/// The keys that a site of static files has no use for.
const OF_AN_APPLICATION: [&str; 10] = [
    "env",
    "secrets",
    "instances",
    "concurrency",
    "target_wait",
    "persist",
    "health",
    "start_timeout",
    "stop_timeout",
    "memory",
];

/// What `[app]` says.
pub(super) struct App {
    pub(super) kind: Kind,
    /// Absent for static files.
    pub(super) tier: Option<AppTier>,
    pub(super) source: Source,
    /// What a command of the release may name.
    pub(super) variables: Variables,
}

/// `[app]`; `written` is whether the file has it.
pub(super) fn app(app: &mut Section<'_, '_>, written: bool, given: Given, folder: &Path) -> App {
    let kinds = [("http", Kind::Http), ("php", Kind::Php), ("static", Kind::Static)];
    let kind = app.read("kind", |value| choice(value, &kinds)).unwrap_or(Kind::Http);
    if !written {
        let fix = "write [app] and below it run = \"…\", kind = \"php\" or kind = \"static\"";
        app.complain("run", refuse("nothing says what the site consists of", fix));
    }
    let source = code(app, folder);
    let env = app.map("env", |name| given.own_name(name), variables::value).unwrap_or_default();
    let secrets = variables::secrets(app, &env);
    let variables = Variables::new(given, &env, &secrets);
    check_run(app, kind, written);
    let run = app.read("run", |value| {
        let command = CommandLine::parse(text(value)?)?;
        variables.check(&command, &variables::OF_AN_INSTANCE)?;
        Ok(command)
    });
    let tier = AppTier {
        kind: if kind == Kind::Php { AppKind::Php } else { AppKind::Http },
        instances: instances(app),
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
        concurrency: app.read("concurrency", |value| count(value, 1..=10_000)),
        target_wait: app
            .read("target_wait", |value| units::wait(measure(value, "100ms")?))
            .unwrap_or(Millis(100)),
        secrets,
    };
    if kind != Kind::Static {
        return App { kind, tier: Some(tier), source, variables };
    }
    for key in OF_AN_APPLICATION {
        if app.has(key) {
            app.complain(key, refuse("a site of static files has no application", "take this line out"));
        }
    }
    App { kind, tier: None, source, variables }
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

/// `run` belongs to `http` and to nothing else.
fn check_run(app: &mut Section<'_, '_>, kind: Kind, written: bool) {
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
