//! What may be typed: verbs, options, their help. Parsing only; nothing is looked up or done here.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use stoa_model::{InstanceId, Tier};

/// One file describes a website; one command stands up everything it needs and keeps it standing.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Start here:\n  \
    stoa init        write a stoa.toml for the application in this folder\n  \
    stoa up          bring the site up\n  \
    stoa status      see how it stands")]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Answer in JSON on standard output; errors too
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Where the site's state lies [default: /var/lib/stoa/SITE as root, else ~/.local/state/stoa/SITE]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) state: Option<PathBuf>,
    /// The site's stoa.toml, or its folder [default: stoa.toml here or in a folder above]
    #[arg(short, long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// No colours (NO_COLOR does the same)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_color: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a stoa.toml for the application in a folder
    #[command(after_help = "Example:\n  stoa init            # looks at this folder and says what it found")]
    Init(Init),
    /// Show what this machine lacks, and the command that installs it
    #[command(after_help = "Example:\n  stoa doctor --install")]
    Doctor(Doctor),
    /// Show what `up` would do, and why; changes nothing
    #[command(after_help = "Example:\n  stoa plan examples/foobar")]
    Plan(Folder),
    /// Bring the site up, or to its new stoa.toml and code; safe to repeat
    #[command(after_help = "Example:\n  stoa up examples/foobar --yes")]
    Up(Up),
    /// Show every tier and instance: health, release, load
    #[command(after_help = "Example:\n  stoa status --json")]
    Status(Folder),
    /// Show what the site's servers, the daemon or the build printed
    #[command(after_help = "Examples:\n  stoa logs app-1 -n 50\n  stoa logs -f web\n  stoa logs build")]
    Logs(Logs),
    /// Run another number of instances of a tier
    #[command(after_help = "Example:\n  stoa scale app=4")]
    Scale(Scale),
    /// Replace every instance of a tier without losing a request
    #[command(after_help = "Example:\n  stoa restart app")]
    Restart(Restart),
    /// Run a command in the release's folder with the app's environment
    #[command(after_help = "Example:\n  stoa run -- python manage.py migrate")]
    Run(Run),
    /// Show what was decided and done, and why
    #[command(after_help = "Example:\n  stoa events -f")]
    Events(Events),
    /// Stop the site, in order; its data stays
    #[command(after_help = "Examples:\n  stoa down\n  stoa down --destroy    # removes its data too")]
    Down(Down),
    /// The site's own process
    #[command(hide = true)]
    Daemon {
        /// Started by its keeper
        #[arg(long)]
        kept: bool,
    },
    /// A process that serves visitors
    #[command(hide = true, subcommand)]
    Role(Role),
}

/// Only a folder.
#[derive(Debug, Default, Args)]
pub(crate) struct Folder {
    /// The site's folder [default: this one or one above]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// `stoa init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The application's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Replace the stoa.toml that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `stoa doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Whose site.
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// Install what is missing (as root, through apt-get)
    #[arg(long)]
    pub(crate) install: bool,
}

/// `stoa up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Whose site.
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// Install missing programs without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `stoa logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A tier, an instance, `daemon` or `build` [default: every instance]
    #[arg(value_name = "TIER|INSTANCE", value_parser = log_target)]
    pub(crate) target: Option<LogTarget>,
    /// Go on with what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the last lines of each log [default: 100 of one log, 20 of each of several]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
}

/// Whose log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTarget {
    /// Every instance of a tier.
    Tier(Tier),
    /// One instance.
    Instance(InstanceId),
    /// Stoa's own daemon.
    Daemon,
    /// The last build.
    Build,
}

/// `stoa scale`.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Which tier (app, web or balancer), and how many instances (1 to 100)
    #[arg(value_name = "TIER=N", value_parser = tier_count)]
    pub(crate) count: (Tier, u16),
}

/// `stoa restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// app, web, balancer, database or cache
    #[arg(value_name = "TIER", value_parser = tier)]
    pub(crate) tier: Tier,
}

/// `stoa run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// `stoa events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// How many of the last entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub(crate) lines: u64,
    /// Go on with what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `stoa down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Whose site.
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// Remove the site's state too: databases, releases, uploads, logs
    #[arg(long)]
    pub(crate) destroy: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A process that serves visitors.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The balancer
    Balancer {
        /// The instance's name, for people who read `ps`
        #[arg(long)]
        name: Option<String>,
        /// UID:GID it gives its rights up for
        #[arg(long)]
        user: Option<crate::roles::RoleUser>,
        /// How many threads serve
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
}

fn tier(text: &str) -> Result<Tier, String> {
    text.parse().map_err(|_| match text.parse::<InstanceId>() {
        Ok(id) => said("it names one instance, and a whole tier is meant", &format!("write {}", id.tier)),
        Err(_) => said("there is no such tier", "the tiers are app, web, balancer, database and cache"),
    })
}

fn tier_count(text: &str) -> Result<(Tier, u16), String> {
    let form = || said("it is not of the form TIER=N", "for example: stoa scale app=4");
    let (name, count) = text.split_once('=').ok_or_else(form)?;
    let tier = match tier(name)? {
        Tier::Database => {
            let why = "the number of replicas belongs to the site's file";
            return Err(said(why, "set [database] replicas in stoa.toml, then: stoa up"));
        }
        Tier::Cache => {
            return Err(said("the cache is one server in this version", "scale app, web or balancer"));
        }
        tier => tier,
    };
    match count.parse() {
        Ok(count @ 1..=100) => Ok((tier, count)),
        Ok(0) => Err(said("a tier has at least one instance", "to stop the whole site: stoa down")),
        _ => Err(said(&format!("{count:?} is not a number from 1 to 100"), "for example: stoa scale app=4")),
    }
}

fn log_target(text: &str) -> Result<LogTarget, String> {
    match text {
        "daemon" => return Ok(LogTarget::Daemon),
        "build" => return Ok(LogTarget::Build),
        _ => {}
    }
    let instance = || text.parse().map(LogTarget::Instance);
    text.parse().map(LogTarget::Tier).or_else(|_| instance()).map_err(|_| {
        let next = "name app, web, balancer, database, cache, an instance such as app-1, daemon or build";
        said("it is neither a tier nor an instance", next)
    })
}

/// A reason and what to type next, in the form in which clap gives its own tips.
fn said(why: &str, next: &str) -> String {
    format!("{why}\n\ntip: {next}")
}
