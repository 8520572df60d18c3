//! What holds for every text.

use proptest::prelude::*;

use super::reads::READS;
use super::{BOTH, MARIADB, MYSQL};
use crate::sql::classify::{Effects, Route, Shapes, classify, examine, statements};
use crate::sql::lexer::{Dialect, Lexer, TokenKind};
use crate::sql::{digest, digest_text};

/// Words, marks and spaces that statements are made of, and that break them.
const PIECES: &[&str] = &[
    "SELECT",
    "a",
    "FROM",
    "t",
    "INTO",
    "@x",
    ":=",
    "FOR",
    "UPDATE",
    "SHARE",
    "LOCK",
    "IN",
    "MODE",
    "(",
    ")",
    ",",
    ";",
    ".",
    "'",
    "\"",
    "`",
    "\\",
    "/*",
    "*/",
    "/*!",
    "/*M!",
    "--",
    "#",
    "\n",
    " ",
    "f",
    "concat",
    "COUNT",
    "1",
    "0x",
    "1e5",
    "@@",
    "session",
    "SET",
    "autocommit",
    "=",
    "0",
    "INSERT",
    "DELETE",
    "WITH",
    "AS",
    "UNION",
    "CALL",
    "NEXT",
    "VALUE",
    "PROCEDURE",
    "CREATE",
    "SQL_CALC_FOUND_ROWS",
    "BEGIN",
    "NOT",
    "ATOMIC",
    "stoa:",
    "replica",
    "é",
    "$",
    "?",
    "mysql",
    "GET_LOCK",
    "VALUES",
    "EXPLAIN",
    "STATEMENT",
    "TABLE",
    "SHOW",
    "-",
    "+",
    "*",
    "_utf8",
    "N'",
    "x'",
    "\0",
];

fn any_dialect() -> impl Strategy<Value = Dialect> {
    let charsets = ["utf8mb4", "latin1", "gbk", "big5", "sjis", "gb18030", "ujis"];
    (any::<bool>(), 0..charsets.len(), any::<[bool; 4]>()).prop_map(move |(maria, charset, modes)| Dialect {
        ansi_quotes: modes[0],
        no_backslash_escapes: modes[1],
        ignore_space: modes[2],
        in_system_schema: modes[3],
        ..if maria { MARIADB } else { MYSQL }.with_charset(charsets[charset])
    })
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces =
        prop::collection::vec((prop::sample::select(PIECES), any::<bool>()), 0..40).prop_map(|pieces| {
            let text: Vec<String> = pieces
                .iter()
                .map(|(piece, space)| format!("{piece}{}", if *space { " " } else { "" }))
                .collect();
            text.concat().into_bytes()
        });
    prop_oneof![4 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

const BEGINS: &[&str] =
    &["SELECT ", "INSERT INTO t VALUES (", "UPDATE t SET a=", "DELETE FROM t WHERE ", "SET ", ""];

const LITERALS: &[&str] =
    &["1", "=1", " 1 ", ",1", "(1)", "'~'", " '~' ", "'~", "`~`", "\"~\"", "t1", ".1", "/*~*/", "@~"];

/// Something like a statement, with `1` for a number and `~` for what a string may hold.
fn any_statement() -> impl Strategy<Value = String> {
    let piece = prop_oneof![2 => prop::sample::select(LITERALS), 1 => prop::sample::select(PIECES)];
    (prop::sample::select(BEGINS), prop::collection::vec(piece, 0..12))
        .prop_map(|(begin, pieces)| format!("{begin}{}", pieces.concat()))
}

/// Words that no statement for a replica may have as a token of its own.
const FORBIDDEN: &[&str] = &[
    "INTO",
    "UPDATE",
    "DELETE",
    "PROCEDURE",
    "CALL",
    "CREATE",
    "ALTER",
    "DROP",
    "GRANT",
    "SQL_CALC_FOUND_ROWS",
];

proptest! {
    #[test]
    fn every_text_has_a_verdict((text, dialect) in (any_text(), any_dialect())) {
        let verdict = classify(&text, &dialect);
        let each: Vec<_> = statements(&text, &dialect).collect();
        prop_assert_eq!(each.len(), usize::from(verdict.count));
        if let [(_, one)] = each.as_slice() {
            prop_assert_eq!(*one, verdict);
        }
        for (part, one) in &each {
            // Each alone is judged as it is among the others.
            prop_assert!(verdict.effects.contains(one.effects));
            prop_assert!(!part.is_empty() || one.route == Route::Primary);
        }
        // One pass finds what two would.
        prop_assert_eq!(examine(&text, &dialect), (verdict, digest(&text, &dialect)));
        prop_assert!(digest_text(&text, &dialect).len() <= crate::sql::digest::TEXT);
    }

    #[test]
    fn a_replica_gets_nothing_with_a_forbidden_word((text, dialect) in (any_text(), any_dialect())) {
        let verdict = classify(&text, &dialect);
        if verdict.route == Route::Replica {
            prop_assert!(verdict.effects.without(Effects::BAD_HINT).is_empty());
            let mut lexer = Lexer::new(&text, &dialect);
            let mut dotted = false;
            loop {
                let token = lexer.token();
                match token.kind {
                    TokenKind::End => break,
                    TokenKind::Broken | TokenKind::Versioned | TokenKind::UserVariable => {
                        prop_assert!(false, "{:?}", token.kind);
                    }
                    TokenKind::Word if !dotted && text.get(token.end) != Some(&b'.') => {
                        let word = String::from_utf8_lossy(token.of(&text)).to_uppercase();
                        prop_assert!(!FORBIDDEN.contains(&word.as_str()), "{}", word);
                    }
                    _ => {}
                }
                dotted = token.kind == TokenKind::Dot;
            }
        }
    }

    #[test]
    fn a_verdict_that_is_remembered_is_the_one_that_would_be_made(
        (texts, dialect) in (prop::collection::vec(any_statement(), 1..6), any_dialect()),
        fill in prop::collection::vec((0..1000_u32, "[a-c0-9 ,()=]{0,3}"), 30),
    ) {
        let mut shapes = Shapes::default();
        for (number, string) in &fill {
            for text in &texts {
                let text = text.replace("1", &number.to_string()).replace("~", string);
                let remembered = shapes.examine(text.as_bytes(), &dialect);
                prop_assert_eq!(remembered, examine(text.as_bytes(), &dialect), "{}", text);
            }
        }
    }

    #[test]
    fn comments_spaces_and_case_change_no_verdict(
        which in 0..READS.len(),
        gaps in prop::collection::vec(prop::sample::select(&[" ", "\n\t", "/* x */", " -- y\n", "# z\n"][..]), 200),
        upper in any::<bool>(),
    ) {
        for dialect in &BOTH {
            let text = READS[which].as_bytes();
            let mut lexer = Lexer::new(text, dialect);
            let (mut other, mut last) = (Vec::new(), 0);
            for gap in gaps.iter().cycle() {
                let token = lexer.token();
                if token.kind == TokenKind::End {
                    break;
                }
                // Only where there was a space already: `count (` and `a .b` are something else.
                if token.start > last {
                    other.extend_from_slice(gap.as_bytes());
                }
                let piece = token.of(text);
                match token.kind {
                    TokenKind::Word if upper => other.extend(piece.to_ascii_uppercase()),
                    TokenKind::Word => other.extend(piece.to_ascii_lowercase()),
                    _ => other.extend_from_slice(piece),
                }
                last = token.end;
            }
            let (one, two) = (classify(text, dialect), classify(&other, dialect));
            prop_assert_eq!(one, two, "{}", String::from_utf8_lossy(&other));
        }
    }
}

/// Tokens are few where bytes are many: no text makes the lexer look twice at the same bytes.
#[test]
fn the_work_is_linear_in_the_text() {
    for piece in [
        "(",
        "'",
        "/*",
        "*/ /*!",
        "@",
        "SELECT ",
        "EXPLAIN ",
        "SET STATEMENT a=1 FOR ",
        "(1),",
        "a.",
        "-",
        "''",
        "`",
    ] {
        let text = piece.repeat(20_000);
        for dialect in &BOTH {
            let mut lexer = Lexer::new(text.as_bytes(), dialect);
            let mut tokens = 0;
            let mut end = 0;
            loop {
                let token = lexer.token();
                if matches!(token.kind, TokenKind::End | TokenKind::Broken) {
                    break;
                }
                assert!(token.start >= end && token.end > token.start, "{piece}");
                (end, tokens) = (token.end, tokens + 1);
            }
            assert!(tokens <= text.len());
            // Deep nesting takes no stack.
            let _ = classify(text.as_bytes(), dialect);
            let _ = digest(text.as_bytes(), dialect);
        }
    }
}
