use super::*;
use crate::host::launch::{Launch, Limits, RenderedFile, RunAs, StopSignal};
use crate::host::programs;
use stoa_model::{Spec, spec};

const APP: InstanceId = InstanceId::new(Tier::App, 1);

/// php-fpm straight at the app face: the balancer only passes connections on.
async fn php_fpm(bench: &Bench, processes: &Processes) {
    let socket = bench.paths.app_face();
    let text = format!(
        "[global]\nerror_log = /proc/self/fd/2\n[www]\nlisten = {}\nlisten.mode = 0666\npm = static\npm.max_children = 2\n",
        socket.display()
    );
    let file = bench.paths.instance(APP).join("fpm.conf");
    let program = programs::find_php_fpm().unwrap();
    let argv = [program.as_os_str(), "--nodaemonize".as_ref(), "--fpm-config".as_ref(), file.as_os_str()];
    let cache = spec::CacheSpec {
        engine: stoa_model::site::CacheEngine::Redis,
        endpoint: Endpoint::Unix(socket.clone()),
        memory: Bytes(1),
        eviction: stoa_model::site::Eviction::Noeviction,
        restart: 0,
    };
    // As root it would want a user to change to; and only the daemon's own may listen in `run`.
    let mut argv: Vec<_> = argv.into_iter().map(Into::into).collect();
    let root = rustix::process::geteuid().is_root();
    if root {
        argv.push("--allow-to-run-as-root".into());
    }
    let user = if root { "user = nobody\ngroup = nogroup\n" } else { "" };
    let launch = Launch {
        instance: APP,
        argv,
        environment: programs::environment(),
        directory: bench.paths.root().to_owned(),
        user: RunAs::Daemon,
        limits: Limits::default(),
        stop_signal: StopSignal::Quit,
        spec: Spec::Cache(cache),
        release: None,
        files: vec![RenderedFile { path: file, text: text + user, secret: false }],
        folders: Vec::new(),
    };
    processes.start(launch, Vec::new()).await.unwrap();
    let endpoint = Endpoint::Unix(socket);
    until_well(bench, processes, APP, || crate::health::connect(&endpoint, Duration::from_secs(2))).await;
}

const INDEX: &str = "<?php header('X-Script: '.$_SERVER['SCRIPT_FILENAME']); echo 'index ', $_SERVER['REQUEST_URI'], ' ', \
    $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['HTTPS'] ?? 'plain', ' ', $_SERVER['PATH_INFO'], ' ', $_GET['x'] ?? '-', ' ', \
    getenv('HTTP_PROXY') ?: $_SERVER['HTTP_PROXY'] ?? '-';";

#[tokio::test]
async fn a_plain_php_site_runs_and_runs_nothing_but_its_own_files() {
    let bench = Bench::new();
    publish(
        &bench,
        "1-aaaaaaa",
        &[
            ("index.php", INDEX),
            ("about.php", "<?php echo 'about';"),
            ("style.css", "css"),
            ("stoa.toml", "secret"),
            (".env", "secret"),
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
    php_fpm(&bench, &processes).await;
    let via = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nProxy: evil\r\n";
    let answer = get(&bench, "/page?x=1", via).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "index /page?x=1 203.0.113.7 on  1 -"));
    let real = bench.paths.releases().join("1-aaaaaaa/index.php");
    assert_eq!(answer.header("x-script"), real.canonicalize().unwrap().to_str());
    assert!(get(&bench, "/index.php/more/path", "").await.body.contains(" plain /more/path "));
    for (path, status, body) in [
        ("/about.php", 200, "about"),
        ("/", 200, "index / "),
        ("/style.css", 200, "css"),
        ("/none.php", 404, "404: there is no such page\n"),
        ("/style.css/x.php", 404, "404: there is no such page\n"),
        ("/uploads/evil.php", 404, "404: there is no such page\n"),
        ("/uploads/cat.png/x.php", 404, "404: there is no such page\n"),
        ("/uploads/cat.png", 200, "<?php echo 'owned';"),
        ("/assets/x.php", 404, "404: there is no such page\n"),
        ("/stoa.toml", 404, "404: there is no such page\n"),
        ("/.env", 404, "404: there is no such page\n"),
    ] {
        let answer = get(&bench, path, "").await;
        assert!(answer.status == status && answer.body.starts_with(body), "{path}: {answer:?}");
    }
}
