//! What the judge is worth, measured: how often it takes back a release that is no worse, how often it
//! misses one that is, and after how long. The table in the judge's head is what these print for more seeds.

use super::world::{CANARY, Phase, Release, SAME, SITE, Site, play};

/// A line of the table: of how many deployments how many were taken back.
struct Row {
    name: String,
    runs: u64,
    found: u64,
    /// The median of those found: seconds, and failed answers of the new release.
    after: f64,
    failed: u64,
}

fn measure(name: impl Into<String>, seeds: u64, site: Site, release: Release, phases: &[Phase]) -> Row {
    let mut found: Vec<(f64, u64)> = Vec::new();
    for seed in 0..seeds {
        let ended = play(seed, &site, &release, phases);
        if let Some((after, _)) = ended.worse {
            found.push((after, ended.failed));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (after, failed) = found.get(found.len() / 2).copied().unwrap_or_default();
    let row = Row { name: name.into(), runs: seeds, found: found.len() as u64, after, failed };
    println!("{:44} {:4} of {:4}  {:6.1} s  {:5}", row.name, row.found, row.runs, row.after, row.failed);
    row
}

/// Deployments of releases that are no worse than the old one, and what is to be told from them.
fn harmless() -> Vec<(&'static str, Site, Release)> {
    let narrow = Site { median_ms: 99.0, sigma: 0.005, ..SITE };
    vec![
        ("no errors", Site { errors: 0.0, ..SITE }, SAME),
        ("0.1 % errors", SITE, SAME),
        ("1 % errors", Site { errors: 0.01, ..SITE }, SAME),
        ("5 % errors", Site { errors: 0.05, ..SITE }, SAME),
        ("0.1 % errors, 5 req/s", Site { rate: 5.0, ..SITE }, SAME),
        ("5 % errors, 5 req/s", Site { rate: 5.0, errors: 0.05, ..SITE }, SAME),
        ("half of all fail for 10 s at 5 %", Site { burst: Some((40.0, 50.0)), ..SITE }, SAME),
        ("half of all fail for 10 s at 50 %", Site { burst: Some((160.0, 170.0)), ..SITE }, SAME),
        ("half of all fail for 1 s in the watch", Site { burst: Some((240.0, 241.0)), ..SITE }, SAME),
        ("half of all fail for 10 s in the watch", Site { burst: Some((240.0, 250.0)), ..SITE }, SAME),
        ("half of all fail before it begins", Site { burst: Some((0.0, 20.0)), ..SITE }, SAME),
        ("everything 50 % slower by and by", Site { drift: 0.5, ..SITE }, SAME),
        ("heavy tail", Site { sigma: 2.0, ..SITE }, SAME),
        ("heavy tail, 5 req/s", Site { sigma: 2.0, rate: 5.0, ..SITE }, SAME),
        ("5 % of requests 50 times heavier", Site { heavy: 0.05, ..SITE }, SAME),
        ("each instance stalls now and then", Site { stalls: true, ..SITE }, SAME),
        ("all take 99 ms", narrow, SAME),
        ("all take 99 ms, the new one 101 ms", narrow, Release { slower: 1.02, ..SAME }),
        ("20 % slower", SITE, Release { slower: 1.2, ..SAME }),
        ("20 % slower, 5 req/s", Site { rate: 5.0, ..SITE }, Release { slower: 1.2, ..SAME }),
        ("errs less, and is faster", SITE, Release { slower: 0.7, errors: -0.001 }),
    ]
}

fn worse() -> [(&'static str, Release); 5] {
    [
        ("all fail", Release { errors: 1.0, ..SAME }),
        ("5 % fail", Release { errors: 0.05, ..SAME }),
        ("1 % fail", Release { errors: 0.01, ..SAME }),
        ("3 times slower", Release { slower: 3.0, ..SAME }),
        ("1.5 times slower", Release { slower: 1.5, ..SAME }),
    ]
}

fn shares() -> [(&'static str, Vec<Phase>); 5] {
    let steady = |share: f64| vec![(30.0, 0.0), (180.0, share)];
    [
        ("a whole canary", CANARY.to_vec()),
        ("180 s at 5 %", steady(0.05)),
        ("180 s at 25 %", steady(0.25)),
        ("180 s at 50 %", steady(0.5)),
        ("60 s after a switch", vec![(30.0, 0.0), (60.0, 1.0)]),
    ]
}

#[test]
fn a_release_that_is_no_worse_is_not_taken_back() {
    for (name, site, release, most) in harmless() {
        let row = measure(name, SEEDS, site, release, &CANARY);
        assert!(row.found * 1000 <= most * row.runs, "{}: {} of {}", row.name, row.found, row.runs);
    }
}

#[test]
fn a_release_that_is_worse_is_found() {
    for (share, phases) in shares() {
        for (name, release, limits) in worse(share) {
            for (rate, limit) in [100.0, 20.0, 5.0].into_iter().zip(limits) {
                let site = Site { rate, ..SITE };
                let row = measure(format!("{name}, {share}, {rate} req/s"), SEEDS, site, release, &phases);
                let Some(limit) = limit else { continue };
                assert!(
                    row.found == row.runs && row.after <= limit,
                    "{}: {} after {} s",
                    row.name,
                    row.found,
                    row.after
                );
            }
        }
    }
}
