//! Which servers took writes when, from what each said of itself, and when two did at once. Pure.

use std::time::Duration;

/// A time in which a server said again and again that it takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    server: String,
    /// It had said so by then.
    from: Duration,
    /// And it was asked last then, and said so again.
    to: Duration,
}

/// What all servers said.
#[derive(Debug, Default)]
pub(crate) struct Writable {
    runs: Vec<Run>,
    /// The run of a server that goes on.
    open: Vec<Run>,
}

/// Two servers that took writes at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) servers: [String; 2],
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Writable {
    /// A server was asked and has answered. What it said was true at some moment between the two, so that
    /// only two answers prove a time: from when the first came to when the second was asked for.
    pub(crate) fn said(&mut self, server: &str, asked: Duration, answered: Duration, writable: bool) {
        let open = self.open.iter().position(|run| run.server == server);
        match (open.and_then(|at| self.open.get_mut(at)), writable) {
            (Some(run), true) => run.to = run.to.max(asked),
            (None, true) => {
                self.open.push(Run { server: server.to_owned(), from: answered, to: answered });
            }
            (_, false) => self.silent(server),
        }
    }

    /// A server cannot be asked any more.
    pub(crate) fn silent(&mut self, server: &str) {
        if let Some(at) = self.open.iter().position(|run| run.server == server) {
            let run = self.open.swap_remove(at);
            self.runs.push(run);
        }
    }

    /// Which took writes when they were asked last.
    pub(crate) fn now(&self) -> Vec<String> {
        self.open.iter().map(|run| run.server.clone()).collect()
    }

    /// The times in which two servers took writes, since `from`.
    pub(crate) fn both(&self, from: Duration) -> Vec<Both> {
        let runs: Vec<&Run> = self.runs.iter().chain(&self.open).filter(|run| run.to >= from).collect();
        let mut both = Vec::new();
        for (at, one) in runs.iter().enumerate() {
            for other in runs.iter().skip(at + 1).filter(|other| other.server != one.server) {
                let (from, to) = (one.from.max(other.from), one.to.min(other.to));
                if from < to {
                    both.push(Both { servers: [one.server.clone(), other.server.clone()], from, to });
                }
            }
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// What servers said: who, when it was asked, when it answered, what.
    fn after(said: &[(&str, u64, u64, bool)]) -> Writable {
        let mut writable = Writable::default();
        for (server, asked, answered, says) in said {
            writable.said(server, MS(*asked), MS(*answered), *says);
        }
        writable
    }

    #[test]
    fn one_after_the_other_is_well() {
        let writable = after(&[
            ("a", 0, 1, true),
            ("b", 0, 1, false),
            ("a", 20, 21, true),
            ("a", 40, 41, false),
            ("b", 40, 41, false),
            ("b", 60, 61, true),
            ("b", 80, 81, true),
        ]);
        assert_eq!(writable.both(MS(0)), []);
        assert_eq!(writable.now(), ["b"]);
    }

    #[test]
    fn both_at_once_are_found() {
        let writable =
            after(&[("a", 0, 1, true), ("b", 10, 11, true), ("a", 20, 21, true), ("b", 30, 31, true)]);
        let both = Both { servers: ["a".to_owned(), "b".to_owned()], from: MS(11), to: MS(20) };
        assert_eq!(writable.both(MS(0)), [both]);
        assert_eq!(writable.both(MS(100)), [], "it was before");
    }

    #[test]
    fn a_frozen_server_that_still_takes_writes_when_it_thaws_is_found() {
        let mut said =
            vec![("a", 0, 1, true), ("b", 500, 501, true), ("b", 600, 601, true), ("a", 20, 550, true)];
        assert_eq!(after(&said).both(MS(0)), [], "its one late answer may be from before");
        said.push(("a", 570, 571, true));
        assert_eq!(after(&said).both(MS(0)).len(), 1);
    }

    #[test]
    fn a_server_that_died_takes_none() {
        let mut writable = after(&[("a", 0, 1, true), ("a", 20, 21, true)]);
        writable.silent("a");
        writable.said("b", MS(30), MS(31), true);
        writable.said("b", MS(50), MS(51), true);
        writable.said("a", MS(60), MS(61), false);
        assert_eq!(writable.both(MS(0)), []);
    }
}
