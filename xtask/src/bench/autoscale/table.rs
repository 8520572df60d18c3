//! The tables: every controller on one trace, and how often ours is better than both of the others.

use super::score::Score;

type Column = (&'static str, fn(&Score) -> String);

const COLUMNS: [Column; 8] = [
    ("late requests", |s| percent(s.late_share())),
    ("of them refused", |s| percent(s.shed as f64 / s.requests.max(1) as f64)),
    ("time over target", |s| percent(s.of_time(s.over))),
    ("instance-hours", |s| format!("{:.2}", s.hours())),
    ("changes/h", |s| format!("{:.1}", s.changes_an_hour())),
    ("time above need", |s| percent(s.of_time(s.above))),
    ("below need", |s| percent(s.of_time(s.below))),
    ("requests", |s| s.requests.to_string()),
];

fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

/// Prints one trace.
pub(crate) fn print(title: &str, scores: &[Score]) {
    println!("\n{title}");
    print!("{:<16}", "");
    for (title, _) in COLUMNS {
        print!("  {title:>16}");
    }
    println!();
    for score in scores.iter().filter(|score| score.name != CAREFUL) {
        print!("{:<16}", score.name);
        for (_, value) in COLUMNS {
            print!("  {:>16}", value(score));
        }
        println!();
    }
}

/// What the oracles are called that tell what few late requests cost at least.
const CAREFUL: &str = "careful oracle";

/// One trace of one seed: ours, HPA and KPA, and the fewest instance-hours of an oracle that is as seldom late as
/// both of them.
struct Beside<'a> {
    ours: &'a Score,
    hpa: &'a Score,
    kpa: &'a Score,
    least: Option<f64>,
}

impl<'a> Beside<'a> {
    fn new(scores: &'a [Score], ours: &str, hpa: &str) -> Option<Self> {
        let find = |name: &str| scores.iter().find(|score| score.name == name);
        let (ours, hpa, kpa) = (find(ours)?, find(hpa)?, find("KPA")?);
        let late = hpa.late_share().min(kpa.late_share());
        let oracles = scores.iter().filter(|score| [CAREFUL, "oracle"].contains(&score.name.as_str()));
        let least = oracles.filter(|score| score.late_share() <= late).map(Score::hours).reduce(f64::min);
        Some(Beside { ours, hpa, kpa, least })
    }

    fn fewer(&self, of: fn(&Score) -> f64) -> bool {
        of(self.ours) <= of(self.hpa) && of(self.ours) <= of(self.kpa)
    }

    fn parts(&self, of: fn(&Score) -> f64) -> (f64, f64) {
        let part = |other: &Score| if of(other) > 0.0 { of(self.ours) / of(other) } else { f64::NAN };
        (part(self.hpa), part(self.kpa))
    }

    fn least_part(&self) -> f64 {
        self.least.map_or(f64::INFINITY, |least| least / self.hpa.hours().min(self.kpa.hours()))
    }
}

/// On how many traces ours is better than both others, on most seeds, and where it is not; medians over the
/// seeds. The last column is what those hours would have to be at least: above 1 not even an oracle does it.
pub(crate) fn summary(rows: &[(String, Vec<Vec<Score>>)], ours: &str, hpa: &str) {
    println!("\n{ours} beside {hpa} and KPA: late requests and instance-hours as parts of theirs");
    println!(
        "{:<34}  {:>14}  {:>14}  {:>20}  {:>14}  fewer of both than both",
        "", "late HPA / KPA", "hours HPA / KPA", "seeds: late hrs both", "oracle's hours"
    );
    let mut both = 0;
    for (title, seeds) in rows {
        let beside: Vec<_> = seeds.iter().filter_map(|scores| Beside::new(scores, ours, hpa)).collect();
        let count = |of: &dyn Fn(&Beside<'_>) -> bool| beside.iter().filter(|beside| of(beside)).count();
        let late = count(&|beside| beside.fewer(Score::late_share));
        let hours = count(&|beside| beside.fewer(Score::hours));
        let won = count(&|beside| beside.fewer(Score::late_share) && beside.fewer(Score::hours));
        let most = |count: usize| 2 * count > beside.len();
        both += usize::from(most(won));
        let verdict = match (most(won), most(late), most(hours)) {
            (true, ..) => "yes",
            (_, true, false) => "no: more instance-hours than one",
            (_, false, true) => "no: more late requests than one",
            _ => "no: more of each than one",
        };
        let parts = |of: fn(&Score) -> f64| {
            let parts: Vec<_> = beside.iter().map(|beside| beside.parts(of)).collect();
            let median_of = |part: fn(&(f64, f64)) -> f64| median(parts.iter().map(part));
            format!("{:.2} / {:.2}", median_of(|part| part.0), median_of(|part| part.1))
        };
        let least = median(beside.iter().map(Beside::least_part));
        let least = if least.is_finite() { format!("{least:.2}") } else { "none".to_owned() };
        let (late_parts, hours_parts) = (parts(Score::late_share), parts(Score::hours));
        let counts = format!("{late} {hours} {won} of {}", beside.len());
        println!("{title:<34}  {late_parts:>14}  {hours_parts:>14}  {counts:>20}  {least:>14}  {verdict}");
    }
    println!("{both} of {} traces", rows.len());
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
