use super::doctor::{Row, Verdict};
use super::progress::{self, Clock};
use super::samples::{
    canary, coming_up, crash_loop, deploying, failed_build, newer, release, scaling, settled, taken_back,
    waiting, watched,
};
use super::{deployment, doctor, events, plan, preview, releases, secrets, status, units};
use crate::api::types::{DeployPreview, ReleaseStanding, ReleaseStatus, SecretStatus};
use crate::cli::style::Style;
use crate::cli::typed::Typed;
use insta::assert_snapshot;
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::journal::{Entry, Kind};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, DeployNumber, HostId, InstanceId, Millis, Plan, Roster, Routes, Step, Term, Tier};
use unicode_width::UnicodeWidthStr;

const SIGNS: Style = Style { color: false, unicode: true };

fn shown(sample: &crate::api::types::Status) -> String {
    status::status(sample, SIGNS, 80, &Typed::plain())
}

#[test]
fn a_status_tells_at_once_how_the_site_stands() {
    assert_snapshot!("status_settled", shown(&settled()));
    assert_snapshot!("status_coming_up", shown(&coming_up()));
    assert_snapshot!("status_crash_loop", shown(&crash_loop()));
    assert_snapshot!("status_failed_build", shown(&failed_build()));
    assert_snapshot!("status_ascii", status::status(&crash_loop(), Style::PLAIN, 80, &Typed::plain()));
}

#[test]
fn a_status_fits_80_columns_and_never_passes_on_control_characters() {
    let back = deploying(Phase::Back("app-3 ended: \u{1b}[31mexit status 3".to_owned()), "");
    let deployments = [canary(), watched(), taken_back(), back, scaling()];
    for sample in [settled(), coming_up(), crash_loop(), failed_build()].into_iter().chain(deployments) {
        for line in shown(&sample).lines() {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}

#[test]
fn a_block_has_a_line_per_tier_that_never_wraps() {
    let clock = Clock { since: Millis(12_340), building: Some(Millis(8_000)) };
    for (name, sample) in [
        ("block_coming_up", coming_up()),
        ("block_crash_loop", crash_loop()),
        ("block_failed_build", failed_build()),
        ("block_canary", canary()),
        ("block_watched", watched()),
    ] {
        let lines = progress::block(&sample, clock, SIGNS, 80);
        assert!(lines.iter().all(|line| line.width() <= 80), "{lines:#?}");
        assert_snapshot!(name, lines.join("\n"));
    }
}

#[test]
fn news_are_told_once() {
    let since = Millis(2_000);
    let first = progress::news(None, &coming_up(), since, Style::PLAIN);
    assert_snapshot!("news_first", first.join("\n"));
    assert!(progress::news(Some(&coming_up()), &coming_up(), since, Style::PLAIN).is_empty());
    let then = progress::news(Some(&coming_up()), &settled(), since, Style::PLAIN);
    assert_snapshot!("news_then", then.join("\n"));
    let trouble = progress::news(Some(&settled()), &crash_loop(), since, Style::PLAIN);
    assert_snapshot!("news_trouble", trouble.join("\n"));
}

#[test]
fn the_last_picture_says_where_the_site_is_and_what_to_type() {
    let next = [("stoa status".to_owned(), "how it stands"), ("stoa down".to_owned(), "stop it")];
    assert_snapshot!("arrival", progress::arrival(&settled(), Millis(9_870), SIGNS, &next));
}

#[test]
fn a_plan_is_grouped_by_tier_and_says_why() {
    let step = |action, because: &str| Step { host: HostId::local(), action, because: because.to_owned() };
    let instance = |tier, number| InstanceId::new(tier, number);
    let full = Plan {
        roster: Roster::default(),
        routes: Routes::default(),
        steps: vec![
            step(
                Action::Stop { instance: instance(Tier::Web, 2), grace: Millis(1) },
                "web is to have 1 instance",
            ),
            step(
                Action::Publish { releases: vec![release()] },
                "no static files are served yet, and 3-3fa9c21 is built",
            ),
            step(
                Action::Promote { instance: instance(Tier::Database, 1), term: Term(1), wait: true },
                "database-1 is the primary of term 1, answers, and nobody else may be writable; so it may take writes",
            ),
        ],
        waiting: vec![waiting("app", "the primary takes writes", WaitKind::Progress)],
    };
    assert_snapshot!("plan", plan::plan(&full, "foobar", SIGNS, 80));
    let none = Plan { steps: Vec::new(), waiting: Vec::new(), ..full };
    assert_snapshot!("plan_settled", plan::plan(&none, "foobar", SIGNS, 80));
}

#[test]
fn the_doctor_shows_what_is_missing_and_the_line_that_installs_it() {
    let row = |what: &str, verdict, text: &str, why: &str| Row {
        what: what.to_owned(),
        verdict,
        text: text.to_owned(),
        why: why.to_owned(),
    };
    let rows = [
        row("nginx", Verdict::Missing, "missing; package nginx", "the web tier"),
        row("mariadbd", Verdict::Good, "10.11.14  /usr/sbin/mariadbd", "the database"),
        row(
            "0.0.0.0:8080",
            Verdict::Missing,
            "taken by apache2 (pid 812); stop it, or set [balancer] listen",
            "where visitors connect",
        ),
        row(
            "user",
            Verdict::Note,
            "not root: every tier runs as you; packages need sudo",
            "rights of the tiers",
        ),
    ];
    let line = "sudo apt-get install -y --no-install-recommends nginx";
    assert_snapshot!("doctor", doctor::doctor(Some("foobar"), &rows, Some(line), SIGNS, 80, &Typed::plain()));
    assert_snapshot!("doctor_well", doctor::doctor(None, &rows[1..2], None, SIGNS, 80, &Typed::plain()));
}

#[test]
fn an_event_is_one_line() {
    let entry = Entry {
        number: 7,
        at_unix_ms: 1_795_416_590_123,
        kind: Kind::Seen,
        subject: "app-2".to_owned(),
        text: "ended: exit status 3".to_owned(),
        because: "ModuleNotFoundError:\n No module\u{7}".to_owned(),
    };
    assert_snapshot!(events::entry(&entry, Style::PLAIN), @"2026-11-23 06:49:50Z seen    app-2        ended: exit status 3 (ModuleNotFoundError: No module)");
}

#[test]
fn numbers_are_taken_in_at_a_glance() {
    let spans = [0, 59_999, 60_000, 3_599_000, 7_500_000, 90_000_000].map(|ms| units::span(Millis(ms)));
    assert_eq!(spans, ["0s", "59s", "1m 0s", "59m 59s", "2h 5m", "1d 1h"]);
    let sizes = [0, 1 << 19, 118 << 20, 3 << 29].map(units::bytes);
    assert_eq!(sizes, ["0 KB", "512 KB", "118 MB", "1.5 GB"]);
    assert_eq!([0.0, 0.42, 9.96, 1540.2].map(units::rate), ["0", "0.4", "10.0", "1540"]);
    let times = [0, 951_782_400_000, 1_709_210_096_000, 4_102_444_799_000].map(units::utc);
    assert_eq!(
        times,
        ["1970-01-01 00:00:00", "2000-02-29 00:00:00", "2024-02-29 12:34:56", "2099-12-31 23:59:59"]
    );
}

#[test]
fn a_deployment_is_told_while_it_is_under_way_watched_or_failed_lately() {
    assert_snapshot!("status_canary", shown(&canary()));
    assert_snapshot!("status_canary_ascii", status::status(&canary(), Style::PLAIN, 80, &Typed::plain()));
    assert_snapshot!("status_watched", shown(&watched()));
    assert_snapshot!("status_taken_back", shown(&taken_back()));
    let mut long_ago = taken_back();
    assert!(deployment::notable(&long_ago).is_some());
    if let Some(deployment) = &mut long_ago.deployment {
        deployment.age = Millis::from_secs(90_000);
    }
    assert!(deployment::notable(&long_ago).is_none());
    assert!(deployment::notable(&deploying(Phase::Done, "")).is_none());
    assert!(deployment::under_way(&taken_back()).is_none());
}

#[test]
fn a_status_tells_what_decides_a_count_and_which_environment_it_is() {
    assert_snapshot!("status_scaling", shown(&scaling()));
    let mut staging = settled();
    staging.environment = "staging".parse().unwrap();
    assert!(shown(&staging).contains("foobar@staging is serving"), "{}", shown(&staging));
    let next = [("stoa -e staging status".to_owned(), "how it stands")];
    let arrival = progress::arrival(&staging, Millis(1), SIGNS, &next);
    assert!(arrival.contains("foobar@staging is serving"), "{arrival}");
}

#[test]
fn a_deployment_is_news_when_it_does_something_else_and_not_when_a_figure_moves() {
    let news = |before: &_, now: &_| progress::news(Some(before), now, Millis(2_000), Style::PLAIN);
    let prepare = |text: &str| deploying(Phase::Prepare, text);
    assert_snapshot!(
        "news_deploying",
        [
            news(&settled(), &prepare("it is built (3 s so far)")),
            news(&prepare("it is built (3 s so far)"), &prepare("it is built (4 s so far)")),
            news(&prepare("it is built (4 s so far)"), &prepare("`migrate` runs (1 s so far)")),
            news(&prepare(""), &canary()),
            news(&canary(), &watched()),
        ]
        .concat()
        .join("\n")
    );
}

#[test]
fn releases_are_a_table_the_newest_first() {
    let now = 1_795_416_590_123;
    let one =
        |release: stoa_model::ReleaseId, state, ago: Option<u64>, kind, failed: Option<&str>| ReleaseStatus {
            release,
            state,
            number: ago.map(DeployNumber),
            kind,
            by: if ago.is_some() { "anna@laptop".to_owned() } else { String::new() },
            at_unix_ms: ago.map(|ago| now - ago * 1000),
            reference: if ago.is_some() {
                "feature/a-long-name-of-a-branch".to_owned()
            } else {
                String::new()
            },
            failed: failed.map(str::to_owned),
        };
    let id = |number, commit| stoa_model::ReleaseId::new(number, commit).unwrap();
    let why = "12 of 240 answers (5.0 %) of the new release failed, of the old one 3 of 4800 (0.1 %) at the same time";
    let all = [
        one(id(12, "9f8e7d6"), ReleaseStanding::Failed, Some(30), Some(DeployKind::Promote), Some(why)),
        one(newer(), ReleaseStanding::Live, Some(200), Some(DeployKind::Rollback), None),
        one(release(), ReleaseStanding::Built, Some(9_000), Some(DeployKind::Deploy), None),
        one(id(2, "0123456"), ReleaseStanding::Removed, None, None, None),
    ];
    let text = releases::releases(&all, now, SIGNS, 80);
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    assert_snapshot!("releases", text);
}

#[test]
fn secrets_are_names_and_what_is_missing() {
    let one = |name: &str, set, used| SecretStatus {
        name: stoa_model::config::secret_name(name).unwrap(),
        set,
        used,
    };
    let all = [one("STRIPE_KEY", true, true), one("OLD_KEY", true, false), one("MAIL_PASSWORD", false, true)];
    assert_snapshot!("secrets", secrets::secrets(&all, SIGNS, &Typed::plain()));
    assert_snapshot!("secrets_none", secrets::secrets(&[], SIGNS, &Typed::plain()));
}

#[test]
fn a_dry_run_tells_the_steps_in_order() {
    let steps = [
        "release 4-1a2b3c4 is built",
        "`python3 migrate.py` runs once, for at most 10 min 0 s; where it fails, nothing is changed",
        "5 % of the requests go to the new release for at least 60 s, then 25 %, then 50 %",
    ];
    let mut told = DeployPreview {
        from: Some(release()),
        to: newer(),
        built: false,
        steps: steps.map(str::to_owned).to_vec(),
        warnings: Vec::new(),
    };
    assert_snapshot!("dry_run", preview::preview(&told, "foobar@staging", SIGNS, 80));
    (told.from, told.built, told.steps) = (Some(newer()), true, Vec::new());
    assert_snapshot!("dry_run_nothing", preview::preview(&told, "foobar", SIGNS, 80));
}
