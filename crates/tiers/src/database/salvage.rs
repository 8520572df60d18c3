//! Saves what a former primary has that its successor has not, and has the former one rewound.
//!
//! Such transactions were acknowledged to nobody, or on purpose to somebody who was told that no replica had
//! them. They are kept as SQL that a person may read and decide about; nothing of it is ever run by itself.

use super::DatabaseError;
use super::data::{engine, order_rewind};
use super::making::judge;
use crate::host::error::FileError;
use crate::host::files::{ensure_folder, remove_file, write_atomic};
use crate::host::programs;
use crate::tool::{Ended, Identity, Tool, ToolError, printable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::observed::Salvaged;
use stoa_model::site::DatabaseEngine;
use stoa_model::{Gtids, InstanceId, Paths, Term};

/// Reading the binlogs of a lost tail; it is short unless the site went on without its replicas for long.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// A binlog tells within its first bytes what was written before it.
const HEAD: &str = "--stop-position=8192";

/// What is remembered of a salvage, beside its file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    term: Term,
    transactions: u64,
}

/// Writes what the binlogs of `instance`, which is down, hold beyond `beyond` to [`Paths::salvaged`], and lets
/// its next start take back what it had not committed. How many transactions were found; of none there is no
/// file. Run again, it begins anew.
pub async fn salvage(
    instance: InstanceId,
    paths: &Paths,
    user: Option<Identity>,
    beyond: &Gtids,
    term: Term,
) -> Result<u64, DatabaseError> {
    let file = paths.salvaged(instance, term);
    let folder = file.parent().unwrap_or(paths.root()).to_owned();
    ensure_folder(&folder, 0o700, None)?;
    // Saved before: the next start may have taken back meanwhile what is in the file.
    if let Some(record) = read(&record_path(paths, instance)).filter(|record| record.term == term) {
        order_rewind(&paths.data(instance))?;
        return Ok(record.transactions);
    }
    let part = file.with_extension("part");
    remove_file(&part)?;
    let reader = Reader::new(instance, paths, user)?;
    let saved = save(&reader, beyond, &part).await;
    let transactions = match saved {
        Ok(0) => {
            remove_file(&part)?;
            0
        }
        Ok(transactions) => {
            fs::rename(&part, &file).map_err(FileError::at("rename into", &file))?;
            File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(FileError::at("sync", &folder))?;
            transactions
        }
        Err(error) => {
            let _ = remove_file(&part);
            return Err(error);
        }
    };
    order_rewind(&paths.data(instance))?;
    let text = serde_json::to_vec(&Record { term, transactions }).unwrap_or_default();
    write_atomic(&record_path(paths, instance), &text, 0o600)?;
    Ok(transactions)
}

/// What was saved of each instance, the newest.
pub fn salvaged(paths: &Paths) -> BTreeMap<InstanceId, Salvaged> {
    let folder = paths.root().join("lost");
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let records = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let instance = path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
        let Record { term, transactions } = read(&path)?;
        Some((instance, Salvaged { term, transactions }))
    });
    records.collect()
}

fn record_path(paths: &Paths, instance: InstanceId) -> PathBuf {
    paths.root().join("lost").join(format!("{instance}.json"))
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

async fn save(reader: &Reader, beyond: &Gtids, part: &Path) -> Result<u64, DatabaseError> {
    let logs = binlogs(&reader.data)?;
    let logs = reader.needed(logs, beyond).await?;
    if logs.is_empty() {
        return Ok(0);
    }
    let out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .map_err(FileError::at("create", part))?;
    let mut tool = reader.tool().arguments(["--verbose"]).stdout(out);
    if !beyond.is_empty() {
        tool = tool.arguments([match reader.engine {
            DatabaseEngine::Mariadb => format!("--start-position={}", position(beyond)),
            DatabaseEngine::Mysql => format!("--exclude-gtids={beyond}"),
        }]);
    }
    let ended = tool.arguments(["--".into()].into_iter().chain(logs)).run().await;
    if !ended.as_ref().is_ok_and(only_short) {
        reader.judge("save what only it has", ended)?;
    }
    let saved = File::open(part).map_err(FileError::at("open", part))?;
    saved.sync_all().map_err(FileError::at("sync", part))?;
    let part = part.to_owned();
    let count = tokio::task::spawn_blocking(move || count(&part));
    Ok(count.await.map_err(|error| FileError::new("read", Path::new("the salvaged file"), error))??)
}

/// Complaints that mean no more than that the log ends where it does: nothing is beyond the position, or the
/// server was killed while it wrote an event, which is then no transaction.
fn only_short(ended: &Ended) -> bool {
    let said = String::from_utf8_lossy(&ended.stderr);
    let mut errors = said.lines().filter(|line| line.contains("ERROR")).peekable();
    errors.peek().is_some()
        && errors.all(|line| {
            ["never reached expected GTID state", "read error", "Event truncated", "unexpected EOF"]
                .iter()
                .any(|known| line.contains(known))
        })
}

/// Runs mariadb-binlog, or MySQL's mysqlbinlog.
struct Reader {
    instance: InstanceId,
    engine: DatabaseEngine,
    data: PathBuf,
    user: Option<Identity>,
    program: PathBuf,
    scratch: PathBuf,
}

impl Reader {
    fn new(instance: InstanceId, paths: &Paths, user: Option<Identity>) -> Result<Self, DatabaseError> {
        let data = paths.data(instance);
        // A folder that is not ours is told as such before it comes to this.
        let engine = engine(&data).unwrap_or(DatabaseEngine::Mariadb);
        let (program, found) = match engine {
            DatabaseEngine::Mariadb => ("mariadb-binlog", programs::find("mariadb-binlog")),
            DatabaseEngine::Mysql => ("mysqlbinlog", programs::find_of_mysql("mysqlbinlog")),
        };
        let program = found.ok_or(DatabaseError::Missing { program })?;
        let scratch = paths.instance(instance).join("tmp");
        Ok(Reader { instance, engine, data, user, program, scratch })
    }

    fn tool(&self) -> Tool {
        let mut environment = programs::environment();
        environment.insert("TMPDIR".into(), self.scratch.clone().into());
        let tool = Tool::new(&self.program, &self.data).arguments(["--no-defaults"]).environment(environment);
        tool.identity(self.user).timeout(TIMEOUT).dies_with_parent()
    }

    fn judge(&self, verb: &'static str, ended: Result<Ended, ToolError>) -> Result<Ended, DatabaseError> {
        // It is told no secret.
        judge(self.instance, &self.data, verb, ended, &printable)
    }

    /// The logs from the one in which something may lie beyond the position, oldest first.
    async fn needed(&self, logs: Vec<OsString>, beyond: &Gtids) -> Result<Vec<OsString>, DatabaseError> {
        let mut needed = Vec::new();
        for log in logs.into_iter().rev() {
            let tool = self.tool().arguments([HEAD.into(), "--".into(), log.clone()]);
            let ended = tool.run().await;
            needed.push(log);
            let text = match &ended {
                Ok(ended) if only_short(ended) => ended.text(),
                _ => self.judge("read the binlog", ended)?.text(),
            };
            if before(self.engine, &text).is_some_and(|before| beyond.contains(&before)) {
                break;
            }
        }
        needed.reverse();
        Ok(needed)
    }
}

/// What was written before a binlog. As mariadb-binlog prints it: `Gtid list [0-1-7,\n# 0-2-9]`; as mysqlbinlog
/// does: `Previous-GTIDs\n# UUID:1-5,\n# UUID:1-7\n`.
fn before(engine: DatabaseEngine, text: &str) -> Option<Gtids> {
    match engine {
        DatabaseEngine::Mariadb => {
            let (_, list) = text.split_once("Gtid list [")?;
            let (list, _) = list.split_once(']')?;
            list.replace(['#', '\n'], " ").parse().ok()
        }
        DatabaseEngine::Mysql => {
            let (_, list) = text.split_once("Previous-GTIDs\n")?;
            let lines = list.lines().map_while(|line| line.strip_prefix("# "));
            let list: String = lines.take_while(|line| !line.starts_with("at ")).collect();
            if list == "[empty]" { Some(Gtids::default()) } else { list.parse().ok() }
        }
    }
}

/// The binlogs in their order; the index names them.
fn binlogs(data: &Path) -> Result<Vec<OsString>, DatabaseError> {
    let index = data.join("binlog.index");
    let text = match fs::read_to_string(&index) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(FileError::at("read", &index))?,
    };
    let names = text.lines().filter_map(|line| Path::new(line.trim()).file_name());
    Ok(names.map(|name| data.join(name).into_os_string()).collect())
}

/// The position that `beyond` is: of each domain the last.
fn position(beyond: &Gtids) -> String {
    let text = beyond.to_string();
    let mut last: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for gtid in text.split(',').map(str::trim) {
        let (Some((domain, _)), Some((_, sequence))) = (gtid.split_once('-'), gtid.rsplit_once('-')) else {
            continue;
        };
        let sequence = sequence.parse().unwrap_or(0);
        let entry = last.entry(domain).or_insert((sequence, gtid));
        if sequence > entry.0 {
            *entry = (sequence, gtid);
        }
    }
    last.into_values().map(|(_, gtid)| gtid).collect::<Vec<_>>().join(",")
}

/// How many transactions are in the file: each begins with a comment that holds its GTID. What a row or a
/// statement holds never begins a line with `#` and a digit.
fn count(file: &Path) -> Result<u64, FileError> {
    let opened = File::open(file).map_err(FileError::at("open", file))?;
    let mut lines = BufReader::new(opened);
    let (mut line, mut found) = (Vec::new(), 0);
    while lines.read_until(b'\n', &mut line).map_err(FileError::at("read", file))? > 0 {
        let comment = line.first() == Some(&b'#') && line.get(1).is_some_and(u8::is_ascii_digit);
        if comment && line.windows(6).any(|word| matches!(word, b"\tGTID " | b"\tGTID\t")) {
            found += 1;
        }
        line.clear();
    }
    Ok(found)
}
