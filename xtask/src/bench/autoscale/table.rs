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
    for score in scores {
        print!("{:<16}", score.name);
        for (_, value) in COLUMNS {
            print!("  {:>16}", value(score));
        }
        println!();
    }
}

/// On how many traces ours is better than both others, and where it is not.
pub(crate) fn summary(rows: &[(String, Vec<Score>)], ours: &str) {
    let find = |scores: &[Score], name: &str| scores.iter().find(|score| score.name == name).cloned();
    let mut both = 0;
    println!("\n{ours} beside HPA and KPA: late requests and instance-hours as parts of theirs");
    println!("{:<40}  {:>18}  {:>18}  fewer of both than both", "", "late HPA / KPA", "hours HPA / KPA");
    for (title, scores) in rows {
        let (Some(mine), Some(hpa), Some(kpa)) =
            (find(scores, ours), find(scores, "HPA"), find(scores, "KPA"))
        else {
            continue;
        };
        let fewer = |of: fn(&Score) -> f64| of(&mine) <= of(&hpa) && of(&mine) <= of(&kpa);
        let (late, hours) = (fewer(Score::late_share), fewer(Score::hours));
        both += usize::from(late && hours);
        let part = |of: fn(&Score) -> f64| {
            let of = |other: &Score| if of(other) > 0.0 { of(&mine) / of(other) } else { f64::NAN };
            format!("{:.2} / {:.2}", of(&hpa), of(&kpa))
        };
        let verdict = match (late, hours) {
            (true, true) => "yes",
            (true, false) => "no: more instance-hours than one",
            (false, true) => "no: more late requests than one",
            (false, false) => "no: more of each than one",
        };
        println!("{title:<40}  {:>18}  {:>18}  {verdict}", part(Score::late_share), part(Score::hours));
    }
    println!("{both} of {} traces", rows.len());
}
