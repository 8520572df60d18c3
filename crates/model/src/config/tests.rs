//! What the schema promises: the example is the reference, every kind of mistake has its message, and
//! no text whatever makes it panic.

mod environments;
mod mistakes;
mod values;

use super::*;
use crate::site::{AppKind, Bytes, SourceLocation};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../../stoa.example.toml");
const SMALLEST: &str = r#"
[site]
name = "foobar"
domain = "www.foobar.com"

[app]
run = "gunicorn app:app --bind $HOST:$PORT"
"#;

fn read(text: &str) -> Result<Site, Vec<ConfigError>> {
    parse(text, Path::new("/srv/foobar"))
}

/// The keys of the example as a reader of it sees them, commented out or not, with their defaults.
fn documented() -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut table = String::new();
    let mut above = "";
    for line in EXAMPLE.lines() {
        let plain = line.strip_prefix('#').unwrap_or(line);
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = plain.split_once(" = ").filter(|_| !plain.starts_with([' ', '"']))
        {
            assert!(above.starts_with("# "), "{key} has no line that says what it means");
            keys.push((format!("{table}.{key}"), value.to_owned()));
        }
        above = line;
    }
    keys
}

#[test]
fn the_smallest_file_is_enough() {
    let site = read(SMALLEST).unwrap();
    assert_eq!(site.source.location, SourceLocation::Folder("/srv/foobar".into()));
    assert_eq!((site.database, site.cache), (None, None));
    assert_eq!(site.app.unwrap().run.unwrap().words(), ["gunicorn", "app:app", "--bind", "$HOST:$PORT"]);
}

#[test]
fn the_example_names_the_keys_of_the_schema_and_no_other() {
    read(EXAMPLE).unwrap();
    let document = document(EXAMPLE).unwrap();
    let mut asked = super::read(EXAMPLE, document.get_ref(), Path::new("/srv/foobar")).keys;
    let documented = documented().into_iter().map(|(key, _)| key);
    let (environments, mut documented): (Vec<_>, Vec<_>) =
        documented.partition(|key| key.starts_with("environments."));
    documented.sort();
    asked.sort();
    assert_eq!(documented, asked);
    for key in environments {
        let key = key.strip_prefix("environments.staging.").unwrap();
        assert!(asked.iter().any(|asked| asked == key), "{key}");
    }
}

#[test]
fn the_example_shows_the_real_defaults() {
    let smallest = format!("{SMALLEST}\n[database]\n[cache]\n[environments.staging]\n");
    assert_eq!(read(EXAMPLE), read(&smallest));
    let staging = "staging".parse().unwrap();
    let folder = Path::new("/srv/foobar");
    let shown = parse_environment(EXAMPLE, folder, &staging).unwrap();
    assert_eq!(Ok(&shown), parse_environment(&smallest, folder, &staging).as_ref());
    assert_eq!(shown.domains.first().map(crate::site::Domain::as_str), Some("staging.www.foobar.com"));
    assert_eq!((shown.domains.len(), shown.balancer.listen.port()), (1, 8081));
}

#[test]
fn what_the_example_comments_out_may_be_written() {
    let mut text = EXAMPLE.to_owned();
    let commented: Vec<String> = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with([' ', '"']) && line.contains(" = "))
        .map(str::to_owned)
        .collect();
    for line in &commented {
        text = text.replace(&format!("\n#{line}"), &format!("\n{line}"));
    }
    let site = read(&text).unwrap();
    let app = site.app.unwrap();
    assert_eq!((app.memory, app.concurrency), (Some(Bytes(512 << 20)), Some(8)));
    assert_eq!(site.source.build.unwrap().len(), 2);
    assert_eq!(site.deploy.migrate.unwrap().words(), ["python3", "migrate.py"]);
    assert!(site.deploy.before_deploy.is_some() && site.deploy.after_deploy.is_some());
    assert_eq!(site.add_host.unwrap().words().len(), 5);
    let limits = site.database.unwrap().splitter.rules.limits;
    assert_eq!((limits.rows, limits.concurrency), (Some(100_000), Some(50)));
    assert!(limits.time.is_some());
    assert_eq!(commented.len(), 10);
}

#[test]
fn other_kinds_have_other_defaults() {
    let site =
        |kind: &str| read(&SMALLEST.replace("run = \"gunicorn app:app --bind $HOST:$PORT\"", kind)).unwrap();
    let php = site("kind = \"php\"");
    assert_eq!(php.app.as_ref().map(|app| (app.kind, app.run.clone())), Some((AppKind::Php, None)));
    assert_eq!(
        php.web.files.iter().map(|(url, folder)| (url.as_str(), folder.as_str())).next(),
        Some(("/", "."))
    );
    let plain = site("kind = \"static\"");
    assert_eq!(plain.app, None);
    assert_eq!(plain.web.files.len(), 1);
}

#[test]
fn the_sites_of_the_examples_are_good() {
    for text in [
        include_str!("../../../../examples/foobar/stoa.toml"),
        include_str!("../../../../examples/plain-php/stoa.toml"),
        include_str!("../../../../examples/static-site/stoa.toml"),
    ] {
        read(text).unwrap();
    }
}

#[test]
fn a_site_survives_the_store() {
    let site = read(EXAMPLE).unwrap();
    let stored = serde_json::to_string(&site).unwrap();
    assert_eq!(serde_json::from_str::<Site>(&stored).unwrap(), site);
}

/// Replaces, drops and doubles pieces of the example; whatever comes of it, it is answered.
#[test]
fn a_mutilated_example_is_answered() {
    let pieces =
        ["", "\"", "[", "]", "{", "}", "=", "\n", "\0", "ü", "..", "$", "-1", "99999999999999999999", "'"];
    let places: Vec<usize> = EXAMPLE.char_indices().map(|(at, _)| at).collect();
    for (round, &at) in places.iter().enumerate().step_by(7) {
        let end = places.get(round + 1 + round % 11).copied().unwrap_or(EXAMPLE.len());
        let piece = pieces[round % pieces.len()];
        let text = format!("{}{piece}{}", &EXAMPLE[..at], &EXAMPLE[end..]);
        check_answer(&text);
    }
}

/// Either a site or at least one error whose every part is usable.
fn check_answer(text: &str) {
    if let Err(errors) = read(text) {
        assert!(!errors.is_empty());
        for error in errors {
            assert!(!error.reason.is_empty() && !error.fix.is_empty(), "{error:?}");
            let (line, column) = error.place(text);
            assert!(line >= 1 && column >= 1 && line <= text.lines().count() + 1, "{error:?}");
            assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        check_answer(&text);
    }

    #[test]
    fn any_value_is_answered(
        key in prop::sample::select(documented()),
        value in "[ -~ü\\n]{0,40}",
        quoted in any::<bool>(),
    ) {
        let (table, name) = key.0.rsplit_once('.').unwrap();
        let value = if quoted { format!("{value:?}") } else { value };
        let text = SMALLEST.replace(&format!("[{table}]\n"), &format!("[{table}]\n{name} = {value}\n"));
        check_answer(&text);
        check_answer(&format!("[{table}]\n{name} = {value}\n"));
    }

    #[test]
    fn words_that_are_quoted_come_back(words in prop::collection::vec("[a-z &|;<>()~#*=-]{1,8}", 1..6)) {
        let text = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let command = crate::site::CommandLine::parse(&text);
        prop_assume!(!words[0].contains('='));
        let command = command.unwrap();
        prop_assert_eq!(command.words(), words.as_slice());
    }

    #[test]
    fn what_becomes_a_name_is_harmless(text in "[ -~ü\\n\\t]{0,20}") {
        let harmless = |text: &str| !text.contains([' ', ';', '{', '}', '"', '\'', '\\', '\n', '$', '`', '#', '*']);
        if let Ok(domain) = crate::site::Domain::parse(&text) {
            prop_assert!(harmless(domain.as_str()));
        }
        if let Ok(path) = crate::site::UrlPath::parse(&text) {
            prop_assert!(harmless(path.as_str()) && !path.as_str().contains(".."));
        }
        if let Ok(path) = crate::site::InnerPath::parse(&text) {
            prop_assert!(harmless(path.as_str()) && !path.as_str().starts_with(['/', '-']));
        }
        if let Ok(SourceLocation::Url(url)) = location(&text, Path::new("/srv")) {
            prop_assert!(harmless(&url) && !url.starts_with('-'));
        }
    }
}
