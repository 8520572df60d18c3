//! What judging a statement costs: `cargo run --release -p stoa-traffic --example judge`.
//!
//! Nanoseconds a statement on one core, the best of several rounds; figures of one machine, to be compared
//! with each other and with nothing else.

use std::hint::black_box;
use std::time::Instant;

use stoa_traffic::sql::{Dialect, Engine, classify, digest};

const ROUNDS: usize = 1000;
const TIMES: u32 = 1000;

fn main() {
    let dialect = Dialect::new(Engine::MariaDb);
    let rows =
        format!("INSERT INTO t (a, b) VALUES {}", vec!["(123, 'some text of a row')"; 1000].join(", "));
    let blob = format!("INSERT INTO t VALUES ('{}')", "x".repeat(1 << 20));
    let statements: [(&str, &str, u32); 7] = [
        ("point select", "SELECT c FROM sbtest1 WHERE id=123", TIMES),
        ("prepared", "SELECT c FROM sbtest1 WHERE id=?", TIMES),
        (
            "an ORM's",
            "SELECT `users`.`id`, `users`.`name`, `users`.`email` FROM `users` INNER JOIN `posts` ON `posts`.`user_id` = \
             `users`.`id` WHERE `users`.`active` = 1 AND COALESCE(`posts`.`likes`, 0) > 10 ORDER BY `users`.`id` LIMIT 20",
            TIMES,
        ),
        ("update", "UPDATE sbtest1 SET k=k+1 WHERE id=123", TIMES),
        ("commit", "COMMIT", TIMES),
        ("1000 rows", &rows, 1),
        ("1 MB string", &blob, 1),
    ];
    let mut out = String::new();
    for (name, text, times) in statements {
        let text = text.as_bytes();
        let judged = best(times, || _ = black_box(classify(black_box(text), &dialect)));
        let digested = best(times, || _ = black_box(digest(black_box(text), &dialect)));
        out += &format!(
            "{name:14} {:8} bytes  classify {judged:10.0} ns  digest {digested:10.0} ns\n",
            text.len()
        );
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes()).unwrap_or_default();
}

/// The least time of one call.
fn best(times: u32, mut call: impl FnMut()) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        (0..times).for_each(|_| call());
        begin.elapsed().as_nanos() as f64 / f64::from(times)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
