//! A real php-fpm.

use super::*;
use crate::app::observe::check;
use crate::host::log;
use crate::host::testing::{Bench, until, until_well};
use std::fs;
use stoa_model::observed::ProcessState;
use stoa_model::site::{AppKind, UrlPath};
use stoa_model::{Endpoint, Millis, Tier};

const APP_1: InstanceId = InstanceId::new(Tier::App, 1);

#[tokio::test]
async fn php_fpm_accepts_its_configuration_answers_its_ping_and_ends_cleanly() {
    let bench = Bench::new();
    let spec = AppSpec {
        site: "shop".parse().unwrap(),
        release: "1-3fa9c21".parse().unwrap(),
        kind: AppKind::Php,
        run: None,
        endpoint: Endpoint::Unix(bench.paths.socket(APP_1)),
        env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
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
    assert_eq!(check(&spec).await, Err("its socket is not there".to_owned()));
    let release = bench.paths.release(&spec.release);
    fs::create_dir_all(&release).unwrap();
    let text = "<?php echo getenv('GREETING'), ' ', getenv('API_KEY'), ' ', getcwd(), ' ', ini_get('post_max_size');";
    for folder in [&release, bench.paths.root()] {
        fs::write(folder.join("index.php"), text).unwrap();
    }
    let secrets = BTreeMap::from([("API_KEY".to_owned(), "s3cret".to_owned())]);
    let launch = launch(APP_1, &spec, &bench.paths, &Credentials::generate().unwrap(), &secrets).unwrap();
    assert!(launch.files.iter().all(|file| !file.text.contains("s3cret")), "it goes by the environment");
    let processes = bench.processes();
    processes.start(launch, Vec::new()).await.unwrap();
    until_well(&bench, &processes, APP_1, || check(&spec)).await;
    let socket = bench.paths.socket(APP_1);
    for index in [format!("{OWN_RELEASE}/index.php"), release.join("index.php").to_str().unwrap().to_owned()]
    {
        let answer = super::super::fastcgi::ask(&socket, &index).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let body = format!("\r\n\r\nhello s3cret {} 0", release.canonicalize().unwrap().display());
        assert!(answer.ends_with(&body), "{answer}");
        assert!(!answer.contains("X-Powered-By"), "{answer}");
    }
    // A script that is none, one that is not there, and one that is no part of the release.
    let outside = bench.paths.root().join("index.php");
    for (path, status) in
        [("/etc/passwd", "403"), ("/nowhere.php", "404"), (outside.to_str().unwrap(), "404")]
    {
        let answer = super::super::fastcgi::ask(&socket, path).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("Status: {status}")), "{path}: {answer}");
        assert!(!answer.contains("s3cret"), "{path}: {answer}");
    }
    processes.stop(APP_1, Millis::from_secs(20)).await.unwrap();
    until("its end", || match processes.observe().remove(&APP_1) {
        None | Some(ProcessState::Absent) => Some(()),
        _ => None,
    })
    .await;
    let log = log::tail(&log::current(&bench.paths.log(APP_1)), 50).join("\n");
    assert!(log.contains("ready to handle connections") && log.contains("exiting, bye-bye"), "{log}");
    assert!(check(&spec).await.is_err());
}
