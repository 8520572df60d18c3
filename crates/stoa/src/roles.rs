//! The roles: processes of this binary that outlive its daemon and know nothing of decisions.

use miette::{IntoDiagnostic, WrapErr};
use rustix::process::{Gid, Uid};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use stoa_model::site::{Consistency, SplitterRules};
use stoa_model::{InstanceId, Millis};
use stoa_traffic::http::role;
use stoa_traffic::sql;
use stoa_traffic::sql::role::{Account, DigestLimits, Freshness, Password, Settings, SqlRoleConfig};

/// The user a role gives its rights up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoleUser {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl std::str::FromStr for RoleUser {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once(':')
            .and_then(|(uid, gid)| Some(RoleUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? }));
        parsed.ok_or_else(|| format!("{text:?} is not UID:GID, such as 998:998"))
    }
}

/// Serves as a balancer until SIGTERM and the last request. The sockets are inherited.
pub(crate) fn balancer(user: Option<RoleUser>, threads: usize) -> miette::Result<()> {
    let config = role::inherited_sockets(threads).into_diagnostic().wrap_err("the inherited sockets")?;
    if let Some(user) = user {
        give_up_rights(user).into_diagnostic().wrap_err("changing to the balancer's user")?;
    }
    role::run(config).into_diagnostic()
}

/// What a splitter reads before it gives up its rights: nobody else may.
#[derive(Deserialize)]
struct SplitterFile {
    accounts: Vec<AccountEntry>,
    observer: AccountEntry,
    authority: String,
    rules: SplitterRules,
}

#[derive(Deserialize)]
struct AccountEntry {
    user: String,
    password: String,
}

/// Serves as a splitter until SIGTERM and the last session. The sockets are inherited.
pub(crate) fn splitter(
    name: InstanceId,
    user: Option<RoleUser>,
    settings: &Path,
    threads: usize,
) -> miette::Result<()> {
    let sockets = sql::role::inherited_sockets().into_diagnostic().wrap_err("the inherited sockets")?;
    let SplitterFile { accounts, observer, authority, rules } = splitter_file(settings)?;
    if let Some(user) = user {
        give_up_rights(user).into_diagnostic().wrap_err("changing to the splitter's user")?;
    }
    let account =
        |AccountEntry { user, password }| Account { user, password: Password::new(password), schema: None };
    let config = SqlRoleConfig {
        sockets,
        threads,
        place: stoa_model::control::splitter_place(name),
        accounts: accounts.into_iter().map(account).collect(),
        observer: Some(account(observer)),
        authority: Some(authority),
        settings: splitting(&rules),
    };
    sql::role::run(config).into_diagnostic()
}

fn splitter_file(path: &Path) -> miette::Result<SplitterFile> {
    let text = std::fs::read(path).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    // The message of serde_json would quote what it read, and that is a password.
    serde_json::from_slice(&text).map_err(|error| {
        miette::miette!(
            "{}: it is damaged at line {}, column {}",
            path.display(),
            error.line(),
            error.column()
        )
    })
}

fn splitting(rules: &SplitterRules) -> Settings {
    let span = |span: Millis| Duration::from_millis(span.0);
    Settings {
        freshness: match rules.consistency {
            Consistency::Eventual => Freshness::Eventual,
            Consistency::Session => Freshness::Session,
            Consistency::Global => Freshness::Global,
        },
        lag: span(rules.max_lag),
        hold: span(rules.hold),
        connections: rules.connections.into(),
        slow: span(rules.slow),
        limits: DigestLimits {
            rows: rules.limits.rows,
            time: rules.limits.time.map(span),
            concurrency: rules.limits.concurrency,
        },
        ..Settings::default()
    }
}

/// Watches over one task of a deployment, which it is told through its standard input, until that is over.
pub(crate) fn task() -> miette::Result<()> {
    stoa_tiers::app::task::carry_out().into_diagnostic()
}

/// From root to an unprivileged user, for good. Called while the process has one thread: these calls are
/// the kernel's own, which change the calling thread only; threads made later inherit the change.
fn give_up_rights(user: RoleUser) -> Result<(), rustix::io::Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_no_new_privs(true)
}
