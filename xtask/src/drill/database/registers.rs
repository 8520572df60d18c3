//! The drill of the registers: clients read, write and compare-and-set single rows through faults, and what
//! they were told is judged for linearizability, register by register.

use super::connect::{self, PATIENCE, within};
use super::fault::Fault;
use super::history::{Act, Operation};
use super::linearizable::{Verdict, judge, shortest};
use super::progress::Progress;
use super::rounds::{Cost, Drill};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const CLIENTS: u16 = 12;
const REGISTERS: u32 = 8;
/// Between two operations of a client.
const PAUSE: Duration = Duration::from_millis(5);
/// After an operation whose end nobody knows.
const AGAIN: Duration = Duration::from_millis(100);
/// No load is forgotten for longer.
const AT_MOST: Duration = Duration::from_secs(600);

/// What all clients did, with the register of each operation.
type History = Arc<Mutex<Vec<(u32, Operation)>>>;

/// Every fault, so many rounds each. True: every history was linearizable.
pub(crate) fn run(drill: &Drill, faults: &[Fault], rounds: u32) -> Result<bool, String> {
    println!(
        "{:<15} {:>6} {:>10} {:>7} {:>6} {:>7} {:>10} {:>8} {}",
        "fault",
        "rounds",
        "operations",
        "unknown",
        "broken",
        "unclear",
        "writable",
        "failed",
        Cost::HEADS
    );
    let mut kept = true;
    for fault in faults {
        kept &= one(drill, *fault, rounds)?;
    }
    Ok(kept)
}

/// What the histories of a fault came to.
#[derive(Default)]
struct Judged {
    operations: usize,
    unknown: usize,
    broken: usize,
    unclear: usize,
    /// The shortest that is broken, with its register and round.
    worst: Option<(u32, u32, Vec<Operation>)>,
}

fn one(drill: &Drill, fault: Fault, rounds: u32) -> Result<bool, String> {
    drill.settles()?;
    let from = drill.origin.elapsed();
    let table = format!("drill_registers_{}", from.as_millis());
    connect::runtime()?.block_on(create(&drill.options, &table))?;
    let (mut cost, mut judged, mut failed) = (Cost::default(), Judged::default(), 0);
    for round in 1..=rounds {
        let progress = Arc::new(Progress::since(drill.origin));
        let done = one_round(drill, fault, round, &table, &progress, &mut cost);
        failed += progress.failures().0;
        for (kind, count) in progress.kinds() {
            cost.notes.push(format!("round {round}: {count} failed: {kind}"));
        }
        match done {
            Ok(history) => judged.take(&history, round),
            Err(why) => {
                cost.broken.push(format!("round {round}: {why}"));
                break;
            }
        }
    }
    for both in drill.watch.both(from) {
        cost.broken.push(format!("two took writes at once: {both:?}"));
    }
    println!(
        "{:<15} {:>6} {:>10} {:>7} {:>6} {:>7} {:>10} {failed:>8} {}",
        fault.name(),
        cost.rounds,
        judged.operations,
        judged.unknown,
        judged.broken,
        judged.unclear,
        drill.watch.both(from).len(),
        cost.columns()
    );
    for line in cost.notes.iter().chain(&cost.broken) {
        println!("    {line}");
    }
    if let Some((round, register, history)) = &judged.worst {
        println!("    round {round}, register {register}: no order of these is possible");
        for operation in history {
            println!("      {operation}");
        }
    }
    if judged.broken == 0 && cost.broken.is_empty() {
        let drop = format!("DROP TABLE {table}");
        connect::runtime()?.block_on(run_statement(&drill.options, &drop))?;
    }
    Ok(judged.broken == 0 && judged.unclear == 0 && cost.broken.is_empty())
}

impl Judged {
    fn take(&mut self, history: &[(u32, Operation)], round: u32) {
        let mut ids: Vec<u32> = history.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let mut operations: Vec<Operation> =
                history.iter().filter(|(other, _)| *other == id).map(|(_, operation)| *operation).collect();
            operations.sort_by_key(|operation| operation.asked);
            self.operations += operations.len();
            self.unknown += operations.iter().filter(|operation| operation.answered.is_none()).count();
            match judge(&operations, 0) {
                Verdict::Linearizable => {}
                Verdict::Unknown => self.unclear += 1,
                Verdict::Broken => {
                    self.broken += 1;
                    let short = shortest(&operations, 0);
                    if self.worst.as_ref().is_none_or(|(_, _, worst)| short.len() < worst.len()) {
                        self.worst = Some((round, id, short));
                    }
                }
            }
        }
    }
}

fn one_round(
    drill: &Drill,
    fault: Fault,
    round: u32,
    table: &str,
    progress: &Arc<Progress>,
    cost: &mut Cost,
) -> Result<Vec<(u32, Operation)>, String> {
    let runtime = connect::runtime()?;
    let first = round * REGISTERS;
    let rows: Vec<String> = (first..first + REGISTERS).map(|id| format!("({id}, 0)")).collect();
    let insert = format!("INSERT INTO {table} (id, v) VALUES {}", rows.join(", "));
    runtime.block_on(run_statement(&drill.options, &insert))?;
    let history = History::default();
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client {
            number,
            first,
            table: table.to_owned(),
            options: drill.options.clone(),
            progress: progress.clone(),
            history: history.clone(),
            seed: u64::from(round) << 32 | u64::from(number) << 8 | 0x9e37,
        })
        .collect();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            let all: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.work())).collect();
            for one in all {
                // One that panicked has told so itself.
                let _ = one.await;
            }
        });
    });
    let done = drill.round(fault, round, progress, None, cost);
    progress.end();
    thread.join().map_err(|_| "the clients died".to_owned())?;
    done?;
    let mut history = std::mem::take(&mut *history.lock().unwrap_or_else(PoisonError::into_inner));
    history.extend(last_reads(drill, table, first, progress)?);
    Ok(history)
}

/// What the primary itself holds in the end.
fn last_reads(
    drill: &Drill,
    table: &str,
    first: u32,
    progress: &Progress,
) -> Result<Vec<(u32, Operation)>, String> {
    let primary = super::cluster::Cluster::of(&drill.site)?.primary()?.id.clone();
    let asked = progress.now();
    let all = connect::runtime()?.block_on(drill.servers.registers(&primary, table))?;
    let answered = Some(progress.now());
    let of_this_round = all.into_iter().filter(|(id, _)| (first..first + REGISTERS).contains(id));
    let read = |(id, value)| (id, Operation { client: CLIENTS, act: Act::Read(value), asked, answered });
    Ok(of_this_round.map(read).collect())
}

struct Client {
    number: u16,
    first: u32,
    table: String,
    options: Opts,
    progress: Arc<Progress>,
    history: History,
    seed: u64,
}

impl Client {
    async fn work(mut self) {
        let deadline = Instant::now() + AT_MOST;
        let mut connection = None;
        let mut seen = [0_u64; REGISTERS as usize];
        let mut value = u64::from(self.number + 1) << 32;
        while !self.progress.over() && Instant::now() < deadline {
            let mut conn = match connection.take() {
                Some(conn) => conn,
                None => match connect::connect(&self.options).await {
                    Ok(conn) => conn,
                    Err(why) => {
                        self.progress.refused(&why);
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                },
            };
            let register = self.random(REGISTERS);
            let Some(known) = seen.get_mut(register as usize) else { continue };
            value += 1;
            let act = match self.random(8) {
                0..4 => Act::Read(0),
                4 | 5 => Act::Write(value),
                _ => Act::Swap(*known, value),
            };
            let fresh = self.random(2) == 0;
            match self.operate(&mut conn, self.first + register, act, fresh).await {
                Ok(found) => {
                    *known = found.unwrap_or(*known);
                    connection = Some(conn);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(why) => {
                    self.progress.failed(if act.written().is_some() { "UPDATE" } else { "SELECT" }, &why);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Does it and writes down what came of it; what the register is known to hold then.
    async fn operate(&self, conn: &mut Conn, id: u32, act: Act, fresh: bool) -> Result<Option<u64>, String> {
        let table = &self.table;
        let asked = self.progress.now();
        let note = |act, answered| {
            let operation = Operation { client: self.number, act, asked, answered };
            self.history.lock().unwrap_or_else(PoisonError::into_inner).push((id, operation));
        };
        if act.written().is_none() {
            // Both are promised to see every write that was acknowledged before.
            let hint = if fresh { "consistency=global" } else { "primary" };
            let select = format!("SELECT /* stoa: {hint} */ v FROM {table} WHERE id = {id}");
            let found: Option<u64> = within(PATIENCE, conn.query_first(select)).await?;
            let value = found.ok_or_else(|| format!("register {id} is not there ({hint})"))?;
            note(Act::Read(value), Some(self.progress.now()));
            return Ok(Some(value));
        }
        let done = match act {
            Act::Swap(from, to) => {
                let update = format!("UPDATE {table} SET v = ? WHERE id = ? AND v = ?");
                within(PATIENCE, conn.exec_drop(update, (to, id, from))).await
            }
            _ => {
                let update =
                    format!("UPDATE {table} SET v = {} WHERE id = {id}", act.written().unwrap_or_default());
                within(PATIENCE, conn.query_drop(update)).await
            }
        };
        if let Err(why) = done {
            note(act, None);
            return Err(why);
        }
        let answered = Some(self.progress.acknowledged());
        match (act, conn.affected_rows()) {
            (_, 1) => {
                note(act, answered);
                Ok(act.written())
            }
            (Act::Swap(from, _), 0) => {
                note(Act::Refused(from), answered);
                Ok(None)
            }
            (_, rows) => {
                note(act, None);
                Err(format!("{rows} rows were changed by {act:?}"))
            }
        }
    }

    /// Below `bound`, other ones each round (xorshift64*).
    fn random(&mut self, bound: u32) -> u32 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        let high = u32::try_from(self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or_default();
        high % bound.max(1)
    }
}

async fn create(options: &Opts, table: &str) -> Result<(), String> {
    let create = format!(
        "CREATE TABLE {table} (id INT UNSIGNED NOT NULL PRIMARY KEY, v BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB"
    );
    run_statement(options, &create).await
}

async fn run_statement(options: &Opts, statement: &str) -> Result<(), String> {
    let mut connection = connect::connect(options).await?;
    within(PATIENCE, connection.query_drop(statement)).await
}
