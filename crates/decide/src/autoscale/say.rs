//! The reasons as sentences, with the figures they were decided by.

use super::learn::Instance;
use super::queueing::waits;
use super::{Asked, ScaleRules, Target};

/// Why so many are wanted.
pub(super) fn because(rules: &ScaleRules, asked: &Asked, instance: &Instance, count: u16) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let forecast = match asked.forecast {
        Some((load, ahead)) if load > asked.load => {
            format!(", forecast {} in {ahead:.0} s", figure(load))
        }
        _ => String::new(),
    };
    match rules.target {
        Target::Utilisation(most) => {
            let busy = asked.sized / f64::from(count.max(1));
            format!(
                "{} processors kept busy{}; {count} instance{plural} are {:.0} % busy each, {} {:.0} %",
                figure(asked.load),
                in_brackets(forecast.trim_start_matches(", ")),
                busy * 100.0,
                if busy <= most { "within" } else { "above" },
                most * 100.0
            )
        }
        Target::Wait(target) => {
            let server = &instance.server;
            let wait = waits(asked.sized, server, count).mean;
            let kept = if wait.is_finite() {
                let side = if wait <= target.0 as f64 / 1000.0 { "below" } else { "above" };
                format!("keep the wait at {}, {side} {target}", time(wait))
            } else {
                format!("cannot keep the wait below {target}")
            };
            let backlog = match asked.backlog {
                backlog if backlog >= 1.0 => format!(", {} wait", figure(backlog)),
                _ => String::new(),
            };
            let at_least = if instance.known { "" } else { "at least " };
            format!(
                "{} requests at once offered ({}/s x {}{backlog}{forecast}); {count} instance{plural} of {at_least}{} {kept}",
                figure(asked.load),
                figure(asked.load / server.service),
                time(server.service),
                figure(server.concurrency),
            )
        }
    }
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

/// A number with as many digits as say something.
fn figure(value: f64) -> String {
    let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A span of time given in seconds.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 0.9995 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{} s", figure(seconds)) }
}
