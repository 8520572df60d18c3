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

/// Schemas that the server needs for itself.
const RESERVED: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// The statements that give a new data folder its schema and its accounts, one a line. They hold
/// passwords: they are for a standard input, never for a log or an argument.
pub(super) fn statements(schema: &str, credentials: &Credentials) -> Result<String, DatabaseError> {
    if RESERVED.contains(&schema) {
        return Err(DatabaseError::ReservedName { name: schema.to_owned() });
    }
    let mut sql = vec![
        // --bootstrap begins without the tables of privileges.
        "FLUSH PRIVILEGES;".to_owned(),
        // Whatever the distribution creates: root without a password, anonymous users, a test schema.
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';".to_owned(),
        "DELETE FROM mysql.db;".to_owned(),
        "DELETE FROM mysql.proxies_priv;".to_owned(),
        "DROP DATABASE IF EXISTS test;".to_owned(),
        "FLUSH PRIVILEGES;".to_owned(),
        format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE {COLLATION};", identifier(schema)),
        format!("CREATE DATABASE {} CHARACTER SET ascii;", identifier(OWN_SCHEMA)),
        format!(
            "CREATE TABLE {own}.term (id TINYINT PRIMARY KEY, term BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB;",
            own = identifier(OWN_SCHEMA)
        ),
        format!("INSERT INTO {}.term VALUES (1, 0);", identifier(OWN_SCHEMA)),
    ];
    let mut account = |user: &str, host: &str, password: &str, grants: &[String]| {
        sql.push(format!("CREATE USER '{user}'@'{host}' IDENTIFIED BY {};", literal(password)));
        sql.extend(grants.iter().map(|grant| format!("GRANT {grant} TO '{user}'@'{host}';")));
    };
    // `_` stands for any character in the schema of a GRANT.
    let app = format!("ALL PRIVILEGES ON {}.*", identifier(&schema.replace('_', "\\_")));
    for host in ["127.0.0.1", "localhost"] {
        account(APP, host, credentials.app(), std::slice::from_ref(&app));
    }
    account(REPLICATION, "127.0.0.1", credentials.replication(), &["REPLICATION SLAVE ON *.*".to_owned()]);
    let monitor =
        [format!("{} ON *.*", OBSERVING.join(", ")), format!("SELECT ON {}.*", identifier(OWN_SCHEMA))];
    // The daemon observes over the socket, the splitters ask a primary how far it is.
    for host in ["127.0.0.1", "localhost"] {
        account(MONITOR, host, credentials.monitor(), &monitor);
    }
    account(ADMIN, "localhost", credentials.admin(), &["ALL PRIVILEGES ON *.*".to_owned()]);
    Ok(sql.join("\n") + "\n")
}

/// `name` as a quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `text` as a string literal under the server's own SQL mode, in which a backslash escapes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
