use super::*;
use crate::host::testing::{Bench, state, until, until_well};
use crate::host::{Processes, ports};
use std::io::{Read, Write};
use stoa_model::observed::ProcessState;
use stoa_model::site::{Bytes, Eviction};
use stoa_model::{Millis, Port};

const CACHE: InstanceId = InstanceId::new(Tier::Cache, 1);

fn spec(engine: CacheEngine, port: Port) -> CacheSpec {
    CacheSpec {
        engine,
        endpoint: Endpoint::loopback(port),
        memory: Bytes(8 << 20),
        eviction: Eviction::AllkeysLru,
        restart: 0,
    }
}

fn credentials() -> Credentials {
    let text = r#"{"app":"a","replication":"r","monitor":"m","admin":"d","cache":"CACHE-SECRET"}"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn redis_is_told_in_a_secret_file() {
    let spec = spec(CacheEngine::Redis, Port::try_from(21_000).unwrap());
    let launch = launch(CACHE, &spec, &Paths::new("/var/lib/stoa/my \"shop"), &credentials()).unwrap();
    assert_eq!(launch.argv, ["redis-server", "/var/lib/stoa/my \"shop/run/cache-1/redis.conf"]);
    assert!(launch.files[0].secret);
    assert!(!format!("{:?}{:?}", launch.argv, launch.environment).contains("SECRET"));
    insta::assert_snapshot!(launch.files[0].text, @r#"
    # Written by Stoa; changes are lost at the next start.
    bind 127.0.0.1
    port 21000
    protected-mode yes
    requirepass CACHE-SECRET
    daemonize no
    set-proc-title no
    logfile ""
    loglevel notice
    tcp-backlog 511
    tcp-keepalive 60
    timeout 0
    maxclients 4096
    # A cache: nothing in it outlives the process, nothing is written to the disk.
    dir "/var/lib/stoa/my \"shop/data/cache-1"
    save ""
    appendonly no
    maxmemory 8388608
    maxmemory-policy allkeys-lru
    lazyfree-lazy-eviction yes
    lazyfree-lazy-expire yes
    "#);
}

#[test]
fn memcached_is_told_by_arguments_and_a_forged_folder_is_refused() {
    let port = Port::try_from(21_001).unwrap();
    let spec = spec(CacheEngine::Memcached, port);
    let launch = launch(CACHE, &spec, &Paths::new("/s"), &credentials()).unwrap();
    let words = ["memcached", "-l", "127.0.0.1", "-p", "21001", "-U", "0", "-m", "8", "-c", "4096"];
    assert_eq!(launch.argv, words);
    assert!(launch.files.is_empty());
    let redis = super::tests::spec(CacheEngine::Redis, port);
    assert!(super::launch(CACHE, &redis, &Paths::new("/s\nrequirepass x"), &credentials()).is_err());
}

async fn started(bench: &Bench, engine: CacheEngine) -> (Processes, CacheSpec) {
    let processes = bench.processes();
    let seed = u64::from(std::process::id()) * 389 + engine as u64 * 50;
    let spec = spec(engine, ports::free_ports(1, seed).remove(0));
    let credentials = credentials();
    let launch = launch(CACHE, &spec, &bench.paths, &credentials).unwrap();
    processes.start(launch, Vec::new()).await.unwrap();
    until_well(bench, &processes, CACHE, || check(&spec, &credentials, health::TIMEOUT)).await;
    (processes, spec)
}

fn ask(spec: &CacheSpec, words: &str) -> String {
    let Endpoint::Tcp(address) = spec.endpoint else { panic!() };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_real_redis_serves_who_knows_the_password_within_its_bounds() {
    let bench = Bench::new();
    let (processes, spec) = started(&bench, CacheEngine::Redis).await;
    assert!(ask(&spec, "GET x\r\nQUIT\r\n").starts_with("-NOAUTH"));
    let answers = ask(
        &spec,
        "AUTH CACHE-SECRET\r\nCONFIG GET maxmemory\r\nCONFIG GET maxmemory-policy\r\nCONFIG GET save\r\nQUIT\r\n",
    );
    for expected in ["8388608", "allkeys-lru", "$0\r\n\r\n"] {
        assert!(answers.contains(expected), "{expected}: {answers}");
    }
    let wrong: Credentials =
        serde_json::from_str(r#"{"app":"a","replication":"r","monitor":"m","admin":"d","cache":"wrong"}"#)
            .unwrap();
    let why = check(&spec, &wrong, health::TIMEOUT).await.unwrap_err();
    assert!(why.starts_with("answered \"-WRONGPASS"), "{why}");
    processes.stop(CACHE, Millis::from_secs(10)).await.unwrap();
    assert_eq!(check(&spec, &wrong, health::TIMEOUT).await, Err("connection refused".to_owned()));
}

#[tokio::test]
async fn a_real_memcached_serves_and_is_killed_and_noticed() {
    let bench = Bench::new();
    let (processes, spec) = started(&bench, CacheEngine::Memcached).await;
    let answers = ask(&spec, "set k 0 0 1\r\nv\r\nget k\r\nstats\r\nquit\r\n");
    assert!(answers.starts_with("STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n"), "{answers}");
    assert!(answers.contains("STAT limit_maxbytes 8388608"), "{answers}");
    processes.signal(CACHE, rustix::process::Signal::KILL).unwrap();
    until("its end", || matches!(state(&processes, CACHE), ProcessState::Exited(_)).then_some(())).await;
}
