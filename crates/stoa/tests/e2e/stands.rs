//! The site stands: what a new user sees when all is well.

use crate::load::{fetch, get};
use crate::site::{TestSite, text};
use serde_json::Value;
use std::time::Duration;

#[test]
fn up_brings_a_site_and_down_leaves_nothing() {
    let site = TestSite::python("");
    let printed = site.ok(&["up", "--yes"]);
    assert!(printed.contains(&format!("http://localhost:{}", site.address.port())), "{printed}");

    let page = get(site.address, "localhost", "/").expect("an answer");
    assert_eq!((page.status, page.body.starts_with("hello from app-")), (200, true), "{page:?}");
    assert!(page.header("x-request-id").is_some(), "{page:?}");
    let css = get(site.address, "www.example.com", "/static/site.css").expect("an answer");
    assert_eq!((css.status, css.header("content-type")), (200, Some("text/css; charset=utf-8")), "{css:?}");
    let stranger = get(site.address, "other.example.org", "/").expect("an answer");
    assert_eq!(stranger.status, 421, "{stranger:?}");

    let again = site.ok(&["plan"]);
    assert!(again.contains("Nothing to do"), "{again}");
    site.ok(&["up", "--yes"]);
    let status = site.status();
    assert_eq!(status["settled"], true, "{status}");

    site.ok(&["down", "--yes"]);
    site.wait("no process is left", Duration::from_secs(10), || site.processes().is_empty());
    let gone = site.fails(&["status"], 1);
    assert!(gone.contains("stoa up"), "{gone}");
}

#[test]
fn the_client_address_cannot_be_forged() {
    let site = TestSite::python("");
    site.ok(&["up", "--yes"]);
    let request = "GET /headers HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                   X-Real-IP: 6.6.6.6\r\nX-Request-Id: forged\r\nConnection: close, X-Forwarded-For\r\n\r\n";
    let answer = fetch(site.address, request).expect("an answer");
    let headers: Value = serde_json::from_str(&answer.body).expect("JSON");
    let all = headers.to_string();
    assert!(!all.contains("6.6.6.6") && !all.contains("forged"), "{all}");
    assert_eq!(headers["X-Forwarded-For"], "127.0.0.1", "{all}");
    assert_eq!(headers["X-Forwarded-Proto"], "http", "{all}");
    assert_eq!(headers["Host"], "localhost", "{all}");
}

#[test]
fn an_app_is_given_its_environment_and_a_command_too() {
    let site = TestSite::python(
        "env = { GREETING = \"hello\" }\n[database]\nreplicas = 0\n[cache]\n"
            .replacen("env = { GREETING = \"hello\" }\n", "", 1)
            .as_str(),
    );
    site.ok(&["up", "--yes"]);
    let answer = get(site.address, "localhost", "/environment").expect("an answer");
    let environment: Value = serde_json::from_str(&answer.body).expect("JSON");
    for name in [
        "HOST",
        "PORT",
        "DATABASE_URL",
        "CACHE_URL",
        "REDIS_URL",
        "STOA_SITE",
        "STOA_RELEASE",
        "STOA_INSTANCE",
    ] {
        assert!(environment[name].is_string(), "{name} is missing: {environment}");
    }
    assert!(
        environment["DATABASE_URL"].as_str().is_some_and(|url| url.starts_with("mysql://")),
        "{environment}"
    );
    let ran = site.stoa(&["run", "--", "python3", "-c", "import os; print(os.environ['DATABASE_URL'])"]);
    assert_eq!(text(&ran.stdout).trim(), environment["DATABASE_URL"].as_str().unwrap_or_default(), "{ran:?}");
    // The secrets are in the environment and nowhere that others can read.
    for page in
        [site.ok(&["status", "--json"]), site.ok(&["events", "-n", "1000"]), site.ok(&["plan", "--json"])]
    {
        let password = environment["DATABASE_URL"].as_str().and_then(|url| url.split([':', '@']).nth(2));
        assert!(!page.contains(password.expect("a password")), "a password is in:\n{page}");
    }
}

#[test]
fn a_plain_php_site_stands() {
    let site = TestSite::example("plain-php");
    site.ok(&["up", "--yes"]);
    let page = get(site.address, "localhost", "/").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("<html"), "{page:?}");
}

#[test]
fn a_static_site_stands() {
    let site = TestSite::example("static-site");
    site.ok(&["up", "--yes"]);
    let page = get(site.address, "localhost", "/").expect("an answer");
    assert_eq!(
        (page.status, page.header("content-type").is_some_and(|t| t.starts_with("text/html"))),
        (200, true),
        "{page:?}"
    );
    assert_eq!(get(site.address, "localhost", "/nothing-here").expect("an answer").status, 404);
    assert!(get(site.address, "localhost", "/.git/config").expect("an answer").status == 404);
}
