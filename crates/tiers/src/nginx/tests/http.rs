use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const CSS: &str = "body { color: black }\n";

fn release(bench: &Bench) {
    let long = "body { color: red }\n".repeat(200);
    publish(
        bench,
        "1-aaaaaaa",
        &[
            ("static/site.css", CSS),
            ("static/long.css", &long),
            ("static/app.3fa9c21d.js", "1"),
            ("static/index-BfX3k2_q.js", "2"),
            ("static/photo-20240115.jpg", "3"),
            ("static/my-stylesheet.css", "4"),
            ("static/font.woff2", "5"),
            ("static/.env", "secret"),
            ("static/.git/config", "secret"),
            ("static/.well-known/security.txt", "contact"),
            ("static/stoa.toml", "secret"),
            ("static/docs/index.html", "<p>docs"),
        ],
    );
}

#[tokio::test]
async fn files_have_their_type_their_age_and_nothing_hidden_among_them() {
    let bench = Bench::new();
    release(&bench);
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let _processes = started(&bench, &spec).await;
    let immutable = "public, max-age=31536000, immutable";
    let short = "public, max-age=300";
    for (path, media, cache) in [
        ("/static/site.css", "text/css; charset=utf-8", short),
        ("/static/app.3fa9c21d.js", "text/javascript; charset=utf-8", immutable),
        ("/static/index-BfX3k2_q.js", "text/javascript; charset=utf-8", immutable),
        ("/static/photo-20240115.jpg", "image/jpeg", short),
        ("/static/my-stylesheet.css", "text/css; charset=utf-8", short),
        ("/static/font.woff2", "font/woff2", short),
        ("/static/docs/", "text/html; charset=utf-8", "no-cache"),
        ("/static/.well-known/security.txt", "text/plain; charset=utf-8", short),
    ] {
        let answer = get(&bench, path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(media), "{path}");
        assert_eq!(answer.header("cache-control"), Some(cache), "{path}");
        assert_eq!(answer.header("server"), Some("nginx"), "no version");
    }
    for path in [
        "/static/.env",
        "/static/.git/config",
        "/static/stoa.toml",
        "/static/none",
        "/static/docs/../.env",
        "/static/%2e%65nv",
        "/static//.env",
    ] {
        let answer = get(&bench, path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404: there is no such page\n"), "{path}");
        assert_eq!(answer.header("cache-control"), None);
    }
    assert_eq!(get(&bench, "/static/docs", "").await.header("location"), Some("/static/docs/"));
}

#[tokio::test]
async fn files_are_revalidated_compressed_and_follow_the_link_at_once() {
    let bench = Bench::new();
    release(&bench);
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let _processes = started(&bench, &spec).await;
    let first = get(&bench, "/static/site.css", "").await;
    let etag = first.header("etag").unwrap().to_owned();
    let again = get(&bench, "/static/site.css", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let packed = get(&bench, "/static/long.css", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
    let plain = get(&bench, "/static/long.css", "").await;
    assert_eq!((plain.header("content-encoding"), plain.body.len()), (None, 4000));
    let part = get(&bench, "/static/long.css", "Range: bytes=0-3\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "body"));
    publish(&bench, "2-bbbbbbb", &[("static/site.css", "new")]);
    assert_eq!(get(&bench, "/static/site.css", "").await.body, "new");
    assert_eq!(get(&bench, "/static/long.css", "").await.status, 404);
}

/// Releases as they are published: the first one serves.
async fn serve(bench: &Bench, releases: &[&str]) {
    let releases: Vec<_> = releases.iter().map(|release| release.parse().unwrap()).collect();
    files::publish(&bench.paths, &releases).await.unwrap();
}

#[tokio::test]
async fn what_belongs_to_an_open_page_of_an_earlier_release_is_still_served() {
    let bench = Bench::new();
    let old = [
        ("static/site.css", "old"),
        ("static/app.3fa9c21d.js", "0123456789"),
        ("static/.env", "secret"),
        ("static/stoa.toml", "secret"),
        ("static/docs/index.html", "<p>old docs"),
        ("static/now-a-folder", "file"),
        ("other folder/deep/a;b.txt", "odd"),
        ("private/key", "secret"),
    ];
    publish(&bench, "1-aaaaaaa", &old);
    publish(&bench, "2-bbbbbbb", &[("static/only-two.css", "two")]);
    publish(&bench, "3-ccccccc", &[("static/site.css", "new"), ("static/now-a-folder/index.html", "<p>")]);
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static"), ("/o;{}", "other folder")]);
    let _processes = started(&bench, &spec).await;
    serve(&bench, &["3-ccccccc", "2-bbbbbbb", "1-aaaaaaa"]).await;
    let hashed = get(&bench, "/static/app.3fa9c21d.js", "").await;
    assert_eq!((hashed.status, hashed.body.as_str()), (200, "0123456789"));
    assert_eq!(hashed.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(hashed.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let etag = hashed.header("etag").unwrap().to_owned();
    let same = get(&bench, "/static/app.3fa9c21d.js", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", Some(etag.as_str())));
    let part = get(&bench, "/static/app.3fa9c21d.js", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let none = "404: there is no such page\n";
    for (path, status, body) in [
        ("/static/site.css", 200, "new"),
        ("/static/only-two.css", 200, "two"),
        ("/o;%7B%7D/deep/a;b.txt", 200, "odd"),
        ("/static/now-a-folder/", 200, "<p>"),
        // Only files are looked for: a folder is a page, and the release that serves has its own.
        ("/static/docs/", 404, none),
        ("/static/docs/index.html", 200, "<p>old docs"),
        ("/static/.env", 404, none),
        ("/static/%2eenv", 404, none),
        ("/static/stoa.toml", 404, none),
        ("/static/none", 404, none),
        ("/static/../private/key", 502, "502: the balancer in front of the application cannot be reached\n"),
        ("/static/%0a", 404, none),
        ("/static/app.3fa9c21d.js%0a", 404, none),
    ] {
        let answer = get(&bench, path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
    }
    let head = "HEAD /static/only-two.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&bench, head).await.status, 200);
    let post = "POST /static/only-two.css HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&bench, post).await.status, 405);
    // Links that lead nowhere, and none at all, break nothing.
    std::fs::remove_dir_all(bench.paths.releases().join("2-bbbbbbb")).unwrap();
    assert_eq!(get(&bench, "/static/app.3fa9c21d.js", "").await.body, "0123456789");
    assert_eq!(get(&bench, "/static/only-two.css", "").await.status, 404);
    serve(&bench, &["3-ccccccc"]).await;
    assert_eq!(get(&bench, "/static/app.3fa9c21d.js", "").await.status, 404);
    assert_eq!(get(&bench, "/static/site.css", "").await.body, "new");
}

#[tokio::test]
async fn no_file_that_stays_published_is_missing_while_releases_trade_places() {
    let bench = Arc::new(Bench::new());
    let names = ["1-aaaaaaa", "2-bbbbbbb", "3-ccccccc", "4-ddddddd"];
    for release in names {
        publish(&bench, release, &[(format!("static/{release}.css").as_str(), release)]);
    }
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let _processes = started(&bench, &spec).await;
    serve(&bench, &names).await;
    let done = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = names
        .into_iter()
        .map(|release| {
            let (bench, done) = (bench.clone(), done.clone());
            tokio::spawn(async move {
                let path = format!("/static/{release}.css");
                let mut served = 0;
                while !done.load(Ordering::SeqCst) {
                    let answer = get(&bench, &path, "").await;
                    assert_eq!((answer.status, answer.body.as_str()), (200, release));
                    served += 1;
                }
                served
            })
        })
        .collect();
    for turn in 0..12 {
        let mut order = names;
        order.rotate_left(turn % 4);
        if turn % 3 == 0 {
            order.reverse();
        }
        serve(&bench, &order).await;
    }
    done.store(true, Ordering::SeqCst);
    for visitor in visitors {
        assert!(visitor.await.unwrap() > 10);
    }
}

#[tokio::test]
async fn earlier_files_come_before_the_application_and_pages_do_not() {
    let bench = Bench::new();
    let old = [
        ("public/old.js", "old"),
        ("public/page", "an old file without an ending"),
        ("public/.env", "secret"),
    ];
    publish(&bench, "1-aaaaaaa", &old);
    publish(&bench, "2-bbbbbbb", &[("public/new.js", "new")]);
    let _app = app_face(&bench, |head| ok(&format!("app: {}", head.lines().next().unwrap_or_default())));
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/", "public")]);
    let _processes = started(&bench, &spec).await;
    serve(&bench, &["2-bbbbbbb", "1-aaaaaaa"]).await;
    assert_eq!(get(&bench, "/new.js", "").await.body, "new");
    let earlier = get(&bench, "/old.js?v=1", "").await;
    assert_eq!(
        (earlier.body.as_str(), earlier.header("content-type")),
        ("old", Some("text/javascript; charset=utf-8"))
    );
    // As the visitor sent it, even after it was looked for in every release.
    for path in ["/", "/page", "/.env", "/none.js", "/a%2Fb//c.csv?x=%20", "/feed.xml"] {
        assert_eq!(get(&bench, path, "").await.body, format!("app: GET {path} HTTP/1.1"));
    }
    let post =
        "POST /export.csv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&bench, post).await.body, "app: POST /export.csv HTTP/1.1");
}

#[tokio::test]
async fn folders_that_outlive_a_release_are_served_through_their_links() {
    let bench = Bench::new();
    release(&bench);
    let uploads = bench.paths.persist().join("uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    std::fs::write(uploads.join("cat.png"), "cat").unwrap();
    symlink(&uploads, bench.paths.releases().join("1-aaaaaaa/uploads")).unwrap();
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/uploads", "uploads")]);
    let _processes = started(&bench, &spec).await;
    let answer = get(&bench, "/uploads/cat.png", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/png")));
}

#[tokio::test]
async fn the_application_gets_the_request_as_the_visitor_sent_it() {
    let bench = Bench::new();
    release(&bench);
    let _app = app_face(&bench, |head| ok(&format!("{head}\n")));
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let _processes = started(&bench, &spec).await;
    let sent = "GET /a%2Fb//c?x=1 HTTP/1.1\r\nHost: www.foobar.com:8080\r\nX-Forwarded-For: 203.0.113.7\r\n\
                X-Forwarded-Proto: https\r\nX-Request-Id: abc\r\nX_Forwarded_For: 6.6.6.6\r\n\
                Upgrade: h2c\r\nConnection: close\r\n\r\n";
    let answer = ask(&bench, sent).await;
    let body = answer.body.to_ascii_lowercase();
    for line in [
        "get /a%2fb//c?x=1 http/1.1",
        "host: www.foobar.com:8080",
        "x-forwarded-for: 203.0.113.7",
        "x-forwarded-proto: https",
        "x-request-id: abc",
    ] {
        assert!(body.lines().any(|l| l == line), "{line}: {body}");
    }
    assert!(!body.contains("6.6.6.6") && !body.contains("upgrade") && !body.contains("connection"), "{body}");
    let hidden = get(&bench, "/.well-known/acme", "").await;
    assert!(hidden.body.starts_with("GET /.well-known/acme"), "the application's own paths are its own");
    let access = bench.paths.log(WEB).join("access.log");
    let line = crate::host::testing::until("the access log", || {
        crate::host::log::tail(&access, 10).into_iter().find(|line| line.contains("\"id\":\"abc\""))
    });
    let line: serde_json::Value = serde_json::from_str(&line.await).unwrap();
    assert_eq!((&line["client"], &line["status"]), (&"203.0.113.7".into(), &200.into()));
}

#[tokio::test]
async fn files_come_first_and_the_application_where_there_is_none() {
    let bench = Bench::new();
    release(&bench);
    let _app = app_face(&bench, |head| ok(&format!("app: {}", head.lines().next().unwrap_or_default())));
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/", "static")]);
    let _processes = started(&bench, &spec).await;
    assert_eq!(get(&bench, "/site.css", "").await.body, CSS);
    for path in ["/", "/page?x=1", "/.env", "/stoa.toml", "/docs"] {
        assert_eq!(get(&bench, path, "").await.body, format!("app: GET {path} HTTP/1.1"));
    }
    let post = "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&bench, post).await.body, "app: POST /form HTTP/1.1");
}

#[tokio::test]
async fn own_pages_say_which_of_us_and_why() {
    let bench = Bench::new();
    release(&bench);
    let mut spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    spec.timeout = Millis(100);
    let _processes = started(&bench, &spec).await;
    let post = |length: u32| {
        format!(
            "POST / HTTP/1.1\r\nHost: foobar.com\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let large = ask(&bench, &post(2 << 20)).await;
    assert_eq!(large.status, 413);
    assert_eq!(large.body, "413: the request is larger than the 1 MB that this site takes\n");
    let gone = get(&bench, "/", "").await;
    assert_eq!(gone.status, 502);
    assert_eq!(gone.body, "502: the balancer in front of the application cannot be reached\n");
    for host in ["evil.example", "foobar.com.evil.example", "10.0.0.1:8080"] {
        let stranger =
            ask(&bench, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(stranger.status, 421, "{host}");
        assert!(stranger.body.contains("add the name to [site] aliases"), "{}", stranger.body);
    }
    assert_eq!(ask(&bench, "GET / HTTP/1.0\r\n\r\n").await.status, 421);
    for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "FOOBAR.com"] {
        let head = format!("GET /static/site.css HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(&bench, &head).await.status, 200, "{host}");
    }
    let silent = UnixListener::bind(bench.paths.app_face()).unwrap();
    std::fs::set_permissions(bench.paths.app_face(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let late = get(&bench, "/", "").await;
    assert_eq!(
        (late.status, late.body.as_str()),
        (504, "504: the application did not answer within 100 ms\n")
    );
    drop(silent);
}

#[tokio::test]
async fn errors_of_the_application_pass_as_they_are() {
    let bench = Bench::new();
    release(&bench);
    let _app = app_face(&bench, |_| "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nmine".to_owned());
    let spec = spec(&bench.paths, AppKind::Http, true, &[]);
    let _processes = started(&bench, &spec).await;
    let answer = get(&bench, "/x", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "mine"));
}

#[tokio::test]
async fn an_idempotent_request_survives_the_death_of_a_balancer_and_another_is_sent_once() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let bench = Bench::new();
    release(&bench);
    // The first connection breaks without an answer, as when its role is killed.
    let _app = app_face(&bench, |head| {
        let nth = SEEN.fetch_add(1, Ordering::SeqCst);
        if nth == 0 || head.starts_with("POST") { String::new() } else { ok("fine") }
    });
    let spec = spec(&bench.paths, AppKind::Http, true, &[]);
    let _processes = started(&bench, &spec).await;
    assert_eq!(get(&bench, "/", "").await.body, "fine");
    let before = SEEN.load(Ordering::SeqCst);
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&bench, post).await.status, 502);
    assert_eq!(SEEN.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn a_websocket_passes() {
    let bench = Bench::new();
    release(&bench);
    let _app = app_face(&bench, |head| {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello"
            .to_owned()
    });
    let mut spec = spec(&bench.paths, AppKind::Http, true, &[]);
    spec.timeout = Millis(100);
    let _processes = started(&bench, &spec).await;
    let mut stream = UnixStream::connect(bench.paths.socket(WEB)).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with("hello") {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let length = read.unwrap().unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
}

#[tokio::test]
async fn a_reload_drops_no_request_and_a_refused_one_changes_nothing() {
    let bench = Arc::new(Bench::new());
    release(&bench);
    let _app = app_face(&bench, |_| ok("app"));
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let processes = started(&bench, &spec).await;
    let before = processes.subject(WEB).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..8 {
        let (bench, done) = (bench.clone(), done.clone());
        clients.push(tokio::spawn(async move {
            let mut served = 0;
            let path = ["/", "/static/site.css"][client % 2];
            while !done.load(Ordering::SeqCst) {
                let answer = get(&bench, path, "").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                served += 1;
            }
            served
        }));
    }
    let mut next = spec.clone();
    for (number, name) in ["one.example", "two.example", "three.example"].into_iter().enumerate() {
        next.names.push(domain(name));
        next.max_body = Bytes(1000 + number as u64);
        reload(&processes, WEB, &next).await.unwrap();
        let head = format!("GET /static/site.css HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        // The old worker may take one more connection until it is told to go.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask(&bench, &head).await.status != 200 {
            assert!(Instant::now() < deadline, "{name} is not served");
        }
    }
    let mut refused = next.clone();
    refused.endpoint = Endpoint::Unix("/nonexistent/folder/sock".into());
    let why = reload(&processes, WEB, &refused).await.unwrap_err().to_string();
    assert!(why.contains("nginx does not accept the new configuration") && why.contains("bind()"), "{why}");
    done.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    let after = processes.subject(WEB).unwrap();
    assert_eq!((after.pid, after.started), (before.pid, before.started), "the same master");
    assert_eq!(after.spec, Some(stoa_model::Spec::Web(next)));
    processes.stop(WEB, Millis::from_secs(20)).await.unwrap();
    assert!(!bench.paths.socket(WEB).exists());
}

#[tokio::test]
async fn a_killed_nginx_starts_again_over_its_socket() {
    let bench = Bench::new();
    release(&bench);
    let spec = spec(&bench.paths, AppKind::Http, true, &[("/static", "static")]);
    let processes = started(&bench, &spec).await;
    processes.signal(WEB, rustix::process::Signal::KILL).unwrap();
    crate::host::testing::until("its end", || processes.subject(WEB).is_none().then_some(())).await;
    processes.start(launch(WEB, &spec, &bench.paths).unwrap(), Vec::new()).await.unwrap();
    until_well(&bench, &processes, WEB, || check(&spec, Duration::from_secs(2))).await;
    assert_eq!(get(&bench, "/static/site.css", "").await.status, 200);
}

#[tokio::test]
async fn a_static_site_needs_nothing_but_its_files() {
    let bench = Bench::new();
    publish(
        &bench,
        "1-aaaaaaa",
        &[
            ("index.html", "<p>home"),
            ("a/index.html", "<p>a"),
            ("stoa.toml", "secret"),
            (".git/HEAD", "secret"),
        ],
    );
    let spec = spec(&bench.paths, AppKind::Http, false, &[("/", ".")]);
    let _processes = started(&bench, &spec).await;
    for (path, status, body) in [
        ("/", 200, "<p>home"),
        ("/a/", 200, "<p>a"),
        ("/none", 404, "404: there is no such page\n"),
        ("/stoa.toml", 404, "404: there is no such page\n"),
        ("/.git/HEAD", 404, "404: there is no such page\n"),
    ] {
        let answer = get(&bench, path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
    }
    assert_eq!(get(&bench, "/", "").await.header("cache-control"), Some("no-cache"));
    assert_eq!(get(&bench, "/a", "").await.header("location"), Some("/a/"));
    publish(&bench, "2-bbbbbbb", &[("index.html", "<p>new home")]);
    serve(&bench, &["2-bbbbbbb", "1-aaaaaaa"]).await;
    assert_eq!(get(&bench, "/", "").await.body, "<p>new home");
    assert_eq!(get(&bench, "/a/index.html", "").await.body, "<p>a");
    for path in ["/a/", "/stoa.toml", "/.git/HEAD"] {
        assert_eq!(get(&bench, path, "").await.status, 404, "{path}");
    }
}
