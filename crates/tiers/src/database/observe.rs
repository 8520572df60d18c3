//! What a server says of itself.

use super::accounts::{MONITOR, OWN_SCHEMA, identifier};
use super::client::{Client, Door, column, number};
use super::lasting::{HEARTBEATS, Lasting};
use super::words::Words;
use super::{DatabaseError, Server, drift};
use mysql_async::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stoa_model::gtid::Origin;
use stoa_model::observed::{DatabaseStatus, Receiving, Replication, SemiSync};
use stoa_model::site::DatabaseEngine;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{Endpoint, Gtids, InstanceId, Millis, Term};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that has not answered by then gave no answer.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// A question that is still open after this is given up with its connection.
const HANGS: Duration = Duration::from_secs(3600);

/// ER_SPECIFIC_ACCESS_DENIED_ERROR.
const ACCESS_DENIED: u16 = 1227;

/// The errors of a client that does not reach its server, such as CR_CONNECTION_ERROR.
const NETWORK: std::ops::Range<u64> = 2000..3000;

const VERB: &str = "read its status";

/// Asks servers, over one connection each, which is kept.
///
/// A server that hangs holds one question and one connection, however often it is asked.
#[derive(Debug, Default)]
pub struct Monitor {
    lines: Mutex<BTreeMap<InstanceId, Arc<tokio::sync::Mutex<Line>>>>,
}

/// The line to one server.
#[derive(Debug, Default)]
struct Line {
    idle: Option<Client>,
    /// A question that got no answer in time.
    open: Option<JoinHandle<()>>,
    lasting: Lasting,
}

/// What a server said, before it is judged.
struct Answer {
    sets: Vec<Vec<Row>>,
    client: Client,
}

impl Monitor {
    /// Asks the server, as the user that may do nothing else. A short sentence where it gives no answer.
    pub async fn status(&self, server: &Server<'_>) -> Result<DatabaseStatus, String> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.entry(server.instance).or_default().clone()
        };
        let asked = tokio::time::timeout(TIMEOUT, async { line.lock().await.ask(server).await });
        let status = match asked.await {
            Ok(status) => status,
            Err(_) => return Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        status.map_err(|error| match error {
            DatabaseError::Sql { why, .. } => why,
            other => other.to_string(),
        })
    }

    /// Forgets all but these.
    pub fn keep(&self, wanted: impl Fn(InstanceId) -> bool) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| wanted(*id));
    }
}

impl Line {
    /// Cancelled, it leaves the question open; nothing else is asked before that has come to its end.
    async fn ask(&mut self, server: &Server<'_>) -> Result<DatabaseStatus, DatabaseError> {
        if let Some(open) = &mut self.open {
            // Its answer is as old as its question, so it is not taken.
            let _ = open.await;
            self.open = None;
        }
        let door = Door::of(server, MONITOR, server.credentials.monitor())?;
        let (tell, told) = oneshot::channel();
        let idle = self.idle.take();
        self.open = Some(tokio::spawn(async move {
            let _ = tell.send(question(door, idle).await);
        }));
        let answer = told.await;
        self.open = None;
        let answer = answer.map_err(|_| DatabaseError::Sql {
            instance: server.instance,
            verb: VERB,
            why: "the question was lost".to_owned(),
            code: None,
        })??;
        let mut status = status(&answer, server.spec)?;
        self.lasting.complete(&mut status, answer.client.words(), &answer.sets);
        self.idle = Some(answer.client);
        Ok(status)
    }
}

/// All of it in one way there and back.
async fn question(door: Door, idle: Option<Client>) -> Result<Answer, DatabaseError> {
    if let Some(mut client) = idle {
        client.extend(HANGS);
        if let Ok(sets) = put(&mut client).await {
            return Ok(Answer { sets, client });
        }
        // It may be another process by now.
    }
    let mut client = door.open(HANGS).await?;
    let sets = put(&mut client).await?;
    Ok(Answer { sets, client })
}

async fn put(client: &mut Client) -> Result<Vec<Vec<Row>>, DatabaseError> {
    let words = client.words();
    let queries = format!(
        "SELECT @@global.read_only, (SELECT term FROM {own}.term), {facts}, @@version; \
         SHOW GLOBAL STATUS WHERE Variable_name IN ('{acknowledging}', '{waiting}', '{semi_sync_status}'); {replication}; \
         SHOW GLOBAL VARIABLES WHERE Variable_name IN ({drift}); ",
        own = identifier(OWN_SCHEMA),
        facts = facts(client.engine()),
        acknowledging = words.acknowledging,
        waiting = words.waiting,
        semi_sync_status = words.semi_sync_status,
        replication = words.full_status,
        drift = drift::names(client.engine()),
    );
    match client.sets(VERB, &(queries.clone() + words.replicas)).await {
        // An earlier data folder, whose monitor has no right to the list of replicas: it stays empty.
        Err(error) if error.server_code() == Some(ACCESS_DENIED) => {
            client.sets(VERB, &(queries + "SELECT 0 AS Server_id FROM DUAL WHERE FALSE")).await
        }
        answer => answer,
    }
}

/// What it has, in two parts, and what it puts into ids of its own. A commit that waits for a replica is in the
/// binlog; with MariaDB it is part of the first, MySQL counts it as executed only afterwards and as owned till then.
fn facts(engine: DatabaseEngine) -> String {
    match engine {
        DatabaseEngine::Mariadb => {
            "@@global.gtid_binlog_state, @@global.gtid_slave_pos, @@global.server_id".to_owned()
        }
        DatabaseEngine::Mysql => format!(
            "@@global.gtid_executed, @@global.gtid_owned, @@global.server_uuid, (SELECT COUNT_RECEIVED_HEARTBEATS FROM \
             performance_schema.replication_connection_status WHERE CHANNEL_NAME = '') AS {HEARTBEATS}"
        ),
    }
}

fn status(answer: &Answer, spec: &DatabaseSpec) -> Result<DatabaseStatus, DatabaseError> {
    let Answer { sets, client } = answer;
    let words = client.words();
    let [facts, counters, replicas, variables, followers] = sets.as_slice() else {
        return Err(client.error(VERB, format!("{} answers came to 5 questions", sets.len())));
    };
    let facts = facts.first().ok_or_else(|| client.error(VERB, "it says nothing"))?;
    let text = |at: usize| facts.get_opt::<Option<String>, _>(at).and_then(Result::ok).flatten();
    let whole = |at: usize| facts.get_opt::<Option<u64>, _>(at).and_then(Result::ok).flatten();
    let (Some(read_only), Some(term)) = (whole(0), whole(1)) else {
        return Err(client.error(VERB, "it remembers no term"));
    };
    let gtids = |text: Option<String>| {
        let text = text.unwrap_or_default();
        text.parse::<Gtids>().map_err(|error| client.error(VERB, error.to_string()))
    };
    let (more, origin) = match spec.engine {
        DatabaseEngine::Mariadb => {
            let id = whole(4).and_then(|id| u32::try_from(id).ok());
            (gtids(text(3))?, Origin::Server(id.unwrap_or(spec.server_id)))
        }
        DatabaseEngine::Mysql => {
            let origin = Origin::Uuid(text(4).unwrap_or_default().to_lowercase());
            let owned = gtids(text(3).map(|owned| ownerless(&owned)))?;
            // Those of others it is applying.
            (owned.subtract(&owned.not_of(&origin)), origin)
        }
    };
    let gtid = gtids(text(2))?.union(&more);
    let pairs = |rows: &[Row]| -> BTreeMap<String, String> {
        rows.iter().map(|row| (column(row, "Variable_name"), column(row, "Value"))).collect()
    };
    let counters = pairs(counters);
    let variables = pairs(variables);
    let count = |name: &str| counters.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let replica = replicas.first();
    let received = match replica {
        Some(row) => Some(gtid.union(&gtids(Some(column(row, words.received)))?)),
        None => None,
    };
    Ok(DatabaseStatus {
        writable: read_only == 0,
        term: Term(term),
        origin,
        received,
        gtid,
        semi_sync: SemiSync {
            enabled: variables.get(words.waits).is_some_and(|value| value == "ON"),
            acknowledging: count(words.acknowledging),
            waiting: count(words.waiting),
            unmoved: Millis(0),
        },
        followers: followers.iter().filter_map(|row| server_id(words, row)).collect::<BTreeSet<u32>>(),
        version: facts.get_opt::<String, _>("@@version").and_then(Result::ok).unwrap_or_default(),
        drift: drift::of(&variables, spec),
        replication: replica.map(|row| replication(client, row)).transpose()?,
    })
}

/// GTIDs without the sessions they belong to, which MySQL adds to those that are owned: `uuid:5#12:6#14`.
fn ownerless(owned: &str) -> String {
    let mut owner = false;
    let is_owner = |letter: char| {
        owner = letter == '#' || (owner && letter != ':' && letter != ',');
        owner
    };
    owned.replace(is_owner, "")
}

fn server_id(words: &Words, row: &Row) -> Option<u32> {
    u32::try_from(number(row, words.replica_id)?).ok()
}

fn replication(client: &Client, row: &Row) -> Result<Replication, DatabaseError> {
    let words = client.words();
    let (host, port) = (column(row, words.host), number(row, words.port));
    let address = host.parse::<IpAddr>().ok().zip(port.and_then(|port| u16::try_from(port).ok()));
    let Some((host, port)) = address else {
        return Err(client.error(VERB, format!("it replicates from {host:?}, which is no address")));
    };
    let receiving = match column(row, words.receiving).as_str() {
        "Yes" => Receiving::Connected,
        "No" => Receiving::Stopped,
        _ => Receiving::Connecting,
    };
    // A primary that is not there is tried again for ever: who has stopped at that was told to stop.
    let told = receiving == Receiving::Stopped
        && number(row, "Last_IO_Errno").is_some_and(|number| NETWORK.contains(&number));
    let received = if told { String::new() } else { column(row, "Last_IO_Error") };
    let errors = [received, column(row, "Last_SQL_Error")];
    Ok(Replication {
        primary: Endpoint::Tcp(SocketAddr::new(host, port)),
        tls: column(row, words.tls) == "Yes",
        receiving,
        applying: column(row, words.applying) == "Yes",
        lag_seconds: number(row, words.lag),
        heard: None,
        stalled: Millis(0),
        mute: Millis(0),
        error: errors.into_iter().find(|error| !error.is_empty()).map(|error| crate::tool::printable(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::ownerless;

    #[test]
    fn owned_gtids_are_told_without_their_owners() {
        let table = [
            ("", ""),
            ("3e11fa47:23#5", "3e11fa47:23"),
            ("3e11fa47:23#5#17:24#6,\n4e11fa47:1#9", "3e11fa47:23:24,\n4e11fa47:1"),
            ("3e11fa47:tag:7#8", "3e11fa47:tag:7"),
        ];
        for (told, meant) in table {
            assert_eq!(ownerless(told), meant);
        }
    }
}
