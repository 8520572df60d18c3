//! Makes a data folder from that of a running server, which goes on serving meanwhile: mariabackup streams
//! its files and what changes while it reads, mbstream unpacks them, and the position in the history of
//! transactions comes along.

use super::accounts::{ADMIN, OWN_SCHEMA, identifier};
use super::client::{Client, socket_path};
use super::making::Making;
use super::term::known;
use super::{DatabaseError, Server};
use crate::host::error::FileError;
use crate::host::files::write_atomic_owned;
use crate::host::programs;
use crate::tool::Identity;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::site::DatabaseEngine;
use stoa_model::{Gtids, Term};

/// The whole of it; a large database over a slow disk takes hours.
pub(super) const TIMEOUT: Duration = Duration::from_secs(12 * 3600);

/// How it gets on is said this often, and looked at: without any progress for [`STALLED`] it is given up.
const REPORT: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(600);

/// The donor is asked for its term within this.
const ASK: Duration = Duration::from_secs(5);

/// What has to be free beside the size of the donor's files: what changes during the copy, and room to live.
const MARGIN: u64 = 64 << 20;

/// The files in which mariabackup tells of its work.
const OWN_FILES: [&str; 6] = [
    "xtrabackup_binlog_info",
    "xtrabackup_slave_info",
    "xtrabackup_binlog_pos_innodb",
    "xtrabackup_checkpoints",
    "xtrabackup_info",
    "backup-my.cnf",
];

/// Makes the data folder of `server`, owned by `user`, from that of `donor`, which runs on this host and
/// knows no term above `term`. One that is ready is left alone.
pub async fn clone(
    server: &Server<'_>,
    user: Option<Identity>,
    donor: &Server<'_>,
    term: Term,
) -> Result<(), DatabaseError> {
    let verb = "be cloned from";
    let Some(making) = Making::begin(server, user).await? else { return Ok(()) };
    let mut client = Client::connect(donor, ADMIN, donor.credentials.admin(), ASK).await?;
    let newest = known(&mut client, verb).await?;
    client.close().await;
    if newest > term {
        return Err(DatabaseError::StaleTerm { instance: donor.instance, verb, asked: term, known: newest });
    }
    let size = size_of(donor.paths.data(donor.instance)).await;
    room(making.part(), size)?;
    tracing::info!("{}: copying {} MB from {}", server.instance, size >> 20, donor.instance);
    match server.spec.engine {
        DatabaseEngine::Mariadb => by_backup(server, user, donor, &making, size, term).await?,
        DatabaseEngine::Mysql => super::clone_by_server::clone(server, donor, &making, size).await?,
    }
    making.keep().await?;
    tracing::info!("{}: cloned from {}", server.instance, donor.instance);
    Ok(())
}

/// As MariaDB's own programs do it.
async fn by_backup(
    server: &Server<'_>,
    user: Option<Identity>,
    donor: &Server<'_>,
    making: &Making<'_>,
    size: u64,
    term: Term,
) -> Result<(), DatabaseError> {
    let program = |program| programs::find(program).ok_or(DatabaseError::Missing { program });
    let (backup, unpack) = (program("mariabackup")?, program("mbstream")?);
    let access = making.scratch().join("access.cnf");
    write_atomic_owned(&access, access_file(donor)?.as_bytes(), 0o600, user)?;
    copy(server, donor, making, (&backup, &unpack), &access, size).await?;
    let mut arguments = vec![OsString::from("--no-defaults"), "--prepare".into()];
    arguments.push(option("--target-dir=", making.part()));
    arguments.push(format!("--use-memory={}", server.spec.memory.0.clamp(32 << 20, 1 << 30)).into());
    let prepared = making.tool(&backup, TIMEOUT).arguments(arguments).run().await;
    making.judge("apply what changed while it was copied", prepared)?;
    let sql = takeover(server, making.part(), term)?;
    for file in OWN_FILES {
        crate::host::files::remove_file(&making.part().join(file))?;
    }
    making.bootstrap("take over the position of its source", sql).await
}

/// One program reads and writes into a pipe, the other reads from it; where one fails, both end.
async fn copy(
    server: &Server<'_>,
    donor: &Server<'_>,
    making: &Making<'_>,
    (backup, unpack): (&Path, &Path),
    access: &Path,
    size: u64,
) -> Result<(), DatabaseError> {
    let (reader, writer) =
        std::io::pipe().map_err(|error| FileError::new("open a pipe for", making.part(), error))?;
    let read = making
        .tool(backup, TIMEOUT)
        .arguments([option("--defaults-file=", access), "--backup".into(), "--stream=mbstream".into()])
        .arguments([option("--target-dir=", making.scratch())])
        .stdout(fs::File::from(std::os::fd::OwnedFd::from(writer)));
    let write = making.tool(unpack, TIMEOUT).arguments(["-x"]).stdin(reader.into());
    let verb = "copy the files of its source";
    let both = async {
        let (read, write) = tokio::join!(async { making.judge(verb, read.run().await) }, async {
            making.judge(verb, write.run().await)
        });
        // What unpacks knows of a full disk; what reads then only knows that nobody listens.
        write.and(read).map(|_| ())
    };
    unless_stalled(server, donor, making.part(), size, verb, both).await
}

/// Gives up `work` when the folder `part`, of about `size` bytes in the end, does not grow any more.
pub(super) async fn unless_stalled(
    server: &Server<'_>,
    donor: &Server<'_>,
    part: &Path,
    size: u64,
    verb: &'static str,
    work: impl Future<Output = Result<(), DatabaseError>>,
) -> Result<(), DatabaseError> {
    tokio::select! {
        done = work => done,
        () = watch(server, donor, part, size) => {
            let said = format!("nothing more came from {} for {} s", donor.instance, STALLED.as_secs());
            Err(DatabaseError::Failed { instance: server.instance, verb, said })
        }
    }
}

/// Says how it gets on; returns when it does not.
async fn watch(server: &Server<'_>, donor: &Server<'_>, part: &Path, size: u64) {
    let (mut last, mut idle) = (0, Duration::ZERO);
    while idle < STALLED {
        tokio::time::sleep(REPORT).await;
        let now = size_of(part.to_owned()).await;
        idle = if now == last { idle + REPORT } else { Duration::ZERO };
        last = now;
        tracing::info!(
            "{}: {} of about {} MB copied from {}",
            server.instance,
            now >> 20,
            size >> 20,
            donor.instance
        );
    }
}

/// Where and as whom the donor is read. It holds a password.
fn access_file(donor: &Server<'_>) -> Result<String, DatabaseError> {
    let instance = donor.instance;
    let mut text = "[mariabackup]\n".to_owned();
    let socket = socket_path(instance, donor.spec)?;
    for (key, value) in [
        ("user", ADMIN.into()),
        ("password", donor.credentials.admin().into()),
        ("socket", socket.to_string_lossy()),
        ("datadir", donor.paths.data(instance).to_string_lossy()),
    ] {
        text += &format!("{key} = {}\n", super::render::quoted(instance, &value)?);
    }
    Ok(text)
}

/// The statements that give the new folder its place in the history of transactions, and its term.
fn takeover(server: &Server<'_>, part: &Path, term: Term) -> Result<String, DatabaseError> {
    let file = part.join("xtrabackup_binlog_info");
    let text = fs::read_to_string(&file).map_err(FileError::at("read", &file))?;
    let position = position(&text).ok_or_else(|| DatabaseError::Failed {
        instance: server.instance,
        verb: "take over the position of its source",
        said: format!("{text:?} is none"),
    })?;
    let mut sql = "DELETE FROM mysql.gtid_slave_pos;\n".to_owned();
    for (at, (domain, origin, sequence)) in position.into_iter().enumerate() {
        let sub = at + 1;
        sql += &format!(
            "INSERT INTO mysql.gtid_slave_pos (domain_id, sub_id, server_id, seq_no) \
             VALUES ({domain}, {sub}, {origin}, {sequence});\n"
        );
    }
    sql += &format!("UPDATE {}.term SET term = {1} WHERE term < {1};\n", identifier(OWN_SCHEMA), term.0);
    Ok(sql)
}

/// The position in `FILE POSITION GTIDS`, as mariabackup writes it: domain, server and sequence of each.
fn position(text: &str) -> Option<Vec<(u32, u32, u64)>> {
    let gtids = text.trim_end_matches(['\n', '\r']).splitn(3, '\t').nth(2).unwrap_or_default();
    gtids.parse::<Gtids>().ok()?;
    let each = gtids.split(',').map(str::trim).filter(|gtid| !gtid.is_empty()).map(|gtid| {
        let mut numbers = gtid.split('-');
        let (domain, origin) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some((domain, origin, numbers.next()?.parse().ok()?))
    });
    each.collect()
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// A full disk is better known before hours of copying.
fn room(part: &Path, size: u64) -> Result<(), DatabaseError> {
    let found = rustix::fs::statvfs(part).map_err(|error| FileError::new("read", part, error))?;
    if found.f_bavail.saturating_mul(found.f_frsize) >= size.saturating_add(MARGIN) {
        return Ok(());
    }
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    Err(FileError::new("copy a database into", part, full).into())
}

/// The bytes of all files below; binlogs and relay logs are not copied and do not count.
async fn size_of(folder: PathBuf) -> u64 {
    tokio::task::spawn_blocking(move || size_below(&folder)).await.unwrap_or(0)
}

fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match entry.metadata() {
            Ok(found) if found.is_dir() => size_below(&entry.path()),
            Ok(_) if name.starts_with("binlog.") || name.starts_with("relay.") => 0,
            Ok(found) => found.len(),
            Err(_) => 0,
        }
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn positions_are_read_as_mariabackup_writes_them() {
        for (text, wanted) in [
            ("binlog.000003\t1249\t0-1-7\n", Some(vec![(0, 1, 7)])),
            ("binlog.000003\t1249\t0-2-7,1-1-9", Some(vec![(0, 2, 7), (1, 1, 9)])),
            ("binlog.000001\t329\t\n", Some(vec![])),
            ("binlog.000001\t329\n", Some(vec![])),
            ("binlog.000003\t1249\t0-1-7'); DROP TABLE x", None),
            ("binlog.000003\t1249\t0-1", None),
        ] {
            assert_eq!(position(text), wanted, "{text:?}");
        }
    }
}
