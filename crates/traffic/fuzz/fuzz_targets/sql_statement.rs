//! Never a panic; the tokens are the text; never a replica for what has an effect; the same verdict on the
//! statements of a text one by one as together, and whatever stands between the tokens; what a session is set
//! up with again is nothing but a name and a value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_traffic::sql::classify::{
    Assignment, Effects, Value, assignments, examine, lone_values, made, tell, used_database,
};
use stoa_traffic::sql::lexer::{Lexer, Token, TokenKind};
use stoa_traffic::sql::{Dialect, Engine, Kind, Reason, Route, classify, digest, digest_text, statements};

const CHARSETS: [&str; 7] = ["utf8mb4", "latin1", "gbk", "big5", "sjis", "gb18030", "ujis"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (modes, charset, text) = input;
    let engine = if modes & 1 == 0 { Engine::MariaDb } else { Engine::MySql };
    let dialect = Dialect {
        ansi_quotes: modes & 2 != 0,
        no_backslash_escapes: modes & 4 != 0,
        ignore_space: modes & 8 != 0,
        in_system_schema: modes & 16 != 0,
        oracle: modes & 32 != 0,
        ..Dialect::new(engine).with_charset(CHARSETS[usize::from(charset) % CHARSETS.len()])
    };
    let tokens = tokens(text, &dialect);
    let verdict = classify(text, &dialect);
    assert_eq!(examine(text, &dialect), (verdict, digest(text, &dialect)));
    check_read(text, &tokens, &dialect);
    let mut count = 0;
    for (part, one) in statements(text, &dialect) {
        count += 1;
        assert!(verdict.effects.contains(one.effects));
        // Comments may be open, or stand before it; what is broken has no end; two dashes at one are a comment.
        let whole = one.reason != Reason::Malformed && !part.ends_with(b"-");
        if whole && !text.windows(2).any(|pair| pair == b"/*") {
            let alone = classify(part, &dialect);
            assert_eq!((alone.route, alone.kind, alone.effects), (one.route, one.kind, one.effects));
        }
    }
    assert_eq!(count, usize::from(verdict.count));
    for assignment in assignments(text, &dialect) {
        check_assignment(assignment);
    }
    let _ = (used_database(text, &dialect), made(text, &dialect), lone_values(text, &dialect));
    if let Some(told) = tell(text, &dialect, verdict.kind, (5, 7)) {
        let told = classify(&told, &dialect);
        assert_eq!((told.kind, told.route, told.effects), (verdict.kind, verdict.route, verdict.effects));
    }
    assert!(digest_text(text, &dialect).len() <= 1024);
    check_spaced(text, &tokens, &dialect);
});

/// All tokens but the last, which says how the text ends. Between them there is nothing but space and comments.
fn tokens(text: &[u8], dialect: &Dialect) -> Vec<Token> {
    let mut lexer = Lexer::new(text, dialect);
    let (mut tokens, mut end) = (Vec::new(), 0);
    loop {
        let token = lexer.token();
        if matches!(token.kind, TokenKind::End | TokenKind::Broken) {
            assert_eq!(lexer.token().kind, token.kind, "for good");
            assert!(token.kind == TokenKind::Broken || between(&text[end..]));
            tokens.push(token);
            return tokens;
        }
        assert!(token.start >= end && token.end > token.start || token.kind == TokenKind::Hint, "{token:?}");
        assert!(token.end <= text.len() && between(&text[end..token.start]), "{token:?}");
        end = token.end;
        tokens.push(token);
    }
}

/// Whether this is nothing, or begins as what is no token does.
fn between(gap: &[u8]) -> bool {
    let rest = gap.iter().position(|byte| !matches!(byte, b'\t'..=b'\r' | b' ')).map(|at| &gap[at..]);
    rest.is_none_or(|rest| ["/*", "*/", "#", "--"].iter().any(|begin| rest.starts_with(begin.as_bytes())))
}

/// Words that nothing for a replica may have, except as names.
const FORBIDDEN: [&str; 10] = [
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
/// Functions that nothing for a replica may call.
const UNCALLED: [&str; 10] = [
    "GET_LOCK",
    "RELEASE_LOCK",
    "RELEASE_ALL_LOCKS",
    "LAST_INSERT_ID",
    "FOUND_ROWS",
    "ROW_COUNT",
    "CONNECTION_ID",
    "NEXTVAL",
    "SETVAL",
    "LASTVAL",
];

fn check_read(text: &[u8], tokens: &[Token], dialect: &Dialect) {
    let verdict = classify(text, dialect);
    if verdict.route != Route::Replica {
        return;
    }
    // `SHOW CREATE TABLE` and its kin have words of their own.
    let selects = verdict.kind == Kind::Select;
    assert!(verdict.effects.without(Effects::BAD_HINT).is_empty() && verdict.reads.is_empty());
    assert!(verdict.count == 1 && !dialect.oracle);
    let word = |at: usize| match tokens.get(at) {
        Some(token) if token.kind == TokenKind::Word => {
            String::from_utf8_lossy(token.of(text)).to_ascii_uppercase()
        }
        _ => String::new(),
    };
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    for (at, token) in tokens.iter().enumerate() {
        use TokenKind::{Broken, SystemVariable, UserVariable, Versioned};
        assert!(!matches!(token.kind, Broken | Versioned | UserVariable | SystemVariable), "{token:?}");
        let dotted = at > 0 && kind(at - 1) == Some(TokenKind::Dot);
        if token.kind != TokenKind::Word || dotted || text.get(token.end) == Some(&b'.') {
            continue;
        }
        let (here, next) = (word(at), word(at + 1));
        assert!(!(selects && FORBIDDEN.contains(&here.as_str())), "{here}");
        assert!((here.as_str(), next.as_str()) != ("FOR", "SHARE"));
        assert!((here.as_str(), next.as_str()) != ("IN", "SHARE"));
        let aliased = at > 0 && word(at - 1) == "AS";
        let called = text.get(token.end) == Some(&b'(') && !aliased;
        let names = word(0) == "WITH";
        let sequence = here.ends_with("VAL") && dialect.engine == Engine::MySql;
        assert!(!(selects && !names && called && !sequence && UNCALLED.contains(&here.as_str())), "{here}");
    }
}

/// What is set again on another connection is written into a statement: it must not be one.
fn check_assignment(assignment: Assignment<'_>) {
    let plain = |value: Value<'_>| match value {
        Value::Word(word) => {
            let may = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$.+-\\".contains(byte) || *byte >= 0x80;
            // Digits in quotes are a number.
            let digits = word.strip_suffix(b"'").and_then(|word| match word {
                [b'x' | b'X' | b'b' | b'B', b'\'', digits @ ..] => Some(digits),
                _ => None,
            });
            assert!(!word.is_empty() && digits.unwrap_or(word).iter().all(may), "{}", word.escape_ascii());
        }
        Value::Text(text) => {
            let may = |byte: &u8| byte.is_ascii() && !b"'\"\\\0".contains(byte);
            assert!(text.iter().all(may), "{}", text.escape_ascii());
        }
        Value::Default | Value::Expression(_) => {}
    };
    match assignment {
        Assignment::Variable { value, .. } | Assignment::UserVariable { value, .. } => plain(value),
        Assignment::Names { charset, collation } => {
            plain(charset);
            collation.into_iter().for_each(plain);
        }
        Assignment::CharacterSet { charset } => plain(charset),
        Assignment::Other => {}
    }
}

/// A comment instead of whatever stands between two tokens changes neither verdict nor digest.
fn check_spaced(text: &[u8], tokens: &[Token], dialect: &Dialect) {
    let (Some((end, tokens)), mut other, mut last) = (tokens.split_last(), Vec::new(), 0) else { return };
    let special = |token: &Token| matches!(token.kind, TokenKind::Hint | TokenKind::Versioned);
    if end.kind == TokenKind::Broken || tokens.iter().any(special) {
        return;
    }
    for token in tokens {
        if token.start > last {
            // Directly behind the token: two dashes and a space would begin a comment.
            other.extend_from_slice(b"/* x */ ");
        }
        other.extend_from_slice(token.of(text));
        last = token.end;
    }
    if text.len() > last {
        other.extend_from_slice(b"/* x */");
    }
    let (one, two) = (classify(text, dialect), classify(&other, dialect));
    assert_eq!((one.route, one.kind, one.reason), (two.route, two.kind, two.reason));
    assert_eq!((one.effects, one.reads, one.settings), (two.effects, two.reads, two.settings));
    assert_eq!(digest(text, dialect), digest(&other, dialect), "{}", other.escape_ascii());
    assert_eq!(digest_text(text, dialect), digest_text(&other, dialect));
}
