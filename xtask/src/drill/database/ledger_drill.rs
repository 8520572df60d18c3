//! The drill of the ledger: entries are written through faults, and compared with the database afterwards.

use super::connect;
use super::fault::Fault;
use super::ledger::{Account, Attempt, Key, account};
use super::progress::Progress;
use super::rounds::{Cost, Drill};
use super::writers::Writers;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::time::Duration;

/// Every fault, so many rounds each. True: every promise was kept.
pub(crate) fn run(drill: &Drill, faults: &[Fault], rounds: u32) -> Result<bool, String> {
    println!(
        "{:<15} {:>6} {:>8} {:>5} {:>7} {:>5} {:>8} {:>9} {:>5} {:>8} {:>6} {:>7} {}",
        "fault",
        "rounds",
        "acked",
        "lost",
        "doubled",
        "torn",
        "unacked",
        "own reads",
        "stale",
        "writable",
        "failed",
        "refused",
        Cost::HEADS
    );
    let mut kept = true;
    for fault in faults {
        kept &= one(drill, *fault, rounds)?;
    }
    Ok(kept)
}

fn one(drill: &Drill, fault: Fault, rounds: u32) -> Result<bool, String> {
    drill.settles()?;
    let table = format!("drill_ledger_{}", drill.origin.elapsed().as_millis());
    connect::runtime()?.block_on(create(drill, &table))?;
    let progress = Arc::new(Progress::since(drill.origin));
    let from = progress.now();
    let writers = Writers::begin(&drill.options, &table, progress.clone())?;
    let mut cost = Cost::default();
    for round in 1..=rounds {
        if let Err(why) = drill.round(fault, round, &progress, Some(&table), &mut cost) {
            cost.broken.push(format!("round {round}: {why}"));
            break;
        }
    }
    let mut attempts = writers.end();
    attempts.extend(cost.canaries.iter().map(|number| Attempt {
        key: Key { session: u16::MAX, number: *number },
        pair: false,
        acknowledged: Some(Duration::ZERO),
    }));
    let told = connect::runtime()?.block_on(compare(drill, &table, &attempts));
    let account = match told {
        Ok((account, differ)) => {
            cost.broken.extend(
                differ
                    .iter()
                    .map(|which| format!("other rows, or still behind after two minutes, on {which}")),
            );
            account
        }
        Err(why) => {
            cost.broken.push(format!("the database could not be read in the end: {why}"));
            Account::default()
        }
    };
    for both in drill.watch.both(from) {
        let [one, other] = &both.servers;
        let (at, time) = (both.from.as_secs_f64(), (both.to - both.from).as_millis());
        cost.broken.push(format!("two took writes at once: {one} and {other}, at {at:.3} s for {time} ms"));
    }
    Ok(tell(drill, fault, &account, &progress, &cost, from))
}

fn tell(
    drill: &Drill,
    fault: Fault,
    account: &Account,
    progress: &Progress,
    cost: &Cost,
    from: Duration,
) -> bool {
    let (reads, stale) = progress.own_reads();
    let (failed, refused) = progress.failures();
    println!(
        "{:<15} {:>6} {:>8} {:>5} {:>7} {:>5} {:>8} {:>9} {:>5} {:>8} {failed:>6} {refused:>7} {}",
        fault.name(),
        cost.rounds,
        account.acknowledged,
        account.lost.len(),
        account.doubled.len(),
        account.torn.len(),
        account.unacknowledged,
        reads,
        stale.len(),
        drill.watch.both(from).len(),
        cost.columns()
    );
    for (what, keys) in [
        ("lost", &account.lost),
        ("doubled", &account.doubled),
        ("torn", &account.torn),
        ("never written", &account.strange),
    ] {
        for key in keys.iter().take(10) {
            println!("    {what}: entry {} of session {}", key.number, key.session);
        }
    }
    for line in stale.iter().take(10) {
        println!("    stale: {line}");
    }
    for (kind, count) in progress.kinds() {
        println!("    {count:>6} failed: {kind}");
    }
    for line in &cost.notes {
        println!("    {line}");
    }
    for line in &cost.broken {
        println!("    BROKEN {line}");
    }
    let none = |keys: &[Key]| keys.is_empty();
    let whole = [&account.lost, &account.doubled, &account.torn, &account.strange].map(|keys| none(keys));
    whole == [true; 4] && stale.is_empty() && cost.broken.is_empty()
}

async fn create(drill: &Drill, table: &str) -> Result<(), String> {
    let mut connection = connect::connect(&drill.options).await?;
    let create = format!(
        "CREATE TABLE {table} (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, \
         session SMALLINT UNSIGNED NOT NULL, number INT UNSIGNED NOT NULL, part TINYINT UNSIGNED NOT NULL, \
         KEY (session, number)) ENGINE=InnoDB"
    );
    connect::within(connect::PATIENCE, connection.query_drop(create)).await
}

/// Compares what clients were told with what the primary holds, and that with all others.
async fn compare(drill: &Drill, table: &str, attempts: &[Attempt]) -> Result<(Account, Vec<String>), String> {
    let cluster = super::cluster::Cluster::of(&drill.site)?;
    let primary = cluster.primary()?.id.clone();
    let found = drill.servers.ledger(&primary, table).await?;
    let mut account = account(attempts, &found);
    // What a canary was refused may still be there: it wrote past Stoa, and was not told that it is.
    account.strange.retain(|key| key.session != u16::MAX);
    let differ = drill.servers.agree(&primary, &cluster.names(), table).await?;
    if account.lost.is_empty() && differ.is_empty() {
        drill.servers.run(&primary, &format!("DROP TABLE {table}")).await?;
    }
    Ok((account, differ))
}
