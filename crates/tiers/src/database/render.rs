//! my.cnf and how a server is started.

use super::DatabaseError;
use super::accounts::COLLATION;
use super::certificate::Certificate;
use crate::host::launch::{Launch, Limits, RenderedFile, RunAs, StopSignal};
use crate::host::programs::SERVER_PATH;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use stoa_model::site::DatabaseEngine;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{Endpoint, InstanceId, Paths, Spec, Tier};

/// Only for a former primary, once what its successor has not is saved: as a replica, it takes from its binlog
/// what it had not committed. A primary that starts again keeps all of it: it was acknowledged.
const REWIND: &str = "
init_rpl_role = SLAVE
";

/// What every server of MariaDB has alike.
const MARIADB: &str = "\
# Nobody is primary by being started: promotion alone lifts this.
read_only = 1
skip_slave_start = 1

# An acknowledged write survives a crash of the server and of the machine.
innodb_flush_log_at_trx_commit = 1
sync_binlog = 1
log_bin = binlog
log_bin_index = binlog.index
binlog_format = ROW
# A new replica is cloned and needs no history; one that was away for longer is cloned too.
binlog_expire_logs_seconds = 259200

gtid_domain_id = 0
gtid_strict_mode = 1
log_slave_updates = 1
# What was committed at once is applied at once, and committed in the same order: a single thread, which waits
# for the disk at each commit, falls behind a primary that many write to.
slave_parallel_threads = 8
slave_parallel_mode = optimistic
relay_log = relay
relay_log_index = relay.index
relay_log_recovery = 1
# A primary that says nothing is one that is not there; it is tried again for ever. A count of 0 would be that only
# where it cannot be connected to: after two connections that broke the server would stop.
slave_net_timeout = 4
master_retry_count = 4294967295

# Semi-synchronous: a commit waits until a replica has received it, before anybody can see it, and for as
# long as that takes (a year, in milliseconds): nothing goes on without its replicas by itself. Which side of
# it a server takes is set when it is promoted or follows.
rpl_semi_sync_master_enabled = 0
rpl_semi_sync_slave_enabled = 1
rpl_semi_sync_master_wait_point = AFTER_SYNC
rpl_semi_sync_master_wait_no_slave = 1
rpl_semi_sync_master_timeout = 31536000000

character_set_server = utf8mb4
default_storage_engine = InnoDB
# Only the server's own tables use these engines.
key_buffer_size = 1M
aria_pagecache_buffer_size = 16M
max_allowed_packet = 64M
max_connections = 500
performance_schema = 0

skip_name_resolve = 1
local_infile = 0
skip_symbolic_links = 1
";

/// What every server of MySQL has alike.
const MYSQL: &str = "\
# Nobody is primary by being started: promotion alone lifts this.
super_read_only = 1
skip_replica_start = 1

# An acknowledged write survives a crash of the server and of the machine.
innodb_flush_log_at_trx_commit = 1
sync_binlog = 1
log_bin = binlog
log_bin_index = binlog.index
binlog_format = ROW
# A new replica is cloned and needs no history; one that was away for longer is cloned too.
binlog_expire_logs_seconds = 259200

gtid_mode = ON
enforce_gtid_consistency = ON
log_replica_updates = 1
# What was committed at once is applied at once, and committed in the same order.
replica_parallel_workers = 8
replica_preserve_commit_order = 1
relay_log = relay
relay_log_index = relay.index
relay_log_recovery = 1
# A primary that says nothing is one that is not there.
replica_net_timeout = 4

# Semi-synchronous: a commit waits until a replica has received it, before anybody can see it, and for as
# long as that takes (a year, in milliseconds): nothing goes on without its replicas by itself. Which side of
# it a server takes is set when it is promoted or follows.
plugin_load_add = semisync_source.so
plugin_load_add = semisync_replica.so
rpl_semi_sync_source_enabled = 0
rpl_semi_sync_replica_enabled = 1
rpl_semi_sync_source_wait_point = AFTER_SYNC
rpl_semi_sync_source_wait_no_replica = 1
rpl_semi_sync_source_timeout = 31536000000

# Clones are made by the server itself.
plugin_load_add = mysql_clone.so

character_set_server = utf8mb4
default_storage_engine = InnoDB
key_buffer_size = 1M
max_allowed_packet = 64M
max_connections = 500
# It takes 200 MB; what replicas tell of their primary's heartbeats stands in its tables without it.
performance_schema = 0

mysqlx = 0
skip_name_resolve = 1
local_infile = 0
";

/// Over TCP nobody connects otherwise.
const TLS: &str = "\
require_secure_transport = 1
";

/// The server's program. A link of that name to MariaDB's is not it.
fn program(engine: DatabaseEngine) -> std::ffi::OsString {
    match engine {
        DatabaseEngine::Mariadb => "mariadbd".into(),
        DatabaseEngine::Mysql => {
            crate::host::programs::find_of_mysql("mysqld").map_or("mysqld".into(), Into::into)
        }
    }
}

/// How `instance` is started. Its data folder has been prepared. What it shows to who connects inside TLS is only
/// needed where its spec asks for TLS.
pub fn launch(
    instance: InstanceId,
    spec: &DatabaseSpec,
    paths: &Paths,
    certificate: Option<&Certificate>,
) -> Result<Launch, DatabaseError> {
    let file = paths.instance(instance).join("my.cnf");
    let mut text = render(instance, spec, paths)?;
    // MySQL takes nothing back: what only a former primary has, it keeps, and is made anew.
    if spec.engine == DatabaseEngine::Mariadb && super::data::rewinds(&paths.data(instance)) {
        text += REWIND;
    }
    let mut files = vec![RenderedFile { path: file.clone(), text, secret: false }];
    if let (true, Some(certificate)) = (spec.tls, certificate) {
        let (path, text) = (key(instance, paths), certificate.key().to_owned());
        files.push(RenderedFile { path, text, secret: true });
    }
    let mut defaults = std::ffi::OsString::from("--defaults-file=");
    defaults.push(&file);
    Ok(Launch {
        instance,
        argv: vec![program(spec.engine), defaults],
        environment: BTreeMap::from([
            ("PATH".into(), SERVER_PATH.into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ]),
        directory: paths.data(instance),
        user: RunAs::Tier(Tier::Database),
        limits: Limits::default(),
        stop_signal: StopSignal::Term,
        spec: Spec::Database(spec.clone()),
        release: None,
        files,
        folders: vec![paths.instance(instance).join("tmp")],
        held: None,
    })
}

/// my.cnf.
pub fn render(instance: InstanceId, spec: &DatabaseSpec, paths: &Paths) -> Result<String, DatabaseError> {
    let quoted = |path: &Path| quoted(instance, &path.to_string_lossy());
    let (address, port) = match &spec.endpoint {
        Endpoint::Tcp(address) => (address.ip(), address.port()),
        Endpoint::Unix(_) => (IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    };
    let network = if port == 0 { "skip_networking = 1".to_owned() } else { format!("port = {port}") };
    let run = paths.instance(instance);
    let (program, common) = match spec.engine {
        DatabaseEngine::Mariadb => ("mariadbd", MARIADB),
        DatabaseEngine::Mysql => ("mysqld", MYSQL),
    };
    let (data, tmp, pid) = (
        quoted(&paths.data(instance))?,
        quoted(&run.join("tmp"))?,
        quoted(&run.join(format!("{program}.pid")))?,
    );
    let socket = quoted(super::client::socket_path(instance, spec)?)?;
    let tls = match spec.tls {
        true => {
            let (shown, key) = (quoted(&paths.database_certificate())?, quoted(&key(instance, paths))?);
            format!("{TLS}ssl_ca = {shown}\nssl_cert = {shown}\nssl_key = {key}\n\n")
        }
        false => String::new(),
    };
    let (server_id, memory) = (spec.server_id, spec.memory.0);
    Ok(format!(
        "\
# Made by Stoa for {instance}; a change here is lost at the next start.
[{program}]
bind_address = {address}
{network}
socket = {socket}
pid_file = {pid}
datadir = {data}
tmpdir = {tmp}
secure_file_priv = {tmp}

server_id = {server_id}
innodb_buffer_pool_size = {memory}
collation_server = {COLLATION}

{tls}{common}"
    ))
}

/// A copy that the server's user may read.
fn key(instance: InstanceId, paths: &Paths) -> PathBuf {
    paths.instance(instance).join("tls-key.pem")
}

/// A value as it stands in an option file.
pub(super) fn quoted(instance: InstanceId, text: &str) -> Result<String, DatabaseError> {
    if text
        .chars()
        .any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\') || c == char::REPLACEMENT_CHARACTER)
    {
        return Err(DatabaseError::Unwritable { instance, value: text.to_owned() });
    }
    Ok(format!("\"{text}\""))
}

#[cfg(test)]
#[path = "render_tests.rs"]
pub(super) mod tests;
