//! A real php-fpm.

use super::*;
use crate::app::observe::check;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use stoa_model::site::{AppKind, UrlPath};
use stoa_model::{Endpoint, Millis, Tier};

const APP_1: InstanceId = InstanceId::new(Tier::App, 1);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn until_well(spec: &AppSpec, log: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(why) = check(spec).await {
        assert!(Instant::now() < deadline, "{why}: {}", fs::read_to_string(log).unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn php_fpm_accepts_its_configuration_answers_its_ping_and_ends_cleanly() {
    let root = tempfile::Builder::new().prefix("stoa").tempdir_in("/tmp").unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let paths = Paths::new(root.path());
    let spec = AppSpec {
        site: "shop".parse().unwrap(),
        release: "1-3fa9c21".parse().unwrap(),
        kind: AppKind::Php,
        run: None,
        endpoint: Endpoint::Unix(paths.socket(APP_1)),
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
    let launch = launch(APP_1, &spec, &paths, &Credentials::generate().unwrap(), &BTreeMap::new()).unwrap();
    let root_user = rustix::process::geteuid().is_root();
    for folder in launch.folders.iter().chain([&paths.release(&spec.release), &paths.instance(APP_1)]) {
        fs::create_dir_all(folder).unwrap();
        if root_user {
            std::os::unix::fs::chown(folder, Some(65534), Some(65534)).unwrap();
        }
    }
    let script = paths.release(&spec.release).join("index.php");
    fs::write(&script, "<?php echo getenv('GREETING'), ' ', getcwd(), ' ', ini_get('post_max_size');")
        .unwrap();
    for file in &launch.files {
        fs::write(&file.path, &file.text).unwrap();
    }
    let log = fs::File::create(root.path().join("log")).unwrap();
    let mut command = Command::new(&launch.argv[0]);
    command.args(&launch.argv[1..]).env_clear().envs(&launch.environment).current_dir(&launch.directory);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    if root_user {
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        std::os::unix::process::CommandExt::gid(&mut command, 65534);
    }
    let mut running = Running(command.spawn().unwrap());
    until_well(&spec, &root.path().join("log")).await;
    let answer = super::super::fastcgi::ask(&paths.socket(APP_1), script.to_str().unwrap()).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let body = format!("\r\n\r\nhello {} 0", paths.release(&spec.release).display());
    assert!(answer.ends_with(&body), "{answer}");
    assert!(!answer.contains("X-Powered-By"), "{answer}");
    // A script that is none, and one that is not there.
    for (path, status) in [("/etc/passwd", "403"), ("/nowhere.php", "404")] {
        let answer = super::super::fastcgi::ask(&paths.socket(APP_1), path).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("Status: {status}")), "{path}: {answer}");
    }
    let pid = rustix::process::Pid::from_raw(running.0.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
    assert!(running.0.wait().unwrap().success());
    let log = fs::read_to_string(root.path().join("log")).unwrap();
    assert!(log.contains("ready to handle connections") && log.contains("exiting, bye-bye"), "{log}");
    assert!(check(&spec).await.is_err());
}
