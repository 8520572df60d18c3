//! Where tokens begin and end, table by table.

use super::{Charset, Dialect, Engine, Lexer, TokenKind};

const MARIADB: Dialect = Dialect::new(Engine::MariaDb);
const MYSQL: Dialect = Dialect::new(Engine::MySql);

/// The tokens of a text as `Kind:bytes`, with spaces between.
fn cut(text: &[u8], dialect: &Dialect) -> String {
    let mut lexer = Lexer::new(text, dialect);
    let mut cut = Vec::new();
    loop {
        let token = lexer.token();
        match token.kind {
            TokenKind::End => return cut.join(" "),
            TokenKind::Broken => {
                assert_eq!(lexer.token().kind, TokenKind::Broken, "nothing follows");
                cut.push("Broken".into());
                return cut.join(" ");
            }
            kind => cut.push(format!("{kind:?}:{}", String::from_utf8_lossy(token.of(text)))),
        }
    }
}

#[track_caller]
fn check(dialect: &Dialect, cases: &[(&str, &str)]) {
    for (text, tokens) in cases {
        assert_eq!(cut(text.as_bytes(), dialect), *tokens, "{text}");
    }
}

#[test]
fn numbers_end_where_the_servers_end_them() {
    check(
        &MARIADB,
        &[
            ("1.5INTO", "Number:1.5 Word:INTO"),
            ("1e5INTO", "Number:1e5 Word:INTO"),
            ("1INTO", "Word:1INTO"),
            ("0x1FG", "Word:0x1FG"),
            ("0x1F", "Number:0x1F"),
            ("0X1F", "Word:0X1F"),
            ("0b01", "Number:0b01"),
            ("0b2", "Word:0b2"),
            ("1e+5", "Number:1e+5"),
            ("1e+", "Word:1e Sign:+"),
            ("1.e", "Broken"),
            (".5a", "Number:.5 Word:a"),
            ("1..2", "Number:1. Number:.2"),
            ("x'1f'", "Number:x'1f'"),
            ("X'1g'", "Broken"),
            ("b'01'", "Number:b'01'"),
            ("x '1'", "Word:x String:'1'"),
            ("\\N", "Number:\\N"),
            ("\\n", "Broken"),
        ],
    );
}

#[test]
fn names_behind_a_dot_are_no_keywords_and_no_numbers() {
    check(
        &MARIADB,
        &[
            ("t.1e5INTO", "Word:t Dot:. Word:1e5INTO"),
            ("`t`.1e5INTO", "Quoted:`t` Number:.1e5 Word:INTO"),
            ("t.from", "Word:t Dot:. Word:from"),
            ("a.b.c", "Word:a Dot:. Word:b Dot:. Word:c"),
            ("@@session.sql_mode", "SystemVariable:@@session Dot:. Word:sql_mode"),
        ],
    );
}

#[test]
fn strings_end_at_their_quote() {
    check(
        &MARIADB,
        &[
            ("'a''b' c", "String:'a''b' Word:c"),
            (r"'a\'b' c", r"String:'a\'b' Word:c"),
            (r"'a\\' c", r"String:'a\\' Word:c"),
            (r#""a\"b" c"#, r#"String:"a\"b" Word:c"#),
            ("'a", "Broken"),
            (r"'a\", "Broken"),
            (r"'a\'", "Broken"),
            ("N'x' n'y'", "String:N'x' String:n'y'"),
            ("_utf8'x'", "Word:_utf8 String:'x'"),
            ("`a``b`", "Quoted:`a``b`"),
            (r"`a\`", r"Quoted:`a\`"),
            ("`a\0`", "Broken"),
            ("'a\0b'", "String:'a\0b'"),
        ],
    );
    let ansi = MARIADB.with_sql_mode("REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES");
    check(&ansi, &[(r#""a\" "b""c""#, r#"Quoted:"a\" Quoted:"b""c""#), ("'a'", "String:'a'")]);
    let plain = MARIADB.with_sql_mode("NO_BACKSLASH_ESCAPES");
    check(&plain, &[(r"'a\' b", r"String:'a\' Word:b"), (r#""a\" b"#, r#"String:"a\" Word:b"#)]);
}

#[test]
fn variables_have_names_of_their_own() {
    check(
        &MARIADB,
        &[
            ("@a.b$c :=1", "UserVariable:@a.b$c Assign::= Number:1"),
            ("@'a b'", "UserVariable:@'a b'"),
            (r#"@"a b""#, r#"UserVariable:@"a b""#),
            ("@`a b`", "UserVariable:@`a b`"),
            ("@@`x`", "SystemVariable:@@`x`"),
            ("@@x", "SystemVariable:@@x"),
            ("@", "Broken"),
            ("@@", "Broken"),
            ("a@b", "Word:a UserVariable:@b"),
        ],
    );
}

#[test]
fn comments_are_left_out_and_versions_are_code() {
    check(
        &MARIADB,
        &[
            ("a -- b\nc", "Word:a Word:c"),
            ("a --b", "Word:a Sign:- Sign:- Word:b"),
            ("a --", "Word:a"),
            ("a --\tb", "Word:a"),
            ("a # b\nc", "Word:a Word:c"),
            ("a # b\0c", "Word:a Broken"),
            ("a /* b */ c", "Word:a Word:c"),
            ("a /*/ b */ c", "Word:a Word:c"),
            ("a /* /* */ c", "Word:a Word:c"),
            ("a /**/ c", "Word:a Word:c"),
            ("a /***/ c", "Word:a Word:c"),
            ("a /* b", "Word:a Broken"),
            ("a /*! b */ c", "Word:a Versioned:/*! Word:b Word:c"),
            ("a /*!50001 b */", "Word:a Versioned:/*!50001 Word:b"),
            ("a /*M!100101 b */", "Word:a Versioned:/*M!100101 Word:b"),
            ("a /*!50001b", "Word:a Versioned:/*!50001 Word:b Broken"),
            ("a */ b", "Word:a Operator:* Operator:/ Word:b"),
            ("/* stoa: primary */ a", "Hint: primary  Word:a"),
            ("/*STOA:replica*/", "Hint:replica"),
            ("/*+ MAX_EXECUTION_TIME(5) */ a", "Word:a"),
            ("/*+ QB_NAME(`*/ INTO`) */", "Broken"),
        ],
    );
}

#[test]
fn what_may_be_read_in_two_ways_is_broken() {
    check(
        &MYSQL,
        &[("$$ a $$", "Broken"), ("a$b", "Word:a$b"), ("a \0", "Word:a Broken"), ("a \x01", "Word:a Broken")],
    );
    // A no-break space is a space in latin1, and a part of a name in UTF-8.
    let latin1 = MYSQL.with_charset("latin1");
    assert_eq!(cut(b"SELECT\xa0INTO", &latin1), "Broken");
    assert_eq!(cut(b"a --\xa0b", &latin1), "Word:a Broken");
    assert_eq!(cut("sélect".as_bytes(), &MYSQL), "Word:sélect");
    assert_eq!(cut(b"a\xff", &MYSQL), "Broken");
    assert_eq!(cut(b"'a\xff' b", &MYSQL), "String:'a\u{fffd}' Word:b");
}

#[test]
fn long_characters_hide_quotes_and_backslashes() {
    // The second byte is a backslash, a backtick, or an ASCII quote that no character can have.
    for name in ["gbk", "big5", "sjis", "cp932", "gb18030"] {
        let dialect = MYSQL.with_charset(name);
        let first: u8 = if dialect.charset == Charset::Sjis { 0x95 } else { 0xa5 };
        let last = |before: &[u8], behind: &[u8]| {
            let tokens = cut(&[before, &[first], behind].concat(), &dialect);
            tokens.rsplit(' ').next().map(str::to_owned)
        };
        assert_eq!(last(b"'", b"\\' a").as_deref(), Some("Word:a"), "{name}");
        assert_eq!(last(b"`", b"`` a").as_deref(), Some("Word:a"), "{name}");
        assert_eq!(last(b"'", b"' a").as_deref(), Some("Broken"), "{name}");
        // One byte is escaped, so the next backslash escapes the quote.
        assert_eq!(last(b"'\\", b"\\' a").as_deref(), Some("Broken"), "{name}");
    }
    let gb18030 = MYSQL.with_charset("gb18030");
    assert_eq!(cut(b"'\x81\x30\x81\x30' a", &gb18030).split(' ').next_back(), Some("Word:a"));
    let sjis = MYSQL.with_charset("sjis");
    assert_eq!(cut(b"'\xb1\\' a' b", &sjis).split(' ').next_back(), Some("Word:b"));
}
