//! Never a panic, never a replica for what has an effect, and the same verdict on the statements of a text
//! one by one as together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::classify::{Effects, assignments, used_database};
use stoa_traffic::sql::{Dialect, Engine, Route, classify, digest, digest_text, statements};

const CHARSETS: [&str; 7] = ["utf8mb4", "latin1", "gbk", "big5", "sjis", "gb18030", "ujis"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (modes, charset, text) = input;
    let engine = if modes & 1 == 0 { Engine::MariaDb } else { Engine::MySql };
    let dialect = Dialect {
        ansi_quotes: modes & 2 != 0,
        no_backslash_escapes: modes & 4 != 0,
        ignore_space: modes & 8 != 0,
        in_system_schema: modes & 16 != 0,
        ..Dialect::new(engine).with_charset(CHARSETS[usize::from(charset) % CHARSETS.len()])
    };
    let verdict = classify(text, &dialect);
    if verdict.route == Route::Replica {
        assert!(verdict.effects.without(Effects::BAD_HINT).is_empty());
    }
    let mut count = 0;
    for (_, one) in statements(text, &dialect) {
        count += 1;
        assert!(verdict.effects.contains(one.effects));
    }
    assert_eq!(count, usize::from(verdict.count));
    for assignment in assignments(text, &dialect) {
        let _ = format!("{assignment:?}");
    }
    let _ = used_database(text, &dialect);
    assert!(digest_text(text, &dialect).len() <= 1024);
    let _ = digest(text, &dialect);
});
