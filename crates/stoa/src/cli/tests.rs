use super::args::{Db, LogTarget, ReleaseName, Secrets};
use super::config_report::ConfigReport;
use super::locate::FILE;
use super::style::{Style, harmless};
use super::typed::{Typed, word};
use super::*;
use clap::Parser;
use std::path::{Path, PathBuf};
use stoa_model::{InstanceId, Tier, config};

const SIGNS: Style = Style { color: false, unicode: true };

fn refused(line: &str) -> Failure {
    let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    match parse(&arguments, true, true) {
        Err(failure) => failure,
        Ok(_) => panic!("{line} was taken"),
    }
}

#[test]
fn the_arguments_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_an_example() {
    for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("stoa {}", verb.get_name())), "{}", verb.get_name());
        assert!(verb.get_about().is_some_and(|about| about.to_string().len() < 72), "{}", verb.get_name());
    }
}

#[test]
fn what_is_typed_is_understood() {
    let verb = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{e}")).verb;
    assert!(matches!(verb("stoa scale app=4"), Verb::Scale(scale) if scale.count == (Tier::App, 4)));
    let id = InstanceId::new(Tier::Web, 2);
    assert!(matches!(verb("stoa logs -f web-2 -n 5"), Verb::Logs(logs)
        if logs.follow && logs.lines == Some(5) && logs.target == Some(LogTarget::Instance(id))));
    assert!(matches!(verb("stoa run -- ls --json -x"), Verb::Run(run) if run.command.len() == 3));
    assert!(matches!(verb("stoa run ls -x"), Verb::Run(run) if run.command.len() == 2));
    assert!(
        matches!(verb("stoa rollback 7"), Verb::Rollback(to) if to.release == Some(ReleaseName::Number(7)))
    );
    assert!(matches!(verb("stoa rollback 7-3fa9c21"), Verb::Rollback(to)
        if matches!(to.release, Some(ReleaseName::Whole(_)))));
    assert!(matches!(verb("stoa logs deploy"), Verb::Logs(logs) if logs.target == Some(LogTarget::Deploy)));
    assert!(matches!(verb("stoa secrets set A b -e staging"), Verb::Secrets(Secrets::Set(words))
        if words.more.len() == 1 && !format!("{words:?}").contains('b')));
    let to = InstanceId::new(Tier::Database, 2);
    assert!(
        matches!(verb("stoa db switchover database-2"), Verb::Db(Db::Switchover(how)) if how.to == Some(to))
    );
    assert!(matches!(verb("stoa db shell database-2 -- -e x"), Verb::Db(Db::Shell(how))
        if how.server == Some(to) && how.arguments.len() == 2));
    assert!(matches!(verb("stoa db top"), Verb::Db(Db::Top(_))));
    assert!(matches!(verb("stoa daemon --kept --state /x"), Verb::Daemon { kept: true }));
    let cli =
        Cli::try_parse_from(["stoa", "up", "examples/foobar", "--yes", "--state", "/x", "--json"]).unwrap();
    assert!(cli.global.json && cli.global.state.is_some());
}

#[test]
fn help_names_the_verbs_in_the_order_of_their_use() {
    let help = |verbs: &[&str]| {
        let mut command = Cli::command().color(ColorChoice::Never).term_width(100);
        command.build();
        let found = verbs.iter().try_fold(&mut command, |command, verb| command.find_subcommand_mut(verb));
        found.unwrap().render_help().to_string()
    };
    insta::assert_snapshot!("help", help(&[]));
    let told =
        [&["deploy"][..], &["rollback"], &["releases"], &["promote"], &["secrets"], &["secrets", "set"]];
    insta::assert_snapshot!("help_of_verbs", told.map(help).join("\n---\n"));
}

#[test]
fn wrong_arguments_say_what_why_and_what_next() {
    let lines = [
        "stoa stats",
        "stoa scale app",
        "stoa scale app=0",
        "stoa scale app=many",
        "stoa scale database=3",
        "stoa restart app-1",
        "stoa logs foo",
        "stoa run",
        "stoa up --yess",
        "stoa --json",
        "stoa -e Staging! up",
        "stoa promote",
        "stoa promote Production!",
        "stoa rollback v1.4",
        "stoa deploy --dry-run --watch",
        "stoa secrets set",
        "stoa secrets STRIPE_KEY=hunter2",
        "stoa secrets set -x-hunter2",
        "stoa secrets set STRIPE_KEY --value=hunter2",
        "stoa --json secrets unset A hunter2 --hunter2",
    ];
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let failure = refused(line);
            assert_eq!(failure.code, 2, "{line}");
            assert!(
                !failure.problem.what.is_empty() && !failure.problem.next.is_empty(),
                "{line}: {failure:?}"
            );
            format!("$ {line}\n{}", failure.text(Style::PLAIN))
        })
        .collect();
    assert!(!told.iter().any(|told| told.lines().skip(1).any(|line| line.contains("hunter2"))), "{told:#?}");
    insta::assert_snapshot!("usage", told.join("\n"));
}

#[test]
fn all_mistakes_of_a_file_are_shown_with_their_places() {
    let text = "[site]\nname = \"My Shop\"\ndomian = \"shop.example\"\n\n[app]\nrun = \"gunicorn app:app\"\ninstances = 0\n";
    let errors = config::parse(text, Path::new("/srv/shop")).unwrap_err();
    let report = ConfigReport::new(Path::new("/srv/shop/stoa.toml"), text, errors);
    insta::assert_snapshot!("config_errors", report.text(SIGNS));
    insta::assert_snapshot!("config_errors_ascii", report.text(Style::PLAIN));
    let json = Failure::config(report).json();
    insta::assert_snapshot!("config_errors_json", serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn failures_read_well() {
    let failure = Failure::failed(
        "app-2 ended 3 times in a row",
        "exit status 3\nThe rest is left as it is.",
        "see more: stoa logs app-2\nthen: stoa up",
    )
    .with_lines(vec!["Traceback:".to_owned(), "  ImportError".to_owned()]);
    insta::assert_snapshot!("failure", failure.text(SIGNS));
    let socket = PathBuf::from("/run/x.sock");
    let errors = [
        crate::client::ClientError::NotRunning { socket: socket.clone() },
        crate::client::ClientError::Forbidden { socket },
        crate::client::ClientError::Silent {
            call: "GET /v1/status".to_owned(),
            limit: stoa_model::Millis::from_secs(10),
        },
    ];
    let told: Vec<String> =
        errors.into_iter().map(|error| Failure::client(error, &Typed::plain()).text(Style::PLAIN)).collect();
    insta::assert_snapshot!("client_failures", told.join("\n"));
}

/// A folder with a site in it, and a place to stand.
fn place(folder: &Path) -> Place {
    let (current, home) = (folder.to_path_buf(), folder.join("home").into_os_string());
    Place { current, root: false, state_home: None, home: Some(home) }
}

fn write_site(folder: &Path, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(FILE), text).unwrap();
}

const GOOD: &str = "[site]\nname = \"shop\"\ndomain = \"shop.example\"\n[app]\nkind = \"static\"\n";

#[test]
fn a_site_is_found_from_a_folder_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root.join("shop"), GOOD);
    let deep = root.join("shop/a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let mut place = place(&root);
    place.current = deep;
    let loaded = place.load(&Global::default(), None).unwrap();
    assert_eq!(loaded.file, root.join("shop").join(FILE));
    assert_eq!(loaded.paths.root(), root.join("home/.local/state/stoa/shop"));
    place.current = root.clone();
    assert_eq!(place.load(&Global::default(), Some(Path::new("shop"))).unwrap().file, loaded.file);
    let named =
        Global { config: Some("shop/stoa.toml".into()), state: Some("st".into()), ..Global::default() };
    let named = place.load(&named, None).unwrap();
    assert_eq!((named.file, named.paths.root()), (loaded.file, root.join("st").as_path()));
}

#[test]
fn the_state_folder_follows_user_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root, GOOD);
    let state =
        |place: &Place| place.load(&Global::default(), None).map(|loaded| loaded.paths.root().to_owned());
    let mut place = place(&root);
    place.state_home = Some("/x/state".into());
    assert_eq!(state(&place).unwrap(), Path::new("/x/state/stoa/shop"));
    place.state_home = Some("relative".into());
    assert_eq!(state(&place).unwrap(), root.join("home/.local/state/stoa/shop"));
    place.home = None;
    assert_eq!(state(&place).unwrap_err().code, 2);
    place.root = true;
    assert_eq!(state(&place).unwrap(), Path::new("/var/lib/stoa/shop"));
}

#[test]
fn a_state_folder_too_deep_for_sockets_is_refused_with_its_length() {
    let folder = tempfile::tempdir().unwrap();
    write_site(folder.path(), GOOD);
    let place = place(folder.path());
    for (length, fits) in [(82, true), (83, false)] {
        let state = Some(PathBuf::from(format!("/{}", "a".repeat(length - 1))));
        let result = place.load(&Global { state, ..Global::default() }, None);
        assert_eq!(result.is_ok(), fits, "{length}");
        if let Err(failure) = result {
            assert_eq!(failure.code, 2);
            let text = failure.text(Style::PLAIN);
            assert!(text.contains("83 bytes") && text.contains("82") && text.contains("--state"), "{text}");
        }
    }
}

#[test]
fn a_site_with_mistakes_in_its_file_can_still_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    write_site(folder.path(), &GOOD.replace("static", "no such kind"));
    let place = place(folder.path());
    assert_eq!(place.load(&Global::default(), None).unwrap_err().code, 2);
    let located = place.locate(&Global::default(), None).unwrap();
    assert_eq!(located.name.unwrap().to_string(), "shop");
    write_site(folder.path(), &GOOD.replace("shop", "x; } server {"));
    assert_eq!(place.locate(&Global::default(), None).unwrap_err().code, 2);
}

#[test]
fn the_only_site_of_a_machine_needs_no_name_and_one_of_two_does() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let states = folder.path().join("home/.local/state/stoa");
    let look = || place.locate(&Global::default(), None);
    assert!(look().unwrap_err().problem.next.contains("stoa init"));
    std::fs::create_dir_all(states.join("shop")).unwrap();
    assert!(look().is_err(), "an empty folder is no site");
    std::fs::write(states.join("shop/state.db"), "").unwrap();
    let found = look().unwrap();
    assert!(found.guessed && found.paths.root() == states.join("shop"));
    std::fs::create_dir_all(states.join("blog")).unwrap();
    std::fs::write(states.join("blog/state.db"), "").unwrap();
    let failure = look().unwrap_err();
    assert!(failure.problem.why.contains("blog, shop"), "{failure:?}");
}

#[test]
fn files_that_are_no_site_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let load = |path: &str| place.load(&Global::default(), Some(Path::new(path))).unwrap_err();
    std::fs::write(folder.path().join("binary"), [0xff, 0xfe, 0]).unwrap();
    std::fs::write(folder.path().join("large"), "#".repeat(config::FILE_MAX + 1)).unwrap();
    for (path, word) in
        [("nowhere", "no folder"), ("binary", "UTF-8"), ("large", "bytes"), (".", "no stoa.toml")]
    {
        let failure = if path == "nowhere" { load("nowhere/stoa.toml") } else { load(path) };
        assert!(failure.code == 2 && failure.problem.why.contains(word), "{path}: {failure:?}");
    }
}

#[test]
fn what_to_type_next_works_where_the_reader_stands() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root.join("my shop"), GOOD);
    let mut place = place(&root);
    let typed = |place: &Place, global: &Global, folder: Option<&str>| {
        let located = place.locate(global, folder.map(Path::new)).unwrap();
        let typed = Typed::new(place, global, &located.environment, &located.paths, located.file.as_deref());
        let rest = |line: String| line.split_once(' ').unwrap().1.to_owned();
        (rest(typed.line("status")), rest(typed.folder_line("up")))
    };
    let told = |status: &str, up: &str| (status.to_owned(), up.to_owned());
    let global = Global::default();
    let first = typed(&place, &global, Some("my shop"));
    assert_eq!(first, told("status --config 'my shop'", "up 'my shop'"));
    // Its state can be found now, its file cannot.
    let state = root.join("home/.local/state/stoa/shop");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("state.db"), "").unwrap();
    assert_eq!(typed(&place, &global, Some("my shop")), told("status", "up 'my shop'"));
    assert_eq!(typed(&place, &global, None), told("status", "up DIR"));
    let given = Global { state: Some("st".into()), ..Global::default() };
    assert_eq!(typed(&place, &given, Some("my shop")), told("status --state st", "up 'my shop' --state st"));
    place.current = root.join("my shop");
    assert_eq!(typed(&place, &global, None), told("status", "up"));
}

#[test]
fn words_are_quoted_for_a_shell_only_where_needed() {
    for (plain, quoted) in [
        ("examples/foobar", "examples/foobar"),
        ("my site", "'my site'"),
        ("a'b", r"'a'\''b'"),
        ("", "''"),
        ("$(x)", "'$(x)'"),
    ] {
        assert_eq!(word(plain), quoted);
    }
}

#[test]
fn foreign_text_cannot_steer_the_terminal() {
    assert_eq!(harmless("a\u{1b}[2Jb\u{1b}]0;x\u{7}c\td\u{9b}31m\r"), "ab]0;xc\td31m");
    assert_eq!(harmless("\u{1b}[31mred\u{1b}[0m"), "red");
    assert_eq!(harmless("\u{1b}["), "");
}

#[test]
fn text_is_cut_to_columns_not_letters() {
    assert_eq!(SIGNS.fit("grüße", 5), "grüße");
    assert_eq!(SIGNS.fit("日本語日本語", 7), "日本語…");
    assert_eq!(Style::PLAIN.fit("abcdefgh", 6), "abc...");
}

#[test]
fn signs_and_colours_follow_the_environment() {
    let style = |terminal, no_color, variables: &[(&str, &str)]| {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(k, v)| ((*k).to_owned(), v.into())).collect();
        Style::of(terminal, no_color, move |name| {
            variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
        })
    };
    assert_eq!(style(true, false, &[("LANG", "en_US.UTF-8")]), Style { color: true, unicode: true });
    assert_eq!(
        style(true, false, &[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]),
        Style { color: true, unicode: false }
    );
    assert_eq!(
        style(true, false, &[("LC_ALL", ""), ("LANG", "C.utf8")]),
        Style { color: true, unicode: true }
    );
    assert!(!style(true, false, &[("NO_COLOR", "1")]).color);
    assert!(style(true, false, &[("NO_COLOR", "")]).color);
    assert!(!style(true, false, &[("TERM", "dumb")]).color);
    assert!(!style(false, false, &[]).color && !style(true, true, &[]).color);
}

const STAGED: &str = "\n[environments.staging]\n[environments.trial]\n";

fn of(environment: &str) -> Global {
    Global { environment: Some(environment.parse().unwrap()), ..Global::default() }
}

#[test]
fn an_environment_has_its_own_site_and_a_state_beside_productions() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root, &format!("{GOOD}{STAGED}"));
    let place = place(&root);
    let states = root.join("home/.local/state/stoa");
    let loaded = place.load(&of("staging"), None).unwrap();
    assert_eq!(loaded.site.environment.to_string(), "staging");
    assert_eq!(loaded.paths.root(), states.join("shop@staging"));
    assert_eq!(place.load(&of("production"), None).unwrap().paths.root(), states.join("shop"));
    assert_eq!(place.load(&Global::default(), None).unwrap().paths.root(), states.join("shop"));
    let located = place.locate(&of("staging"), None).unwrap();
    assert_eq!(located.paths, loaded.paths);
    assert_eq!(located.beside(&Default::default()).root(), states.join("shop"));
    for asked in ["stagin", "other"] {
        let failure = place.load(&of(asked), None).unwrap_err();
        let told = failure.text(Style::PLAIN);
        assert!(failure.code == 2 && told.contains("staging"), "{told}");
        let told = place.locate(&of(asked), None).unwrap_err().text(Style::PLAIN);
        assert!(told.contains("no environment") && told.contains("production and staging, trial"), "{told}");
    }
    // One that is no longer in the file can still be looked at, and destroyed.
    std::fs::create_dir_all(states.join("shop@other")).unwrap();
    assert!(place.locate(&of("other"), None).is_ok());
}

#[test]
fn a_given_state_folder_is_productions_unless_it_is_named_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root, &format!("{GOOD}{STAGED}"));
    let place = place(&root);
    let look = |environment: Option<&str>, state: &str| {
        let global = Global { state: Some(state.into()), ..environment.map_or_else(Global::default, of) };
        let located = place.locate(&global, None)?;
        let loaded = place.load(&global, None)?;
        assert_eq!((&loaded.paths, &loaded.site.environment), (&located.paths, &located.environment));
        Outcome::Ok((
            located.paths.root().strip_prefix(&root).unwrap().to_owned(),
            located.environment.to_string(),
        ))
    };
    let told = |path: &str, environment: &str| (PathBuf::from(path), environment.to_owned());
    assert_eq!(look(None, "st").unwrap(), told("st", "production"));
    assert_eq!(look(Some("staging"), "st").unwrap(), told("st@staging", "staging"));
    assert_eq!(look(None, "st@staging").unwrap(), told("st@staging", "staging"));
    assert_eq!(look(Some("staging"), "st@staging").unwrap(), told("st@staging", "staging"));
    for environment in ["trial", "production"] {
        let failure = look(Some(environment), "st@staging").unwrap_err();
        assert!(failure.code == 2 && failure.problem.what.contains("staging"), "{failure:?}");
    }
}

#[test]
fn without_a_file_production_is_meant_where_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let states = folder.path().join("home/.local/state/stoa");
    let make = |name: &str| {
        std::fs::create_dir_all(states.join(name)).unwrap();
        std::fs::write(states.join(name).join("state.db"), "").unwrap();
    };
    let look = |global: &Global| {
        let located = place.locate(global, None)?;
        Outcome::Ok((located.guessed, located.paths.root().strip_prefix(&states).unwrap().to_owned()))
    };
    let found = |name: &str| (true, PathBuf::from(name));
    make("shop@staging");
    assert_eq!(look(&Global::default()).unwrap(), found("shop@staging"), "nothing else is there");
    make("shop");
    assert_eq!(look(&Global::default()).unwrap(), found("shop"));
    assert_eq!(look(&of("staging")).unwrap(), found("shop@staging"));
    assert!(look(&of("trial")).unwrap_err().problem.why.contains("shop, shop@staging"));
    make("blog@staging");
    assert_eq!(look(&Global::default()).unwrap(), found("shop"));
    let failure = look(&of("staging")).unwrap_err();
    assert!(failure.problem.why.contains("blog@staging, shop, shop@staging"), "{failure:?}");
    let others = place.locate(&Global::default(), None).unwrap().others();
    assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["staging"]);
    assert!(place.locate(&of("staging"), None).is_err());
    let given = Global { state: Some(states.join("shop@staging")), ..Global::default() };
    let others = place.locate(&given, None).unwrap().others();
    assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["production"]);
}

#[test]
fn what_to_type_next_keeps_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    write_site(&root, &format!("{GOOD}{STAGED}"));
    let place = place(&root);
    let typed = |global: &Global| {
        let located = place.locate(global, None).unwrap();
        Typed::new(&place, global, &located.environment, &located.paths, located.file.as_deref())
    };
    let rest = |line: String| line.split_once(' ').unwrap().1.to_owned();
    let staging = typed(&of("staging"));
    assert_eq!(rest(staging.line("status")), "-e staging status");
    assert_eq!(rest(staging.folder_line("up")), "-e staging up");
    assert_eq!(rest(staging.of_environment(&Default::default()).line("promote staging")), "promote staging");
    assert_eq!(rest(typed(&of("production")).line("status")), "status");
    let given = Global { state: Some("st".into()), ..of("staging") };
    assert_eq!(rest(typed(&given).line("logs -f")), "-e staging logs -f --state st");
}

#[test]
fn what_the_daemon_says_to_type_is_made_to_work_here() {
    let typed = Typed::plain().of_environment(&"staging".parse().unwrap());
    let program = typed.line("").split_once(" -e").unwrap().0.to_owned();
    for (said, adapted) in [
        ("type for example: stoa scale app=4", "type for example: {} scale app=4"),
        ("look: `stoa status`, or stoa logs.", "look: `{} status`, or {} logs."),
        ("(stoa up)\nthen stoa events", "({} up)\nthen {} events"),
        ("a stoa is a roof; stoa -e trial up", "a stoa is a roof; stoa -e trial up"),
    ] {
        assert_eq!(typed.adapted(said), adapted.replace("{}", &format!("{program} -e staging")));
    }
}
