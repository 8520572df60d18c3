//! Who may do what in a database server of ours, as the SQL that makes a new data folder so.

use super::DatabaseError;
use crate::host::credentials::Credentials;

/// What the application logs in as.
pub const APP: &str = "app";

/// What a replica logs in as.
pub const REPLICATION: &str = "replication";

/// What observes.
pub const MONITOR: &str = "monitor";

/// The daemon itself.
pub const ADMIN: &str = "admin";

/// The schema in which a server remembers its term. A `$` is in no schema of a site.
pub(super) const OWN_SCHEMA: &str = "stoa$";

/// For every schema and table that does not say otherwise: both engines know it, and it tells one emoji
/// from another, which `utf8mb4_unicode_ci` does not.
pub(super) const COLLATION: &str = "utf8mb4_unicode_520_ci";

/// What the one that observes needs: counters, replication, sessions, and the list of a primary's replicas.
const OBSERVING: [&str; 4] = ["BINLOG MONITOR", "SLAVE MONITOR", "PROCESS", "REPLICATION MASTER ADMIN"];

/// The same on MySQL, where a heartbeat is told only in a table.
const OBSERVING_MYSQL: [&str; 4] = [
    "REPLICATION CLIENT, REPLICATION SLAVE, PROCESS ON *.*",
    "SELECT ON performance_schema.replication_connection_status",
    "SELECT ON performance_schema.global_status",
    "SELECT ON performance_schema.global_variables",
];

/// What it may do over the network, where the splitters ask a primary how far its log is. Both engines know
/// this older name for it.
const ASKING: &str = "REPLICATION CLIENT";

/// Schemas that the server needs for itself.
const RESERVED: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// The statements that give a new data folder of MariaDB its schema and its accounts, one a line. They hold
/// passwords: they are for a standard input, never for a log or an argument.
pub(super) fn statements(schema: &str, credentials: &Credentials) -> Result<String, DatabaseError> {
    let mut sql = vec![
        // --bootstrap begins without the tables of privileges.
        "FLUSH PRIVILEGES;".to_owned(),
        // Whatever the distribution creates: root without a password, anonymous users, a test schema.
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';".to_owned(),
        "DELETE FROM mysql.db;".to_owned(),
        "DELETE FROM mysql.proxies_priv;".to_owned(),
        "DROP DATABASE IF EXISTS test;".to_owned(),
        "FLUSH PRIVILEGES;".to_owned(),
    ];
    let observing = [format!("{} ON *.*", OBSERVING.join(", "))];
    sql.extend(ours(schema, credentials, &observing)?);
    Ok(sql.join("\n") + "\n")
}

/// The same for MySQL, for a file that the server reads as it makes its own tables.
pub(super) fn mysql_statements(schema: &str, credentials: &Credentials) -> Result<String, DatabaseError> {
    let mut sql = ours(schema, credentials, &OBSERVING_MYSQL.map(str::to_owned))?;
    // It has no password, until here.
    sql.push("DROP USER 'root'@'localhost';".to_owned());
    Ok(sql.join("\n") + "\n")
}

/// What both engines understand.
fn ours(schema: &str, credentials: &Credentials, observing: &[String]) -> Result<Vec<String>, DatabaseError> {
    if RESERVED.contains(&schema) {
        return Err(DatabaseError::ReservedName { name: schema.to_owned() });
    }
    let own = identifier(OWN_SCHEMA);
    let mut sql = vec![
        format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE {COLLATION};", identifier(schema)),
        format!("CREATE DATABASE {own} CHARACTER SET ascii;"),
        format!(
            "CREATE TABLE {own}.term (id TINYINT PRIMARY KEY, term BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB;"
        ),
        format!("INSERT INTO {own}.term VALUES (1, 0);"),
    ];
    let mut account = |user: &str, host: &str, password: &str, grants: &[String]| {
        sql.push(format!("CREATE USER '{user}'@'{host}' IDENTIFIED BY {};", literal(password)));
        sql.extend(grants.iter().map(|grant| format!("GRANT {grant} TO '{user}'@'{host}';")));
    };
    // `_` stands for any character in the schema of a GRANT.
    let app = format!("ALL PRIVILEGES ON {}.*", identifier(&schema.replace('_', "\\_")));
    // Not at the server's own Unix socket: clients that ask a server for its name, as some do by themselves, would
    // go past the splitters.
    account(APP, "127.0.0.1", credentials.app(), &[app]);
    account(REPLICATION, "127.0.0.1", credentials.replication(), &["REPLICATION SLAVE ON *.*".to_owned()]);
    let monitor: Vec<String> = observing.iter().cloned().chain([format!("SELECT ON {own}.*")]).collect();
    account(MONITOR, "localhost", credentials.monitor(), &monitor);
    account(MONITOR, "127.0.0.1", credentials.monitor(), &[format!("{ASKING} ON *.*")]);
    account(ADMIN, "localhost", credentials.admin(), &["ALL PRIVILEGES ON *.*".to_owned()]);
    Ok(sql)
}

/// `name` as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `text` as a string literal under the server's own SQL mode, in which a backslash escapes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
