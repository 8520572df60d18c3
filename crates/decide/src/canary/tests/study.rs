//! What the judge is worth, measured: how often it takes back a release that is no worse, how often it
//! misses one that is, and after how long. The tables in the judge's head are what these print with
//! `SEEDS` at 1000 and 200. The judge's constants were chosen by looking at the seeds below 1000, so these
//! begin where nobody had looked; whoever changes a constant by these begins elsewhere again.

use super::world::{CANARY, Phase, Release, SAME, SITE, Site, play};

const FIRST: u64 = 5_000_000;
const SEEDS: u64 = 8;

/// A line of the table: of how many deployments how many were taken back.
struct Row {
    name: String,
    runs: u64,
    found: u64,
    /// The median of those found, in seconds.
    after: f64,
}

fn measure(name: String, site: Site, release: Release, phases: &[Phase]) -> Row {
    let mut found: Vec<(f64, u64)> = Vec::new();
    for seed in FIRST..FIRST + SEEDS {
        let ended = play(seed, &site, &release, phases);
        found.extend(ended.worse_after.map(|after| (after, ended.failed)));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (after, failed) = found.get(found.len() / 2).copied().unwrap_or_default();
    println!("{name:48} {:4} of {SEEDS:4} after {after:6.1} s, {failed:4} failed", found.len());
    Row { name, runs: SEEDS, found: found.len() as u64, after }
}

/// Deployments of releases that are no worse than the old one, and the most of a thousand of them that may
/// be taken back.
fn harmless() -> Vec<(&'static str, Site, Release, u64)> {
    let narrow = Site { median_ms: 99.0, sigma: 0.005, ..SITE };
    let slow_site = Site { rate: 5.0, ..SITE };
    vec![
        ("no errors", Site { errors: 0.0, ..SITE }, SAME, 1),
        ("0.1 % errors", SITE, SAME, 1),
        ("1 % errors", Site { errors: 0.01, ..SITE }, SAME, 1),
        ("5 % errors", Site { errors: 0.05, ..SITE }, SAME, 1),
        ("0.1 % errors, 5 req/s", slow_site, SAME, 1),
        ("5 % errors, 5 req/s", Site { errors: 0.05, ..slow_site }, SAME, 1),
        ("half of all fail for 10 s before it", Site { burst: Some((0.0, 10.0)), ..SITE }, SAME, 1),
        ("half of all fail for 10 s at 5 %", Site { burst: Some((40.0, 50.0)), ..SITE }, SAME, 1),
        ("half of all fail for 10 s at 50 %", Site { burst: Some((160.0, 170.0)), ..SITE }, SAME, 1),
        ("everything 50 % slower by and by", Site { drift: 0.5, ..SITE }, SAME, 1),
        ("heavy tail", Site { sigma: 2.0, ..SITE }, SAME, 1),
        ("heavy tail, 5 req/s", Site { sigma: 2.0, ..slow_site }, SAME, 1),
        ("5 % of requests 50 times heavier", Site { heavy: 0.05, ..SITE }, SAME, 1),
        ("all take 99 ms", narrow, SAME, 1),
        ("all take 99 ms, the new one 101 ms", narrow, Release { slower: 1.02, ..SAME }, 1),
        ("errs less, and is faster", SITE, Release { slower: 0.7, errors: -0.001 }, 1),
        ("each instance stalls now and then", Site { stalls: true, ..SITE }, SAME, 10),
        ("half of all fail for 1 s in the watch", Site { burst: Some((240.0, 241.0)), ..SITE }, SAME, 10),
        ("20 % slower", SITE, Release { slower: 1.2, ..SAME }, 20),
        ("20 % slower, 5 req/s", slow_site, Release { slower: 1.2, ..SAME }, 30),
        // Nothing else answers then: it is the new one's doing as far as anybody can see.
        ("half of all fail for 10 s in the watch", Site { burst: Some((240.0, 250.0)), ..SITE }, SAME, 1000),
    ]
}

const ALL_FAIL: Release = Release { errors: 1.0, ..SAME };
const SOME_FAIL: Release = Release { errors: 0.05, ..SAME };
const FEW_FAIL: Release = Release { errors: 0.01, ..SAME };
const THRICE: Release = Release { slower: 3.0, ..SAME };
const HALF_AS_MUCH: Release = Release { slower: 1.5, ..SAME };

/// Seconds by which the median deployment is found at 100, 20 and 5 requests a second; none where not every
/// one of them is.
type Limits = [Option<f64>; 3];

/// Releases that are worse.
type Releases = [(&'static str, Release, Limits); 5];

fn worse() -> Vec<(&'static str, Vec<Phase>, Releases)> {
    let steady = |share: f64| vec![(30.0, 0.0), (180.0, share)];
    let table = |limits: [Limits; 5]| {
        let [a, b, c, d, e] = limits;
        [
            ("all fail", ALL_FAIL, a),
            ("5 % fail", SOME_FAIL, b),
            ("1 % fail", FEW_FAIL, c),
            ("3 times slower", THRICE, d),
            ("1.5 times slower", HALF_AS_MUCH, e),
        ]
    };
    let by = |a: f64, b: f64, c: f64| [a, b, c].map(|limit| (limit > 0.0).then_some(limit));
    let canary =
        [by(20., 90., 120.), by(40., 110., 0.), by(130., 0., 0.), by(20., 90., 120.), by(70., 130., 0.)];
    let few = [by(20., 90., 0.), by(40., 0., 0.), by(0., 0., 0.), by(20., 90., 0.), by(0., 0., 0.)];
    let more = [by(5., 20., 60.), by(15., 60., 0.), by(80., 0., 0.), by(15., 25., 60.), by(30., 90., 0.)];
    let half = [by(5., 10., 30.), by(15., 60., 0.), by(70., 0., 0.), by(12., 20., 50.), by(25., 80., 0.)];
    let switch = [by(4., 6., 16.), by(8., 0., 0.), by(0., 0., 0.), by(12., 16., 40.), by(20., 0., 0.)];
    vec![
        ("a whole canary", CANARY.to_vec(), table(canary)),
        ("180 s at 5 %", steady(0.05), table(few)),
        ("180 s at 25 %", steady(0.25), table(more)),
        ("180 s at 50 %", steady(0.5), table(half)),
        ("60 s after a switch", vec![(30.0, 0.0), (60.0, 1.0)], table(switch)),
    ]
}

#[test]
fn a_release_that_is_no_worse_is_not_taken_back() {
    for (name, site, release, most) in harmless() {
        let row = measure(name.to_owned(), site, release, &CANARY);
        // Of a few runs at a rate of a percent one is no surprise; at a rate of one in a thousand it is.
        let chance = u64::from(most > 1);
        assert!(row.found <= most * row.runs / 1000 + chance, "{}: {} of {}", row.name, row.found, row.runs);
    }
}

#[test]
fn a_release_that_is_worse_is_found() {
    for (share, phases, releases) in worse() {
        for (name, release, limits) in releases {
            for (rate, limit) in [100.0, 20.0, 5.0].into_iter().zip(limits) {
                let name = format!("{name}, {share}, {rate} req/s");
                let row = measure(name, Site { rate, ..SITE }, release, &phases);
                let Some(limit) = limit else { continue };
                let seen = format!("{}: {} of {} after {} s", row.name, row.found, row.runs, row.after);
                assert!(row.found == row.runs && row.after <= limit, "{seen}, {limit} s at most");
            }
        }
    }
}
