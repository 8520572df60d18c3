//! What may be typed: verbs, options, their help. Parsing only; nothing is looked up or done here.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use stoa_model::{EnvironmentName, InstanceId, ReleaseId, Tier};

/// One file describes a website; one command stands up everything it needs and keeps it standing.
#[derive(Debug, Parser)]
#[command(name = "stoa", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Start here:\n  \
    stoa init        write a stoa.toml for the application in this folder\n  \
    stoa up          bring the site up\n  \
    stoa status      see how it stands\n  \
    stoa deploy      let its newest code serve")]
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
    /// Which copy of the site: an [environments.NAME] of its file [default: production]
    #[arg(short, long, global = true, value_name = "NAME", value_parser = environment)]
    #[arg(help_heading = "Global options")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Where the site's state lies [default: /var/lib/stoa/SITE as root, else ~/.local/state/stoa/SITE];
    /// another environment's lies beside it, as DIR@NAME
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
    /// Let another release serve, without losing a request
    #[command(after_help = "Examples:\n  stoa deploy              # the newest of [app] ref\n  \
        stoa deploy v1.4 --watch\n  stoa deploy --dry-run    # only tells what would be done")]
    Deploy(Deploy),
    /// Let an earlier release serve again, in seconds
    #[command(after_help = "Examples:\n  stoa rollback            # the one that served before\n  \
        stoa rollback 7-3fa9c21")]
    Rollback(Rollback),
    /// Show every release: which serves, which can be rolled back to
    #[command(after_help = "Example:\n  stoa releases")]
    Releases(Folder),
    /// Let the very release serve that another environment runs
    #[command(after_help = "Example:\n  stoa promote staging     # production gets what staging runs")]
    Promote(Promote),
    /// Run another number of instances of a tier
    #[command(after_help = "Example:\n  stoa scale app=4")]
    Scale(Scale),
    /// Replace every instance of a tier without losing a request
    #[command(after_help = "Example:\n  stoa restart app")]
    Restart(Restart),
    /// Show what servers, the daemon, builds and deployments printed
    #[command(after_help = "Examples:\n  stoa logs app-1 -n 50\n  stoa logs -f web\n  stoa logs build\n  \
        stoa logs deploy         # what migrations and hooks printed")]
    Logs(Logs),
    /// Run a command in the release's folder with the app's environment
    #[command(after_help = "Example:\n  stoa run -- python manage.py migrate")]
    Run(Run),
    /// Show what was decided and done, and why
    #[command(after_help = "Example:\n  stoa events -f")]
    Events(Events),
    /// Show the database, open a shell in it, change its primary
    #[command(subcommand, arg_required_else_help = true)]
    #[command(
        after_help = "Examples:\n  stoa db status\n  stoa db shell\n  stoa db switchover database-2\n  \
        stoa db top"
    )]
    Db(Db),
    /// Set the app's secrets, take them away, list their names
    #[command(subcommand, arg_required_else_help = true)]
    #[command(after_help = "Examples:\n  stoa secrets set STRIPE_KEY              # asks for the value\n  \
        stoa secrets set TLS_KEY < key.pem\n  stoa secrets list")]
    Secrets(Secrets),
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

/// `stoa db`.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Show who is primary and why, and how far each server is
    #[command(after_help = "Example:\n  stoa db status --json")]
    Status(Folder),
    /// Open the server's own shell as the application, through the splitters or at one server
    #[command(after_help = "Examples:\n  stoa db shell\n  stoa db shell database-2\n  \
        stoa db shell -- -e 'SELECT 1'")]
    Shell(DbShell),
    /// Let another server be the primary, without a statement failing
    #[command(
        after_help = "Examples:\n  stoa db switchover            # to the replica that is furthest\n  \
        stoa db switchover database-2"
    )]
    Switchover(DbSwitchover),
    /// Show which statements take the time
    #[command(after_help = "Example:\n  stoa db top")]
    Top(Folder),
}

/// `stoa db shell`.
#[derive(Debug, Args)]
pub(crate) struct DbShell {
    /// One server instead of the splitters, such as database-2
    #[arg(value_name = "INSTANCE")]
    pub(crate) server: Option<InstanceId>,
    /// What the shell itself is given
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

/// `stoa db switchover`.
#[derive(Debug, Args)]
pub(crate) struct DbSwitchover {
    /// Which replica [default: the one that is furthest]
    #[arg(value_name = "INSTANCE")]
    pub(crate) to: Option<InstanceId>,
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

/// `stoa deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// A branch, tag or commit [default: what `[app] ref` says]
    #[arg(value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stay until the new release is no longer watched
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) watch: bool,
}

/// `stoa rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Which release, or its number [default: the one that served before]
    #[arg(value_name = "RELEASE", value_parser = release)]
    pub(crate) release: Option<ReleaseName>,
}

/// A release as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReleaseName {
    /// `7-3fa9c21`.
    Whole(ReleaseId),
    /// `7`.
    Number(u32),
}

/// `stoa promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The environment whose release is taken
    #[arg(value_name = "ENVIRONMENT", value_parser = environment)]
    pub(crate) from: EnvironmentName,
    /// Stay until the new release is no longer watched
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `stoa secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Set a secret; its value is asked for, or read from standard input
    #[command(
        after_help = "Examples:\n  stoa secrets set STRIPE_KEY\n  stoa secrets set TLS_KEY < key.pem\n\n\
        The value is never an argument: arguments can be read by everybody on this machine."
    )]
    Set(SecretWords),
    /// Take a secret away
    #[command(after_help = "Example:\n  stoa secrets unset STRIPE_KEY")]
    Unset(SecretWords),
    /// Show the names of the secrets, never their values
    #[command(after_help = "Example:\n  stoa secrets list")]
    List,
}

/// What was typed as the name of a secret, and what should not have been typed at all: all of it may hold
/// a secret, so nothing of it is shown before it is known to be a name.
#[derive(Args)]
pub(crate) struct SecretWords {
    /// Its name, such as STRIPE_KEY; the app finds it in its environment under this name
    #[arg(value_name = "NAME")]
    pub(crate) name: OsString,
    /// A value, typed where it must not be.
    #[arg(hide = true)]
    pub(crate) more: Vec<OsString>,
}

impl std::fmt::Debug for SecretWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretWords").finish_non_exhaustive()
    }
}

/// `stoa logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A tier, an instance, `daemon`, `build` or `deploy` [default: every instance]
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
    /// The tasks of the last deployment.
    Deploy,
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
    /// The splitter
    Splitter {
        /// The instance's name
        #[arg(long)]
        name: InstanceId,
        /// UID:GID it gives its rights up for
        #[arg(long)]
        user: Option<crate::roles::RoleUser>,
        /// The file with its rules and accounts, which only its starter may read
        #[arg(long)]
        settings: PathBuf,
        /// How many threads serve
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Watches over a task of a deployment
    Task,
}

fn environment(text: &str) -> Result<EnvironmentName, String> {
    text.parse().map_err(|_| {
        let why = "a name has 1 to 32 of a-z, 0-9 and -, and begins with a letter";
        said(why, "name one of the file's [environments.NAME], such as: -e staging")
    })
}

fn release(text: &str) -> Result<ReleaseName, String> {
    let number = || text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    match (text.parse(), number()) {
        (Ok(release), _) => Ok(ReleaseName::Whole(release)),
        (Err(_), Some(number)) => Ok(ReleaseName::Number(number)),
        (Err(_), None) => Err(said(
            "it is no release",
            "write it as `stoa releases` does, such as 7-3fa9c21, or its number",
        )),
    }
}

fn tier(text: &str) -> Result<Tier, String> {
    text.parse().map_err(|_| match text.parse::<InstanceId>() {
        Ok(id) => said("it names one instance, and a whole tier is meant", &format!("write {}", id.tier)),
        Err(_) => {
            said("there is no such tier", "the tiers are app, web, balancer, splitter, database and cache")
        }
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
            return Err(said(
                "the cache is one server in this version",
                "scale app, web, balancer or splitter",
            ));
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
        "deploy" => return Ok(LogTarget::Deploy),
        _ => {}
    }
    let instance = || text.parse().map(LogTarget::Instance);
    text.parse().map(LogTarget::Tier).or_else(|_| instance()).map_err(|_| {
        let next =
            "name app, web, balancer, splitter, database, cache, an instance such as app-1, daemon, build or deploy";
        said("it is neither a tier nor an instance", next)
    })
}

/// A reason and what to type next, in the form in which clap gives its own tips.
fn said(why: &str, next: &str) -> String {
    format!("{why}\n\ntip: {next}")
}
