//! What the words of the command line ask for.

use super::sysbench::{Case, WORKS, Work};

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench splitter [FLAG…]

  --quick          point selects as text by 8 clients only, the measure of what splitting costs
  --seconds N      how long each load lasts, 1 to 600; 2 where it is not said
  --rounds N       how often each is measured, 1 to 100; 3 where it is not said
  --clients N,…    how many clients, each 1 to 1024; 1,8,64,512 where it is not said
  --replicas N     how many replicas there are, 1 to 4; 1 where it is not said
  --work NAME…     only these: point-select, read-only, read-write, write-only (each as text and prepared),
                   megabyte, connect
  STOA_MYSQLROUTER names MySQL Router's program where it is not on the PATH, and
  STOA_MYSQLROUTER_PLUGINS its folder of plugins where that is not where it was built for";

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) seconds: u32,
    pub(crate) rounds: usize,
    pub(crate) replicas: usize,
    clients: Vec<u32>,
    works: Vec<Work>,
    /// The text protocol only.
    quick: bool,
}

impl Default for Wish {
    fn default() -> Self {
        let clients = vec![1, 8, 64, 512];
        Wish { seconds: 2, rounds: 3, replicas: 1, clients, works: WORKS.to_vec(), quick: false }
    }
}

impl Wish {
    /// Reads the words.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Wish, String> {
        let mut wish = Wish::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => {
                    wish = Wish {
                        quick: true,
                        clients: vec![8],
                        works: WORKS.into_iter().take(1).collect(),
                        ..wish
                    };
                }
                "--seconds" => wish.seconds = number(words.next(), 600)?,
                "--rounds" => wish.rounds = number(words.next(), 100)? as usize,
                "--replicas" => wish.replicas = number(words.next(), 4)? as usize,
                "--clients" => {
                    let list = words.next().unwrap_or_default();
                    let counts = list.split(',').map(|count| number(Some(count.to_owned()), 1024));
                    wish.clients = counts.collect::<Result<_, _>>()?;
                }
                "--work" => {
                    wish.works.clear();
                    while let Some(name) = words.next_if(|word| !word.starts_with("--")) {
                        let known = WORKS.into_iter().find(|work| work.name() == name);
                        wish.works.push(known.ok_or_else(|| format!("{name:?} is no work"))?);
                    }
                }
                _ => return Err(format!("{word:?} is no flag")),
            }
        }
        Ok(wish)
    }

    /// What is measured, in order.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for &work in &self.works {
            for prepared in [false, true] {
                if prepared && (self.quick || !work.prepares()) {
                    continue;
                }
                cases.extend(self.clients.iter().map(|&clients| Case { work, prepared, clients }));
            }
        }
        cases
    }
}

fn number(word: Option<String>, most: u32) -> Result<u32, String> {
    let word = word.unwrap_or_default();
    let number = word.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{word:?} is no number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wish, String> {
        Wish::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_say_what_is_measured() {
        let named =
            |line| -> Vec<String> { read(line).unwrap().cases().iter().map(ToString::to_string).collect() };
        assert_eq!(named("--quick"), ["point-select, text, 8 clients"]);
        assert_eq!(
            named("--clients 1,64 --work connect point-select --seconds 1"),
            [
                "connect, text, 1 client",
                "connect, text, 64 clients",
                "point-select, text, 1 client",
                "point-select, text, 64 clients",
                "point-select, prepared, 1 client",
                "point-select, prepared, 64 clients",
            ]
        );
        assert_eq!(named("").len(), 4 * 2 * 4 + 2 * 4);
    }

    #[test]
    fn words_that_say_nothing_are_named() {
        for (line, what) in [
            ("--seconds 0", "\"0\" is no number from 1 to 600"),
            ("--seconds", "\"\" is no number from 1 to 600"),
            ("--clients 8,2000", "\"2000\" is no number from 1 to 1024"),
            ("--work nothing", "\"nothing\" is no work"),
            ("--fast", "\"--fast\" is no flag"),
        ] {
            assert_eq!(read(line), Err(what.to_owned()));
        }
    }
}
