//! The guestbook of the examples, with all of its tiers: what was acknowledged is there afterwards.

use crate::load::{Ask, Load, ask, connect, get};
use crate::site::TestSite;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Prints the number in each entry of the database that the variable `argv[1]` names.
const NUMBERS: &str = r#"
import os, sys
from urllib.parse import unquote, urlsplit
import pymysql
url = urlsplit(os.environ[sys.argv[1]])
database = pymysql.connect(host=url.hostname, port=url.port, user=unquote(url.username),
                           password=unquote(url.password), database=url.path[1:])
with database.cursor() as cursor:
    cursor.execute("SELECT message FROM entries WHERE name = 'load'")
    for (message,) in cursor:
        print(message)
"#;

/// The smallest picture that the application takes for one.
const PICTURE: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";

fn load(site: &TestSite) -> Load {
    let entry = Ask {
        method: "POST",
        path: "/api/entries".to_owned(),
        body: Some(r#"{"name": "load", "message": "{n}"}"#.to_owned()),
        status: 201,
    };
    let load = Load::start(site.address, "localhost", 8, &[entry]);
    assert!(load.answers(100, SOON), "no load came up\n{}", site.story());
    load
}

/// How often each number is in the database that this variable of the application names.
fn numbers(site: &TestSite, variable: &str) -> BTreeMap<u64, u32> {
    let printed = site.ok(&["run", "--", ".venv/bin/python", "-c", NUMBERS, variable]);
    let mut numbers = BTreeMap::new();
    for line in printed.lines() {
        *numbers.entry(line.parse().expect("a number")).or_default() += 1;
    }
    numbers
}

/// Every acknowledged entry is there, and none twice.
fn kept(site: &TestSite, acknowledged: &[u64]) {
    let numbers = numbers(site, "DATABASE_URL");
    let lost: Vec<_> = acknowledged.iter().filter(|number| !numbers.contains_key(number)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}\n{}", lost.len(), acknowledged.len(), site.story());
    let twice: Vec<_> = numbers.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
}

/// Signs the guestbook with a picture as a browser's form does; the path that the picture then has.
fn upload(site: &TestSite) -> String {
    let field = |name: &str, text: &str| {
        format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").into_bytes()
    };
    let file = "--edge\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"../../a b.gif\"\r\n\
                Content-Type: image/gif\r\n\r\n";
    let (name, message) = (field("name", "Ada"), field("message", "a picture"));
    let body = [&name, &message, file.as_bytes(), PICTURE, b"\r\n--edge--\r\n"].concat();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut connection = connect(site.address).expect("a connection");
    let answer = ask(&mut connection, &[head.as_bytes(), &body].concat()).expect("an answer");
    assert_eq!(answer.status, 303, "{answer:?}");
    let entries = get(site.address, "localhost", "/api/entries?from=primary&limit=1").expect("an answer");
    let entries: serde_json::Value = serde_json::from_str(&entries.body).expect("JSON");
    format!("/uploads/{}", entries["entries"][0]["picture"].as_str().expect("a picture's name"))
}

#[track_caller]
fn shows(site: &TestSite, picture: &str, release: &str) {
    let answer = get(site.address, "localhost", picture).expect("an answer");
    assert_eq!((answer.status, answer.body.as_bytes()), (200, PICTURE), "{answer:?}");
    let by = answer.header("x-app-release").unwrap_or_default();
    assert!(by.starts_with(release), "answered by {by:?}, not by {release}");
}

#[test]
fn every_acknowledged_entry_outlives_a_kill_of_everything() {
    let site = TestSite::example("foobar");
    site.ok(&["up", "--yes"]);
    let picture = upload(&site);
    shows(&site, &picture, "1-");

    let load = load(&site);
    let all: Vec<String> = site.processes().iter().map(ToString::to_string).collect();
    assert!(all.len() >= 10, "tiers, daemon and keeper: {all:?}");
    // At once: nobody is left who could mend anything in between.
    let killed = Command::new("kill").arg("-KILL").args(&all).status().expect("kill runs");
    assert!(killed.success(), "one of {all:?} was gone before");
    site.wait("nothing runs", SOON, || site.processes().is_empty());
    let tally = load.finish();
    assert!(tally.acknowledged.len() >= 100 && !tally.lost.is_empty(), "{tally:?}");

    site.ok(&["up", "--yes"]);
    kept(&site, &tally.acknowledged);
    let page = get(site.address, "localhost", "/").expect("an answer");
    assert_eq!(page.status, 200, "{page:?}");
    shows(&site, &picture, "1-");
    let second = upload(&site);

    let text = std::fs::read_to_string(site.source().join("cache.py")).expect("a file of the code");
    site.write("cache.py", &format!("{text}# Another release.\n"));
    site.ok(&["up", "--yes"]);
    for picture in [&picture, &second] {
        shows(&site, picture, "2-");
    }
    kept(&site, &tally.acknowledged);
}

#[test]
fn no_acknowledged_entry_is_lost_with_the_primary() {
    let site = TestSite::example("foobar");
    site.ok(&["up", "--yes"]);
    let load = load(&site);
    for _ in 0..2 {
        let pid = site.pid("database-1").expect("its pid");
        site.kill(pid, "-KILL");
        site.wait("the primary serves again", SOON, || {
            let primary = site.instances("database").into_iter().find(|one| one["id"] == "database-1");
            primary.is_some_and(|one| one["state"] == "serving" && one["pid"] != pid)
        });
        assert!(load.answers(100, SOON), "nothing is written any more\n{}", site.story());
    }
    let tally = load.finish();
    kept(&site, &tally.acknowledged);
    site.wait("the replica has all of them too", SOON, || {
        let there = numbers(&site, "DATABASE_REPLICA_URL");
        tally.acknowledged.iter().all(|number| there.contains_key(number))
    });
}
