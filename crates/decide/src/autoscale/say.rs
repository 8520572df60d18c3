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
            let backlog = match asked.backlog {
                backlog if backlog >= 1.0 => format!(", {} wait", figure(backlog)),
                _ => String::new(),
            };
            let offered = format!(
                "{} requests at once offered ({}/s x {}{backlog}{forecast})",
                figure(asked.load),
                figure(asked.load / server.service),
                time(server.service),
            );
            let of = figure(server.concurrency);
            if !instance.known {
                return format!(
                    "{offered}; one instance was seen to hold {of} without slowing, and what more it can is not known: {count} instance{plural}"
                );
            }
            let wait = waits(asked.sized, server, count).mean;
            let kept = if wait.is_finite() {
                let side = if wait <= target.0 as f64 / 1000.0 { "below" } else { "above" };
                format!("keep the wait at {}, {side} {target}", time(wait))
            } else {
                format!("cannot keep the wait below {target}")
            };
            format!("{offered}; {count} instance{plural} of {of} {kept}")
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

#[cfg(test)]
mod tests {
    use super::super::queueing::Server;
    use super::*;
    use stoa_model::Millis;

    #[test]
    fn a_reason_has_its_figures() {
        let target = Target::Wait(Millis(100));
        let rules = ScaleRules { min: 2, max: 8, target, concurrency: Some(16), balancers: 2 };
        let server = Server { service: 1.6, concurrency: 16.0, variability: 1.0 };
        let instance = Instance { server, known: true };
        let asked = Asked { load: 60.8, sized: 70.0, backlog: 0.0, forecast: Some((70.0, 12.0)) };
        assert_eq!(
            because(&rules, &asked, &instance, 5),
            "61 requests at once offered (38/s x 1.6 s, forecast 70 in 12 s); 5 instances of 16 keep the wait at 27 ms, below 100 ms"
        );
        let asked = Asked { sized: 90.0, backlog: 12.0, forecast: None, ..asked };
        assert_eq!(
            because(&rules, &asked, &instance, 5),
            "61 requests at once offered (38/s x 1.6 s, 12 wait); 5 instances of 16 cannot keep the wait below 100 ms"
        );
    }
}
