//! Every rule on the smallest text that breaks it and on the nearest one that does not.

use super::*;

fn findings(path: &str, text: &str) -> Vec<String> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    judge(&[source]).into_iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
}

/// What is found in the body of a file with a proper head; its lines count from 2.
fn in_code(path: &str, code: &str) -> Vec<String> {
    findings(path, &format!("//! Head.\n{code}\n"))
}

fn manifest(path: &str, dependencies: &str) -> Vec<String> {
    findings(path, &format!("{dependencies}\n[lints]\nworkspace = true\n"))
}

#[test]
fn walls_hold() {
    let model = "[dependencies]\nstoa-model.workspace = true";
    assert!(manifest("crates/decide/Cargo.toml", model).is_empty());
    assert_eq!(manifest("crates/model/Cargo.toml", model), ["2: dependencies on stoa-model"]);
    let tokio = "[dependencies]\ntokio = \"1\"";
    assert_eq!(manifest("crates/decide/Cargo.toml", tokio), ["2: dependencies on tokio"]);
    assert!(manifest("crates/traffic/Cargo.toml", tokio).is_empty());
    let decide = "[dependencies]\nstoa-decide.workspace = true";
    assert_eq!(manifest("crates/traffic/Cargo.toml", decide), ["2: dependencies on stoa-decide"]);
    assert_eq!(manifest("crates/tiers/Cargo.toml", decide), ["2: dependencies on stoa-decide"]);
}

#[test]
fn walls_have_no_back_doors() {
    let renamed = "[dependencies]\ninnocent = { package = \"tokio\", version = \"1\" }";
    assert_eq!(manifest("crates/decide/Cargo.toml", renamed), ["1: dependencies on tokio"]);
    let target = "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"";
    assert_eq!(manifest("crates/model/Cargo.toml", target), ["2: dependencies on tokio"]);
    let tests = "[dev-dependencies]\ntempfile = \"3\"\nstoa-sim = { path = \"../sim\" }";
    assert_eq!(manifest("crates/stoa/Cargo.toml", tests), ["3: dev-dependencies on stoa-sim"]);
}

#[test]
fn every_crate_is_a_room_with_the_lints_of_the_house() {
    assert_eq!(findings("crates/new/Cargo.toml", ""), ["1: a crate that is in no room"]);
    assert_eq!(findings("crates/model/Cargo.toml", ""), ["1: no `[lints] workspace = true`"]);
}

#[test]
fn files_have_a_head_and_an_end() {
    assert_eq!(findings("crates/model/src/a.rs", "fn a() {}\n"), ["1: no //! head"]);
    let long = |path: &str, lines: usize| findings(path, &format!("//! Head.\n{}", "\n".repeat(lines - 1)));
    assert!(long("crates/model/src/a.rs", 500).is_empty());
    assert_eq!(long("crates/model/src/a.rs", 501), ["500: 501 lines, more than 500"]);
    assert!(long("crates/model/src/a/tests.rs", 501).is_empty());
}

#[test]
fn no_path_of_one_machine() {
    assert_eq!(findings("README.md", "see /home/me/x\n"), ["1: the path /home/…"]);
    assert_eq!(findings("crates/model/src/a.rs", "//! In /work/x.\n"), ["1: the path /work/…"]);
    assert!(findings("README.md", "https://example.com/work/x and ${X}/home/y\n").is_empty());
}

#[test]
fn pure_rooms_stay_pure() {
    let clock = "let now = Instant::now();";
    assert_eq!(in_code("crates/decide/src/a.rs", clock), ["2: `Instant::now`"]);
    assert_eq!(in_code("crates/decide/src/tests.rs", clock), ["2: `Instant::now`"]);
    assert!(in_code("crates/tiers/src/a.rs", clock).is_empty());
    assert_eq!(in_code("crates/model/src/a.rs", "use std::fs;"), ["2: `std::fs`"]);
    for harmless in
        ["// Instant::now", "let a = \"std::fs\";", "/* rand:: */", "brand::new()", "let a = r#\"tokio::\"#;"]
    {
        assert_eq!(in_code("crates/decide/src/a.rs", harmless), [""; 0], "{harmless}");
    }
}

#[test]
fn programs_are_started_at_home() {
    let start = "Command::new(program)";
    assert_eq!(in_code("crates/stoa/src/cli/up.rs", start), ["2: `Command::new`"]);
    assert!(in_code("crates/tiers/src/host/spawn.rs", start).is_empty());
    assert!(in_code("crates/stoa/tests/e2e/site.rs", start).is_empty());
    let inline = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{start}\n}}");
    assert!(in_code("crates/stoa/src/cli/up.rs", &inline).is_empty());
}

#[test]
fn no_shell() {
    assert_eq!(in_code("crates/tiers/src/a.rs", "Command::new(\"sh\").arg(\"-c\")"), ["2: the shell \"sh\""]);
    assert_eq!(in_code("crates/tiers/src/a.rs", "let a = \"/bin/sh\";"), ["2: the shell \"/bin/sh\""]);
    assert_eq!(in_code("crates/tiers/src/tests.rs", "Command::new(\"bash\")"), ["2: the shell \"bash\""]);
    assert!(in_code("crates/tiers/src/tests.rs", "let passwd = \"/bin/sh\";").is_empty());
    assert!(in_code("crates/tiers/src/a.rs", "// \"sh\"\nlet a = \"show\";").is_empty());
}

#[test]
fn nothing_is_left_for_later() {
    assert_eq!(in_code("crates/tiers/src/a.rs", "todo!()"), ["2: `todo!`"]);
    assert_eq!(in_code("crates/tiers/src/tests.rs", "#[ignore]"), ["2: `#[ignore`"]);
}

#[test]
fn tests_do_not_sleep_and_hope() {
    let pause = "fn a_test() {\n    thread::sleep(SECOND);\n}";
    assert_eq!(in_code("crates/tiers/src/tests.rs", pause), ["3: a fixed pause in a test"]);
    assert!(in_code("crates/tiers/src/a.rs", pause).is_empty());
    let waits = "fn wait_until_healthy() {\n    thread::sleep(STEP);\n}";
    assert!(in_code("crates/tiers/src/tests.rs", waits).is_empty());
}

#[test]
fn a_rule_is_broken_with_a_reason() {
    let excused = "// tidy: the slow peer itself\nthread::sleep(SECOND);";
    assert!(in_code("crates/tiers/src/tests.rs", excused).is_empty());
    assert!(
        in_code("crates/tiers/src/tests.rs", "thread::sleep(SECOND); // tidy: the slow peer itself")
            .is_empty()
    );
}

#[test]
fn strings_and_comments_are_told_from_code() {
    let text =
        "a(\"b // c\", 'd', '\\'', \"e\\\"f\") /* g /* h */ i */ j // k\nr#\"l\"m\nn\"# o b\"p\" 'q: r";
    let lines = lexer::lines(text);
    assert_eq!(lines[0].code, "a(\"\", ' ', ' ', \"\")  j ");
    assert_eq!(lines[0].strings, ["b // c", "e\\\"f"]);
    assert_eq!(lines[1].code, "\"");
    assert_eq!(lines[1].strings, ["l\"m"]);
    assert_eq!(lines[2].code, "\" o b\"\" 'q: r");
    assert_eq!(lines[2].strings, ["n", "p"]);
}
