//! Tables of the values that are taken and refused, one test a type.

use super::super::{location, reference, secret_name, units};
use crate::site::{Bytes, CommandLine, Domain, InnerPath, SourceLocation, UrlPath};
use crate::time::Millis;
use std::path::Path;

#[test]
fn sizes() {
    for (text, bytes) in
        [("1KB", 1 << 10), ("64MB", 64 << 20), ("64 MiB", 64 << 20), ("2gb", 2 << 30), ("1TB", 1 << 40)]
    {
        assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
    }
    for text in
        ["", "64", "MB", "-1MB", "1.5GB", "64PB", "64MBit", "99999999999999999999MB", "99999999TB", "٤MB"]
    {
        assert!(Bytes::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(
        [Bytes(64 << 20), Bytes(1536 << 20), Bytes(1000), Bytes(0)].map(|size| size.to_string()),
        ["64MB", "1536MB", "1000B", "0B"]
    );
}

#[test]
fn spans_of_time() {
    for (text, ms) in
        [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h", 3_600_000), ("24h", 86_400_000)]
    {
        assert_eq!(units::timeout(text), Ok(Millis(ms)), "{text}");
    }
    for text in
        ["", "30", "s", "-1s", "1.5s", "1h30m", "0s", "99ms", "25h", "1d", "99999999999999999999h", "30 sec"]
    {
        assert!(units::timeout(text).is_err(), "{text:?}");
    }
}

#[test]
fn spans_of_time_that_may_be_none_and_waits() {
    for (text, ms) in [("0s", 0), ("0ms", 0), ("100ms", 100), ("24h", 86_400_000)] {
        assert_eq!(units::timeout_or_none(text), Ok(Millis(ms)), "{text}");
    }
    for text in ["", "0", "1ms", "25h", "-1s"] {
        assert!(units::timeout_or_none(text).is_err(), "{text:?}");
    }
    for (text, ms) in [("1ms", 1), ("100ms", 100), ("60s", 60_000), ("1m", 60_000)] {
        assert_eq!(units::wait(text), Ok(Millis(ms)), "{text}");
    }
    for text in ["", "0ms", "61s", "1h", "100"] {
        assert!(units::wait(text).is_err(), "{text:?}");
    }
}

#[test]
fn names_of_secrets() {
    for text in ["STRIPE_KEY", "_", "A1", "X_DATABASE_URL", &"A".repeat(128)] {
        assert_eq!(secret_name(text).map(|name| name.to_string()), Ok(text.to_owned()));
    }
    for text in [
        "",
        "1A",
        "a",
        "A-B",
        "A B",
        "A=B",
        "A\n",
        "Ä",
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "TMPDIR",
        "HOST",
        "PORT",
        "DATABASE_URL",
        "DATABASE_REPLICA_URL",
        "CACHE_URL",
        "REDIS_URL",
        "MEMCACHED_URL",
        "STOA_DEPLOY",
        "LISTEN_FDS",
        "LD_PRELOAD",
        &"A".repeat(129),
    ] {
        assert!(secret_name(text).is_err(), "{text:?}");
    }
}

#[test]
fn commands_that_are_lists() {
    let words = |list: &[&str]| CommandLine::from_words(list.iter().map(ToString::to_string).collect());
    assert_eq!(
        words(&["create", "a b", "|", "'x'", "", "${A}$B"]).unwrap().words(),
        ["create", "a b", "|", "'x'", "", "${A}$B"]
    );
    for list in [&[][..], &[""], &["a", "$"], &["a", "$(b)"], &["a", "${A:-b}"], &["a\0"]] {
        assert!(words(list).is_err(), "{list:?}");
    }
    assert!(words(&["a", &"b".repeat(17 << 10)]).is_err());
}

#[test]
fn domains() {
    for (text, domain) in [
        ("www.foobar.com", "www.foobar.com"),
        ("WWW.Foobar.COM", "www.foobar.com"),
        ("localhost", "localhost"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("10.0.0.7", "10.0.0.7"),
        ("3com.com", "3com.com"),
    ] {
        assert_eq!(Domain::parse(text).map(|domain| domain.to_string()), Ok(domain.to_owned()));
    }
    let long = format!("{}.com", "a".repeat(64));
    for text in [
        "",
        ".",
        "foobar.com.",
        "a..b",
        "-a.com",
        "a-.com",
        "a_b.com",
        "a b.com",
        "münchen.de",
        "*.foobar.com",
        "https://foobar.com/",
        "foobar.com:80",
        "foobar.com/x",
        "x; } server {",
        "300.1.1.1",
        "1.2.3",
        "[::1]",
        &long,
    ] {
        assert!(Domain::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn paths_of_urls() {
    for text in ["/", "/static", "/a/b.c", "/~me", "/.well-known"] {
        assert_eq!(UrlPath::parse(text).map(|path| path.to_string()), Ok(text.to_owned()));
    }
    for text in [
        "", "static", "/a/", "//", "/a//b", "/..", "/a/../b", "/./a", "/a b", "/a;", "/{", "/a?b", "/a#b",
        "/%2e", "/ü", "/$a",
    ] {
        assert!(UrlPath::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn paths_in_a_release() {
    for (text, path) in
        [(".", "."), ("./", "."), ("static", "static"), ("./a/b/", "a/b"), ("a.b_c-d", "a.b_c-d")]
    {
        assert_eq!(InnerPath::parse(text).map(|path| path.to_string()), Ok(path.to_owned()));
    }
    for text in [
        "", "/etc", "..", "../x", "a/../b", "a//b", "a/./b", "-rf", "a/-rf", "a b", "a;b", "a\nb", "a'b",
        "$x", ".git", "a/.git/b", "ü",
    ] {
        assert!(InnerPath::parse(text).is_err(), "{text:?}");
    }
    let path = |text| InnerPath::parse(text).unwrap();
    assert!(path("a").holds(&path("a/b")) && path(".").holds(&path("a")) && path("a").holds(&path("a")));
    assert!(!path("a").holds(&path("ab")) && !path("a/b").holds(&path("a")));
}

#[test]
fn command_lines() {
    for (text, words) in [
        ("node server.js", &["node", "server.js"][..]),
        ("  a\t b ", &["a", "b"]),
        ("a 'b c' \"d e\"f", &["a", "b c", "d ef"]),
        (r#"a b\ c "\"d\"" '\'"#, &["a", "b c", "\"d\"", "\\"]),
        ("a '' \"\"", &["a", "", ""]),
        ("a --bind $HOST:${PORT}x", &["a", "--bind", "$HOST:${PORT}x"]),
        ("a \"$HOME/x y\"", &["a", "$HOME/x y"]),
        ("a --allow=* '|' \"&&\" \\; b#c", &["a", "--allow=*", "|", "&&", ";", "b#c"]),
        ("a \"\\n\"", &["a", "\\n"]),
    ] {
        assert_eq!(CommandLine::parse(text).unwrap().words(), words, "{text}");
    }
    for text in [
        "",
        "  ",
        "''",
        "a | b",
        "a && b",
        "a & ",
        "a; b",
        "a > b",
        "a 2>&1",
        "a < b",
        "a `b`",
        "a $(b)",
        "a \"`b`\"",
        "(a)",
        "a\nb",
        "a # b",
        "~/bin/a",
        "A=1 b",
        "a 'b",
        "a \"b",
        "a \\",
        "a $",
        "a $1",
        "a ${A:-b}",
        "a ${A",
        "a $$",
        "a \\$A",
        "a '$A'",
        "a\0",
    ] {
        assert!(CommandLine::parse(text).is_err(), "{text:?}");
    }
    let command = CommandLine::parse("a $HOST:${PORT}x \"$A_1\"$B").unwrap();
    assert_eq!(command.variables().collect::<Vec<_>>(), ["HOST", "PORT", "A_1", "B"]);
}

#[test]
fn refs() {
    for text in ["HEAD", "main", "v1.2.3", "feature/a-b", "fix/#12", "3fa9c21", "a@b", "dependabot/npm+x"] {
        assert_eq!(reference(text).as_deref(), Ok(text));
    }
    let long = "a".repeat(201);
    for text in [
        "",
        "-",
        "--upload-pack=touch /tmp/x",
        "-main",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a\nb",
        "@{u}",
        "a.lock",
        "a/",
        "/a",
        "a//b",
        ".a",
        "a/.b",
        "a.",
        "$(a)",
        "`a`",
        "a;b",
        "a|b",
        "ü",
        &long,
    ] {
        assert!(reference(text).is_err(), "{text:?}");
    }
}

#[test]
fn places_of_code() {
    let folder = |text: &str| location(text, Path::new("/srv/site"));
    assert_eq!(folder("."), Ok(SourceLocation::Folder("/srv/site".into())));
    assert_eq!(folder("../app"), Ok(SourceLocation::Folder("/srv/site/../app".into())));
    assert_eq!(folder("/opt/app/"), Ok(SourceLocation::Folder("/opt/app".into())));
    assert_eq!(folder("my app"), Ok(SourceLocation::Folder("/srv/site/my app".into())));
    for url in [
        "https://github.com/you/app.git",
        "http://127.0.0.1:3000/app.git",
        "ssh://git@host:22/app.git",
        "ssh://git@[::1]/app.git",
        "git://host/app",
        "file:///srv/git/app.git",
        "git@github.com:you/app.git",
        "host:app.git",
    ] {
        assert_eq!(folder(url), Ok(SourceLocation::Url(url.to_owned())));
    }
    for text in [
        "",
        "-x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "fd::17",
        "a-b::c",
        "ftp://host/x",
        "ext://x",
        "rsync://h/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://-x@host/y",
        "-oProxyCommand=x@host:y",
        "host:-x",
        "host:",
        "https://",
        "https:///x",
        "https://me:secret@host/x",
        "https://host/a b",
        "https://host/$(x)",
        "https://host/`x`",
        "https://host/;x",
        "file://host/x",
        "file://x",
        "~/app",
        "a\nb",
        "https://host\\@evil/x",
        "git@host:a'b",
    ] {
        assert!(folder(text).is_err(), "{text:?}");
    }
}
