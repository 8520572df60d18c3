//! Makes a server a replica of the primary of a term.

use super::accounts::{ADMIN, REPLICATION, literal};
use super::client::{Client, column, number};
use super::fence::make_read_only;
use super::promote::apply_received;
use super::semi_sync::{self, Side};
use super::sessions::end_foreign;
use super::term::{enter, leave};
use super::{DatabaseError, Server};
use mysql_async::Row;
use std::net::SocketAddr;
use std::time::Duration;
use stoa_model::site::DatabaseEngine;
use stoa_model::{Endpoint, Term};
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A replica that can connect has done so by then.
const BEGINS: Duration = Duration::from_secs(1);

/// Applying that is not to be stopped for this long may be held up by somebody's locks.
const PATIENCE: Duration = Duration::from_secs(1);

/// How it gets on is looked at this often.
const PAUSE: Duration = Duration::from_millis(10);

/// A primary as its replicas connect to it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where it listens.
    pub endpoint: &'a Endpoint,
    /// It is connected to inside TLS.
    pub tls: bool,
}

/// Lets the server replicate from the primary of `term`.
pub async fn follow(server: &Server<'_>, primary: Source<'_>, term: Term) -> Result<(), DatabaseError> {
    let verb = "follow";
    let Endpoint::Tcp(address) = primary.endpoint else {
        let why = format!("a replica needs a TCP address of its primary, not {}", primary.endpoint);
        return Err(DatabaseError::Sql { instance: server.instance, verb, why, code: None });
    };
    let mut client = enter(server, verb, term, TIMEOUT).await?.hide(server.credentials.replication());
    make_read_only(server, &mut client, verb).await?;
    semi_sync::set(&mut client, verb, Side::Replica).await?;
    let status = settled(&mut client, verb, (*address, primary.tls)).await?;
    let words = client.words();
    let both_run =
        |row: &Row| [words.receiving, words.applying].iter().all(|name| column(row, name) == "Yes");
    if status.as_ref().is_some_and(|row| aims(&client, row, (*address, primary.tls)) && both_run(row)) {
        acknowledge(&mut client, verb).await?;
        return leave(server, client, verb).await;
    }
    let applying = status.as_ref().filter(|row| column(row, words.applying) == "Yes");
    let keeps = applying.is_some_and(|row| keeps_received(&client, row));
    let acknowledged = applying.is_some_and(|row| comes_from(&client, row, *address));
    if keeps || acknowledged {
        client.run(verb, words.stop_receiving).await?;
    }
    if acknowledged && !keeps {
        // To this very primary, until now: how much of it that one knows to be there, nobody can tell.
        apply_received(&mut client, verb).await?;
    }
    if !keeps {
        stop_replicating(server, &mut client, verb).await?;
    }
    if client.engine() == DatabaseEngine::Mariadb {
        stand_where_it_is(&mut client, verb).await?;
    }
    let change = change(server, *address, primary.tls, keeps);
    client.run(verb, change).await?;
    client.run(verb, words.start_replicating).await?;
    leave(server, client, verb).await
}

/// Whether the primary can be changed while what was received is applied. The writes of a new primary may wait for
/// this very replica, and one that has just come back has minutes to apply. MySQL's goes on applying. MariaDB's throws
/// away what it has not applied, and gets it anew from the new primary, which had all of it before it was promoted:
/// until it has, nobody counts on it, and that primary is started again rather than followed.
fn keeps_received(client: &Client, row: &Row) -> bool {
    client.engine() == DatabaseEngine::Mysql && number(row, "Auto_Position") == Some(1)
}

/// It ends what it is in the midst of applying first; whoever holds that up is ended.
async fn stop_replicating(
    server: &Server<'_>,
    client: &mut Client,
    verb: &'static str,
) -> Result<(), DatabaseError> {
    let mut stopping = std::pin::pin!(client.run(verb, client.words().stop_replicating));
    loop {
        if let Ok(stopped) = tokio::time::timeout(PATIENCE, &mut stopping).await {
            return stopped;
        }
        let mut other = Client::connect(server, ADMIN, server.credentials.admin(), TIMEOUT).await?;
        end_foreign(&mut other, verb).await?;
        other.close().await;
    }
}

/// How it replicates, once a replica that was told of this primary a moment ago, by whoever was interrupted then,
/// has connected or has had time to. A primary of MariaDB may come to hold a connection for ever that is ended in the
/// moment in which it begins, and answers no other one of that replica.
async fn settled(
    client: &mut Client,
    verb: &'static str,
    primary: (SocketAddr, bool),
) -> Result<Option<Row>, DatabaseError> {
    let words = client.words();
    let began = Instant::now();
    loop {
        let status: Option<Row> = client.first(verb, words.replica_status).await?;
        let connects = |row: &Row| {
            aims(client, row, primary) && !["Yes", "No"].contains(&column(row, words.receiving).as_str())
        };
        if !status.as_ref().is_some_and(connects) || began.elapsed() > BEGINS {
            return Ok(status);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets one that replicates acknowledge as well: that it should, it has taken up only where it says so of its
/// connection. What it has received stays.
async fn acknowledge(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let words = client.words();
    let question = format!("SHOW GLOBAL STATUS LIKE '{}'", words.semi_sync_status);
    let began = Instant::now();
    // One that has just connected does not at once, and is not to be disturbed then, as above.
    while began.elapsed() <= BEGINS {
        let said: Option<(String, String)> = client.first(verb, question.as_str()).await?;
        if said.is_some_and(|(_, value)| value == "ON") {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    client.run(verb, words.stop_receiving).await?;
    client.run(verb, words.start_receiving).await
}

/// Whether it replicates, or tries to, from this primary, as it should.
fn aims(client: &Client, row: &Row, (address, tls): (SocketAddr, bool)) -> bool {
    let words = client.words();
    let by_gtid = match client.engine() {
        DatabaseEngine::Mariadb => column(row, "Using_Gtid") == "Slave_Pos",
        DatabaseEngine::Mysql => number(row, "Auto_Position") == Some(1),
    };
    comes_from(client, row, address) && (column(row, words.tls) == "Yes") == tls && by_gtid
}

/// Whether what it received is this primary's.
fn comes_from(client: &Client, row: &Row, address: SocketAddr) -> bool {
    let words = client.words();
    column(row, words.host) == address.ip().to_string()
        && number(row, words.port) == Some(address.port().into())
}

/// What a server of MariaDB wrote itself as a primary is part of where it stands. MySQL's has one set of all.
async fn stand_where_it_is(client: &mut Client, verb: &'static str) -> Result<(), DatabaseError> {
    let position: Option<(String, String)> =
        client.first(verb, "SELECT @@global.gtid_slave_pos, @@global.gtid_current_pos").await?;
    if position.is_some_and(|(replicated, current)| replicated != current) {
        client.run(verb, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos").await?;
    }
    Ok(())
}

/// The statement that names the primary. It holds a password. Inside TLS nothing is believed but the certificate
/// of the site's own servers; whose name stands in it does not matter then. With `keeps`, it is one that a server of
/// MySQL takes while it applies.
fn change(server: &Server<'_>, primary: SocketAddr, tls: bool, keeps: bool) -> String {
    let (host, port) = (literal(&primary.ip().to_string()), primary.port());
    let (user, password) = (literal(REPLICATION), literal(server.credentials.replication()));
    // MySQL's server calls a source what MariaDB's calls a master.
    let (verb, role) = match server.spec.engine {
        DatabaseEngine::Mariadb => ("MASTER", "MASTER"),
        DatabaseEngine::Mysql => ("REPLICATION SOURCE", "SOURCE"),
    };
    let tls = match tls {
        true => {
            let authority = literal(&server.paths.database_certificate().to_string_lossy());
            format!("{role}_SSL = 1, {role}_SSL_CA = {authority}, {role}_SSL_VERIFY_SERVER_CERT = 0")
        }
        false => format!("{role}_SSL = 0"),
    };
    let own = match server.spec.engine {
        DatabaseEngine::Mariadb => "MASTER_USE_GTID = slave_pos",
        // Without the key, a password whose digest the primary does not hold in its memory is not taken over
        // a connection that is not encrypted. So many tries are for ever; 0 is that too, but for a connection that
        // broke: it would be tried again once.
        DatabaseEngine::Mysql if keeps => "SOURCE_RETRY_COUNT = 4294967295, GET_SOURCE_PUBLIC_KEY = 1",
        DatabaseEngine::Mysql => {
            "SOURCE_AUTO_POSITION = 1, SOURCE_RETRY_COUNT = 4294967295, GET_SOURCE_PUBLIC_KEY = 1"
        }
    };
    format!(
        "CHANGE {verb} TO {role}_HOST = {host}, {role}_PORT = {port}, {role}_USER = {user}, \
         {role}_PASSWORD = {password}, {role}_CONNECT_RETRY = 1, {role}_HEARTBEAT_PERIOD = 0.5, {tls}, {own}"
    )
}
