use super::*;
use crate::app::php;
use crate::host::Credentials;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use stoa_model::spec::AppSpec;

const INDEX: &str = "<?php header('X-Script: '.$_SERVER['SCRIPT_FILENAME']); echo 'index ', $_SERVER['REQUEST_URI'], ' ', \
    $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['HTTPS'] ?? 'plain', ' ', $_SERVER['PATH_INFO'], ' ', $_GET['x'] ?? '-', ' ', \
    getenv('HTTP_PROXY') ?: $_SERVER['HTTP_PROXY'] ?? '-';";

fn app(number: u16) -> InstanceId {
    InstanceId::new(Tier::App, number)
}

/// `app-N` with a release, as it is really started, answering.
async fn php_fpm(bench: &Bench, processes: &Processes, number: u16, release: &str) {
    let spec = AppSpec {
        site: "shop".parse().unwrap(),
        release: release.parse().unwrap(),
        kind: AppKind::Php,
        run: None,
        endpoint: Endpoint::Unix(bench.paths.socket(app(number))),
        env: BTreeMap::new(),
        persist: Vec::new(),
        health: UrlPath::parse("/").unwrap(),
        start_timeout: Millis::from_secs(60),
        stop_timeout: Millis::from_secs(5),
        memory: None,
        database: None,
        cache: None,
        restart: 0,
        environment: Default::default(),
        secrets: Default::default(),
    };
    let secrets = BTreeMap::from([("API_KEY".to_owned(), format!("key of {release}"))]);
    let credentials = Credentials::generate().unwrap();
    let launch = php::launch(app(number), &spec, &bench.paths, &credentials, &secrets).unwrap();
    processes.start(launch, Vec::new()).await.unwrap();
    until_well(bench, processes, app(number), || crate::app::observe::check(&spec)).await;
}

/// The app face as the balancer makes it: every connection is passed on, to the instance of this number.
fn balancer(bench: &Bench) -> Arc<AtomicU16> {
    let chosen = Arc::new(AtomicU16::new(1));
    let listener = UnixListener::bind(bench.paths.app_face()).unwrap();
    std::fs::set_permissions(bench.paths.app_face(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let (number, paths) = (chosen.clone(), bench.paths.clone());
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let to = paths.socket(app(number.load(Ordering::SeqCst)));
            tokio::spawn(async move {
                let mut to = UnixStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    chosen
}

#[tokio::test]
async fn a_plain_php_site_runs_and_runs_nothing_but_its_own_files() {
    let bench = Bench::new();
    publish(
        &bench,
        "1-aaaaaaa",
        &[
            ("index.php", INDEX),
            ("about.php", "<?php echo 'about ', getenv('API_KEY');"),
            ("style.css", "css"),
            ("stoa.toml", "secret"),
            (".env", "secret"),
            ("config.inc", "<?php secret"),
            ("old.PHP5", "<?php secret"),
            ("assets/x.php", "<?php echo 'run';"),
        ],
    );
    let uploads = bench.paths.persist().join("uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    std::fs::write(uploads.join("evil.php"), "<?php echo 'owned';").unwrap();
    std::fs::write(uploads.join("cat.png"), "<?php echo 'owned';").unwrap();
    symlink(&uploads, bench.paths.releases().join("1-aaaaaaa/uploads")).unwrap();
    let spec = spec(&bench.paths, AppKind::Php, true, &[("/", "."), ("/assets", "assets")]);
    let processes = started(&bench, &spec).await;
    php_fpm(&bench, &processes, 1, "1-aaaaaaa").await;
    let _chosen = balancer(&bench);
    let via = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nProxy: evil\r\n";
    let answer = get(&bench, "/page?x=1", via).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "index /page?x=1 203.0.113.7 on  1 -"));
    let real = bench.paths.releases().join("1-aaaaaaa/index.php");
    assert_eq!(answer.header("x-script"), real.canonicalize().unwrap().to_str());
    assert!(get(&bench, "/index.php/more/path", "").await.body.contains(" plain /more/path "));
    for (path, status, body) in [
        ("/about.php", 200, "about key of 1-aaaaaaa"),
        ("/", 200, "index / "),
        ("/style.css", 200, "css"),
        ("/none.css", 200, "index /none.css "),
        ("/none.php", 404, "404: there is no such page\n"),
        ("/style.css/x.php", 404, "404: there is no such page\n"),
        ("/uploads/evil.php", 404, "404: there is no such page\n"),
        ("/uploads/cat.png/x.php", 404, "404: there is no such page\n"),
        ("/uploads/cat.png", 200, "<?php echo 'owned';"),
        ("/assets/x.php", 404, "404: there is no such page\n"),
        ("/config.inc", 404, "404: there is no such page\n"),
        ("/old.PHP5", 404, "404: there is no such page\n"),
        ("/stoa.toml", 404, "404: there is no such page\n"),
        ("/.env", 404, "404: there is no such page\n"),
    ] {
        let answer = get(&bench, path, "").await;
        assert!(answer.status == status && answer.body.starts_with(body), "{path}: {answer:?}");
    }
}

const WHOSE: &str = "<?php $from = __FILE__; include 'part.php'; chdir('/'); \
    echo json_encode([$from, __DIR__, $_SERVER['SCRIPT_FILENAME'], $_SERVER['DOCUMENT_ROOT'], \
    file_get_contents($_SERVER['DOCUMENT_ROOT'].'/which'), PART, (fn() => require 'part2.php')()]);";

/// What makes a canary possible: nginx knows one release, the instances run each its own.
#[tokio::test]
async fn an_instance_runs_its_own_releases_code_whatever_nginx_serves() {
    let bench = Bench::new();
    let content = |release: &'static str| {
        [
            ("public/index.php", WHOSE.to_owned()),
            ("public/part.php", format!("<?php define('PART', '{release}');")),
            ("public/part2.php", format!("<?php return '{release}';")),
            ("public/which", release.to_owned()),
            ("public/only.php", format!("<?php echo '{release}';")),
        ]
    };
    for release in ["2-bbbbbbb", "1-aaaaaaa"] {
        let content = content(release);
        let content: Vec<_> = content.iter().map(|(name, text)| (*name, text.as_str())).collect();
        publish(&bench, release, &content);
    }
    let second = bench.paths.releases().join("2-bbbbbbb/public");
    std::fs::remove_file(second.join("only.php")).unwrap();
    // A folder of the first release that outlives the second: what visitors put there is never run.
    let uploads = bench.paths.persist().join("uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    std::fs::write(uploads.join("tool.php"), "<?php echo 'owned';").unwrap();
    symlink(&uploads, second.join("uploads")).unwrap();
    publish(&bench, "1-aaaaaaa", &[("public/uploads/tool.php", "<?php echo 'a tool';")]);
    let spec = spec(&bench.paths, AppKind::Php, true, &[("/", "public")]);
    let processes = started(&bench, &spec).await;
    php_fpm(&bench, &processes, 1, "1-aaaaaaa").await;
    php_fpm(&bench, &processes, 2, "2-bbbbbbb").await;
    let chosen = balancer(&bench);
    // The links are swapped too, and each instance is asked again and again: its workers, PHP's caches.
    for round in 0..12 {
        let live = ["1-aaaaaaa", "2-bbbbbbb"][round / 6];
        files::swap_link(&bench.paths.static_root(0), &bench.paths.releases().join(live)).unwrap();
        for (number, release) in [(1, "1-aaaaaaa"), (2, "2-bbbbbbb")] {
            chosen.store(number, Ordering::SeqCst);
            let folder = bench.paths.releases().join(release).join("public").canonicalize().unwrap();
            let (folder, index) = (folder.to_str().unwrap(), folder.join("index.php"));
            let index = index.to_str().unwrap();
            for path in ["/", "/index.php", "/any/page"] {
                let answer = get(&bench, path, "").await;
                let told: Vec<String> = serde_json::from_str(&answer.body).unwrap_or_default();
                assert_eq!(
                    told,
                    [index, folder, index, folder, release, release, release],
                    "{path} {answer:?}"
                );
            }
        }
    }
    files::swap_link(&bench.paths.static_root(0), &bench.paths.releases().join("1-aaaaaaa")).unwrap();
    for (number, path, status, body) in [
        (1, "/only.php", 200, "1-aaaaaaa"),
        (2, "/only.php", 404, "No input file specified."),
        (1, "/uploads/tool.php", 200, "a tool"),
        (2, "/uploads/tool.php", 404, "404: there is no such page"),
    ] {
        chosen.store(number, Ordering::SeqCst);
        let answer = get(&bench, path, "").await;
        assert_eq!((answer.status, answer.body.trim()), (status, body), "app-{number} {path}");
    }
}
