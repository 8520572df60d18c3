//! `stoa doctor`: what this machine has and lacks, and the exact command that installs it.

use crate::cli::Context;
use crate::cli::args::Doctor;
use crate::cli::failure::Outcome;
use crate::cli::locate::Loaded;
use crate::cli::provide::{self, Consent};
use crate::cli::render;
use crate::cli::render::doctor::{Row, Verdict};
use crate::cli::session::Session;
use crate::cli::typed::Typed;
use crate::install::{Found, Hints, Install, Need, look, needs, packages, typical};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use stoa_tiers::host::programs;

mod checks;

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Doctor) -> Outcome<ExitCode> {
    let screen = context.screen;
    let loaded = loaded(context, arguments.folder.folder.as_deref())?;
    let wanted = match &loaded {
        Some(loaded) => needs(&loaded.site, Hints::of(&loaded.site)),
        None => typical(),
    };
    if arguments.install {
        provide::install(&provide::missing(&wanted), screen, Consent::Given)?;
    }
    let mut session = Session::new()?;
    let mut rows: Vec<Row> = wanted.iter().map(|need| need_row(need, &mut session)).collect();
    rows.extend(checks::rows(loaded.as_ref(), &mut session));
    let missing = provide::missing(&wanted);
    let packages = packages(&missing);
    let install = (!packages.is_empty()).then(|| Install::new(packages).line(provide::root()));
    let bad = rows.iter().any(|row| row.verdict == Verdict::Missing);
    let name = loaded.as_ref().map(|loaded| loaded.site.name.to_string());
    screen.answer(&json!({ "site": name, "ok": !bad, "install": install, "checks": rows }));
    let typed = match &loaded {
        Some(loaded) => Typed::loaded(context, loaded),
        None => Typed::bare(),
    };
    screen.say(
        render::doctor::doctor(
            name.as_deref(),
            &rows,
            install.as_deref(),
            screen.style,
            screen.width,
            &typed,
        )
        .trim_end(),
    );
    Ok(ExitCode::from(u8::from(bad)))
}

/// The site that is meant; none is needed.
fn loaded(context: &Context, folder: Option<&Path>) -> Outcome<Option<Loaded>> {
    if folder.is_none() && context.global.config.is_none() && context.place.nearest().is_none() {
        return Ok(None);
    }
    context.place.load(&context.global, folder).map(Some)
}

fn need_row(need: &Need, session: &mut Session) -> Row {
    let (verdict, text) = match look(need) {
        Found::Missing => (Verdict::Missing, format!("missing; {}", need.source())),
        Found::At(path) => {
            let version = session.wait(programs::version(&path)).ok().flatten();
            let version = version.map(|version| format!("{version}  ")).unwrap_or_default();
            (Verdict::Good, format!("{version}{}", path.display()))
        }
    };
    Row { what: need.thing.name(), verdict, text, why: need.what_for.to_owned() }
}
