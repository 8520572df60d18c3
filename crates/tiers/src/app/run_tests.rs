use super::*;
use std::os::unix::fs::PermissionsExt;
use stoa_model::{Millis, Port};
use tempfile::TempDir;

fn credentials() -> Credentials {
    let text = r#"{"app":"p@ss/1","replication":"r","monitor":"m","admin":"a","cache":"c:c"}"#;
    serde_json::from_str(text).unwrap()
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::loopback(Port::try_from(port).unwrap())
}

fn spec(run: &str) -> AppSpec {
    AppSpec {
        site: "shop".parse().unwrap(),
        release: "7-3fa9c21".parse().unwrap(),
        kind: AppKind::Http,
        run: Some(CommandLine::parse(run).unwrap()),
        endpoint: loopback(20_001),
        env: BTreeMap::new(),
        persist: Vec::new(),
        health: stoa_model::site::UrlPath::parse("/").unwrap(),
        start_timeout: Millis::from_secs(60),
        stop_timeout: Millis::from_secs(30),
        memory: None,
        database: Some(DatabaseAccess { address: loopback(3306), name: "shop".into() }),
        cache: Some(CacheAccess { engine: CacheEngine::Redis, endpoint: loopback(6379) }),
        restart: 0,
        environment: Default::default(),
        secrets: Default::default(),
    }
}

const APP_1: InstanceId = InstanceId::new(Tier::App, 1);

/// A state folder with a release that brings a program along.
fn world() -> (TempDir, Paths) {
    let root = TempDir::new().unwrap();
    let paths = Paths::new(root.path());
    let bin = paths.release(&"7-3fa9c21".parse().unwrap()).join(".venv/bin");
    std::fs::create_dir_all(&bin).unwrap();
    for program in [bin.join("gunicorn"), bin.join("../../serve")] {
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    (root, paths)
}

fn words(launch: &Launch) -> Vec<String> {
    launch.argv.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

#[test]
fn an_instance_gets_its_place_and_its_secrets_by_the_environment() {
    let (_root, paths) = world();
    let mut spec = spec("gunicorn app:app --bind $HOST:${PORT} --name $STOA_INSTANCE");
    spec.env.insert("SQLALCHEMY_URI".into(), "${DATABASE_URL}?x=1".into());
    spec.env.insert("PRICE".into(), "$5 and $UNKNOWN".into());
    spec.env.insert("LANG".into(), "de_DE.UTF-8".into());
    let launch = launch(APP_1, &spec, &paths, &credentials(), &BTreeMap::new()).unwrap();
    assert_eq!(words(&launch), ["app:app", "--bind", "127.0.0.1:20001", "--name", "app-1"]);
    let release = paths.release(&spec.release);
    assert_eq!(launch.argv[0], release.join(".venv/bin/gunicorn"));
    assert_eq!(launch.directory, release);
    let get = |name: &str| launch.environment.get(std::ffi::OsStr::new(name)).map(|v| v.to_str().unwrap());
    for (name, value) in [
        ("HOST", "127.0.0.1"),
        ("PORT", "20001"),
        ("DATABASE_URL", "mysql://app:p%40ss%2F1@127.0.0.1:3306/shop"),
        ("DATABASE_REPLICA_URL", "mysql://app:p%40ss%2F1@127.0.0.1:3306/shop"),
        ("CACHE_URL", "redis://:c%3Ac@127.0.0.1:6379/0"),
        ("REDIS_URL", "redis://:c%3Ac@127.0.0.1:6379/0"),
        ("STOA_SITE", "shop"),
        ("STOA_ENVIRONMENT", "production"),
        ("STOA_RELEASE", "7-3fa9c21"),
        ("STOA_INSTANCE", "app-1"),
        ("PYTHONUNBUFFERED", "1"),
        ("SQLALCHEMY_URI", "mysql://app:p%40ss%2F1@127.0.0.1:3306/shop?x=1"),
        ("PRICE", "$5 and $UNKNOWN"),
        ("LANG", "de_DE.UTF-8"),
    ] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    assert_eq!(get("MEMCACHED_URL"), None);
    let (first, _) = get("PATH").unwrap().split_once(':').unwrap();
    assert_eq!(Path::new(first), release.join(".venv/bin"));
    assert!(get("PATH").unwrap().ends_with(SYSTEM_PATH));
}

#[test]
fn a_single_command_has_no_place_of_its_own() {
    let (_root, paths) = world();
    let environment = environment(None, &spec("serve"), &paths, &credentials(), &BTreeMap::new());
    assert_eq!(environment["STOA_INSTANCE"], "run");
    assert!(!environment.contains_key("PORT") && environment.contains_key("DATABASE_URL"));
}

#[test]
fn a_secret_never_becomes_an_argument() {
    let (_root, paths) = world();
    for (run, name) in [
        ("gunicorn --db $DATABASE_URL", "DATABASE_URL"),
        ("gunicorn --db=${DATABASE_REPLICA_URL}", "DATABASE_REPLICA_URL"),
        ("gunicorn $CACHE_URL", "CACHE_URL"),
        ("gunicorn x$REDIS_URL", "REDIS_URL"),
        ("gunicorn $MINE", "MINE"),
    ] {
        let mut spec = spec(run);
        spec.env.insert("MINE".into(), "url=$DATABASE_URL".into());
        let error = launch(APP_1, &spec, &paths, &credentials(), &BTreeMap::new()).unwrap_err();
        assert_eq!(error, RunError::SecretArgument { command: run.into(), name: name.into() });
    }
}

#[test]
fn secrets_are_in_the_environment_and_win_but_never_in_the_arguments() {
    let (_root, paths) = world();
    let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let secrets = given(&[("SENTRY_KEY", "abcdef0123456789"), ("PIN", "1")]);
    let mut spec = spec("gunicorn --bind $HOST:$PORT");
    spec.environment = "staging".parse().unwrap();
    spec.env.insert("PIN".into(), "loses".into());
    spec.env.insert("SENTRY_DSN".into(), "https://$SENTRY_KEY@sentry.example/1".into());
    let started = launch(APP_1, &spec, &paths, &credentials(), &secrets).unwrap();
    let get = |name: &str| started.environment.get(std::ffi::OsStr::new(name)).map(|v| v.to_str().unwrap());
    for (name, value) in [
        ("SENTRY_KEY", "abcdef0123456789"),
        ("PIN", "1"),
        ("SENTRY_DSN", "https://abcdef0123456789@sentry.example/1"),
        ("STOA_ENVIRONMENT", "staging"),
    ] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    for (run, name) in [
        ("gunicorn --key $SENTRY_KEY", "SENTRY_KEY"),
        ("serve x${PIN}", "PIN"),
        ("serve $SENTRY_DSN", "SENTRY_DSN"),
    ] {
        spec.run = Some(CommandLine::parse(run).unwrap());
        let error = launch(APP_1, &spec, &paths, &credentials(), &secrets).unwrap_err();
        assert_eq!(error, RunError::SecretArgument { command: run.into(), name: name.into() });
        assert!(!error.to_string().contains("abcdef"), "{error}");
    }
}

#[test]
fn a_program_or_variable_that_is_missing_is_named_with_what_there_is() {
    let (_root, paths) = world();
    let error = launch(APP_1, &spec("gunicron app"), &paths, &credentials(), &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("there is no program \"gunicron\" for \"gunicron app\": looked in .venv/bin"),
        "{error}"
    );
    let error = launch(APP_1, &spec("gunicorn $PROT"), &paths, &credentials(), &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("uses $PROT, which nothing sets; there are CACHE_URL, "), "{error}");
    // A path is one inside the release; a file that is not executable is no program.
    let serve = launch(APP_1, &spec("./serve"), &paths, &credentials(), &BTreeMap::new()).unwrap();
    assert!(serve.argv[0].to_str().unwrap().ends_with("7-3fa9c21/./serve"));
    let python =
        launch(APP_1, &spec("python3 -m http.server $PORT"), &paths, &credentials(), &BTreeMap::new())
            .unwrap();
    assert_eq!(python.argv[0], "/usr/bin/python3");
}

#[test]
fn php_is_configured_by_a_file_of_its_own() {
    let paths = Paths::new("/var/lib/stoa/shop");
    let mut spec = spec("x");
    spec.kind = AppKind::Php;
    spec.run = None;
    spec.endpoint = Endpoint::Unix(paths.socket(APP_1));
    insta::assert_snapshot!(php::render(APP_1, &spec, &paths).unwrap());
    let odd = Paths::new("/var/lib/st\noa; x/");
    assert!(matches!(php::render(APP_1, &spec, &odd), Err(RunError::Unwritable { .. })));
}
