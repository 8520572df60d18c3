//! What the two engines call the same things: statements, variables, columns. It decides nothing.

use stoa_model::site::DatabaseEngine;

/// One engine's words.
#[derive(Debug)]
pub(super) struct Words {
    /// How a server tells of its replication.
    pub(super) replica_status: &'static str,
    /// The same, with what only the monitor looks at.
    pub(super) full_status: &'static str,
    /// How a primary lists its replicas.
    pub(super) replicas: &'static str,
    pub(super) stop_receiving: &'static str,
    pub(super) start_receiving: &'static str,
    pub(super) start_applying: &'static str,
    /// A change of the primary waits for it; nobody else runs it.
    pub(super) stop_replicating: &'static str,
    pub(super) start_replicating: &'static str,
    pub(super) forget_primary: &'static str,
    /// The statement that a fence waits for; nobody else runs it.
    pub(super) refuse_writes: &'static str,
    /// Whether that is so.
    pub(super) refuses_writes: &'static str,
    pub(super) take_writes: &'static str,
    /// What lets the daemon itself write on a server that refuses writes, where it may not anyway.
    pub(super) let_daemon_write: Option<&'static str>,
    /// The variable that says whether commits wait for a replica.
    pub(super) waits: &'static str,
    /// The one that says whether a replica acknowledges.
    pub(super) acknowledges: &'static str,
    /// What a replica says of its connection: whether it acknowledges on it.
    pub(super) semi_sync_status: &'static str,
    /// The counter of replicas that acknowledge.
    pub(super) acknowledging: &'static str,
    /// The counter of sessions that wait for them.
    pub(super) waiting: &'static str,
    // Columns of `replica_status`.
    pub(super) host: &'static str,
    pub(super) port: &'static str,
    pub(super) tls: &'static str,
    pub(super) receiving: &'static str,
    pub(super) applying: &'static str,
    pub(super) lag: &'static str,
    pub(super) received_file: &'static str,
    pub(super) received_position: &'static str,
    /// The transactions that were received.
    pub(super) received: &'static str,
    pub(super) heartbeats: Heartbeats,
    /// The column of `replicas` with their ids.
    pub(super) replica_id: &'static str,
}

/// Where the heartbeats of a primary are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heartbeats {
    /// In a column of the status of replication.
    Column(&'static str),
    /// In a table of its own.
    Fact,
}

const MARIADB: Words = Words {
    replica_status: "SHOW SLAVE STATUS",
    full_status: "SHOW ALL SLAVES STATUS",
    replicas: "SHOW SLAVE HOSTS",
    stop_receiving: "STOP SLAVE IO_THREAD",
    start_receiving: "START SLAVE IO_THREAD",
    start_applying: "START SLAVE SQL_THREAD",
    stop_replicating: "STOP SLAVE",
    start_replicating: "START SLAVE",
    forget_primary: "RESET SLAVE ALL",
    refuse_writes: "SET GLOBAL read_only = 1",
    refuses_writes: "SELECT @@global.read_only",
    take_writes: "SET GLOBAL read_only = 0",
    let_daemon_write: None,
    waits: "rpl_semi_sync_master_enabled",
    acknowledges: "rpl_semi_sync_slave_enabled",
    semi_sync_status: "Rpl_semi_sync_slave_status",
    acknowledging: "Rpl_semi_sync_master_clients",
    waiting: "Rpl_semi_sync_master_wait_sessions",
    host: "Master_Host",
    port: "Master_Port",
    tls: "Master_SSL_Allowed",
    receiving: "Slave_IO_Running",
    applying: "Slave_SQL_Running",
    lag: "Seconds_Behind_Master",
    received_file: "Master_Log_File",
    received_position: "Read_Master_Log_Pos",
    received: "Gtid_IO_Pos",
    heartbeats: Heartbeats::Column("Slave_received_heartbeats"),
    replica_id: "Server_id",
};

const MYSQL: Words = Words {
    replica_status: "SHOW REPLICA STATUS",
    full_status: "SHOW REPLICA STATUS",
    replicas: "SHOW REPLICAS",
    stop_receiving: "STOP REPLICA IO_THREAD",
    start_receiving: "START REPLICA IO_THREAD",
    start_applying: "START REPLICA SQL_THREAD",
    stop_replicating: "STOP REPLICA",
    start_replicating: "START REPLICA",
    forget_primary: "RESET REPLICA ALL",
    // It sets read_only too; and read_only = 0 lifts both.
    refuse_writes: "SET GLOBAL super_read_only = 1",
    refuses_writes: "SELECT @@global.super_read_only",
    take_writes: "SET GLOBAL read_only = 0",
    let_daemon_write: Some("SET GLOBAL super_read_only = 0"),
    waits: "rpl_semi_sync_source_enabled",
    acknowledges: "rpl_semi_sync_replica_enabled",
    semi_sync_status: "Rpl_semi_sync_replica_status",
    acknowledging: "Rpl_semi_sync_source_clients",
    waiting: "Rpl_semi_sync_source_wait_sessions",
    host: "Source_Host",
    port: "Source_Port",
    tls: "Source_SSL_Allowed",
    receiving: "Replica_IO_Running",
    applying: "Replica_SQL_Running",
    lag: "Seconds_Behind_Source",
    received_file: "Source_Log_File",
    received_position: "Read_Source_Log_Pos",
    received: "Retrieved_Gtid_Set",
    heartbeats: Heartbeats::Fact,
    replica_id: "Server_Id",
};

/// The words of `engine`.
pub(super) const fn of(engine: DatabaseEngine) -> &'static Words {
    match engine {
        DatabaseEngine::Mariadb => &MARIADB,
        DatabaseEngine::Mysql => &MYSQL,
    }
}
