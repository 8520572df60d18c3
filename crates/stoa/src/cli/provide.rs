//! What a site needs is on this machine afterwards, or the exact command that brings it is told.

use super::failure::{Failure, Outcome};
use super::locate::Loaded;
use super::screen::{Block, Screen};
use super::session::Session;
use super::style::Mood;
use crate::install::{Found, Hints, Install, InstallError, Need, look, needs, packages};
use stoa_tiers::host::users;

/// Whether a missing package may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Yes.
    Given,
    /// Somebody may be asked.
    Ask,
}

/// Everything that `site` needs is there; as root, the tiers' users too.
pub(crate) fn provide(
    loaded: &Loaded,
    screen: Screen,
    session: &mut Session,
    consent: Consent,
) -> Outcome<()> {
    let wanted = needs(&loaded.site, Hints::of(&loaded.site));
    install(&missing(&wanted), screen, consent)?;
    let left = missing(&wanted);
    if let Some(need) = left.first() {
        return Err(Failure::failed(
            format!("{} is still missing", need.thing.name()),
            format!("what was installed does not bring it: {}", need.source()),
            format!("install it by hand; the site needs it for {}", need.what_for),
        ));
    }
    let ensured = session.wait(users::ensure(&loaded.paths)).map_err(|_| interrupted())?;
    ensured.map(drop).map_err(|error| {
        Failure::failed(
            "the users that the tiers run as cannot be made",
            error.to_string(),
            "mend it, and type the same again",
        )
    })
}

/// What of `wanted` is not there.
pub(crate) fn missing(wanted: &[Need]) -> Vec<Need> {
    wanted.iter().filter(|need| look(need) == Found::Missing).copied().collect()
}

/// Installs `missing`, where that is allowed and wished.
pub(crate) fn install(missing: &[Need], screen: Screen, consent: Consent) -> Outcome<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if let Some(need) = missing.iter().find(|need| need.package.is_none()) {
        let what = format!("missing on this machine: {}, for {}", need.thing.name(), need.what_for);
        return Err(Failure::failed(what, "Debian's stable release has no package of MySQL", need.source()));
    }
    let names = missing.iter().map(|need| need.thing.name()).collect::<Vec<_>>().join(", ");
    let install = Install::new(packages(missing));
    let what = format!("missing on this machine: {names}");
    if !Install::possible() {
        let why = "this machine has no apt-get, the one package manager that this version can use";
        return Err(Failure::failed(what, why, "install these programs with your system's package manager"));
    }
    if !root() {
        let why = "only root may install packages; nothing was changed";
        return Err(Failure::failed(what, why, install.line(root())));
    }
    if consent == Consent::Ask && !agreed(&names, &install, screen) {
        return Err(Failure::failed(
            what,
            "nothing was changed",
            format!("add --yes, or type: {}", install.line(root())),
        ));
    }
    run(&install, &names, screen)
}

fn agreed(names: &str, install: &Install, screen: Screen) -> bool {
    if !screen.asks {
        return false;
    }
    screen.say(&format!("Missing on this machine: {names}\n  {}", install.line(root())));
    let answer = screen.ask("Install them now? [Y/n] ").to_lowercase();
    matches!(answer.as_str(), "" | "y" | "yes")
}

fn run(install: &Install, names: &str, screen: Screen) -> Outcome<()> {
    let mut block = Block::new(screen);
    let style = screen.style;
    if !screen.live {
        screen.say(&format!("installing {names}"));
    }
    let done = install.run(|step| {
        if screen.live {
            let text = style.fit(&format!("installing {names}: {step}"), screen.width.saturating_sub(3));
            block.draw(&[format!("{} {text}", style.sign(Mood::Moving))]);
        }
    });
    if screen.live {
        block.clear();
    }
    let done = done.map_err(|error| failed(error, install))?;
    screen.say(&format!("{} installed {names}", style.sign(Mood::Good)));
    for undo in &done.quieted {
        screen.say(&format!(
            "{} the system's own {} service came with it and is off: Stoa runs its own",
            style.sign(Mood::Good),
            undo.name
        ));
    }
    for problem in &done.problems {
        screen.warn(&format!("warning: {problem}; a service that the installation started may still run"));
    }
    Ok(())
}

fn failed(error: InstallError, install: &Install) -> Failure {
    let what = error.to_string();
    match error {
        InstallError::NoApt => {
            Failure::failed(what, "packages cannot be installed here", "install them by hand")
        }
        InstallError::Apt { lines, .. } => {
            let next = format!("mend what apt-get says, or try it by hand: {}", install.line(root()));
            Failure::failed("the installation failed", what, next).with_lines(lines)
        }
    }
}

/// Whether this is root.
pub(crate) fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Ctrl-C before anything was asked of the daemon.
pub(crate) fn interrupted() -> Failure {
    Failure::failed("interrupted", "nothing was asked of the site", "type the same again when you like")
}
