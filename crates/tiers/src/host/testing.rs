//! What tests of this room share: a state folder that is cleaned up with everything that runs in it.

use super::launch::{Launch, Limits, RunAs, StopSignal};
use super::users::{Identity, Users};
use super::{Processes, files, programs};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use stoa_model::observed::ProcessState;
use stoa_model::site::{Bytes, CacheEngine, Eviction};
use stoa_model::spec::CacheSpec;
use stoa_model::{Endpoint, InstanceId, Paths, Port, Spec, Tier};

/// A state folder of its own.
pub(crate) struct Bench {
    pub(crate) paths: Paths,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Tiers that run as another user have to pass.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let bench = Bench { paths: Paths::new(folder.path().join("s")), _folder: folder };
        files::ensure_state(&bench.paths, &bench.users()).unwrap();
        bench
    }

    /// As root the tiers run as `nobody`: most servers refuse root.
    pub(crate) fn users(&self) -> Users {
        if rustix::process::geteuid().is_root() {
            return Users::everyone(Identity { uid: 65_534, gid: 65_534 });
        }
        Users::caller()
    }

    pub(crate) fn processes(&self) -> Processes {
        Processes::new(self.paths.clone(), self.users())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let Ok(records) = std::fs::read_dir(self.paths.run().join("pid")) else { return };
        for record in records.flatten() {
            if let Ok(record) = super::record::Record::load(&record.path()) {
                let _ = super::stop::clear(&record);
            }
        }
        let group = super::cgroup::Cgroups::find(&self.paths);
        group.remove();
    }
}

/// `program` as an instance, whatever it really is.
pub(crate) fn launch(bench: &Bench, instance: InstanceId, argv: &[&str]) -> Launch {
    let port = super::ports::free_ports(1, u64::from(std::process::id()) * 131 + next()).remove(0);
    launch_at(bench, instance, argv, port)
}

pub(crate) fn launch_at(bench: &Bench, instance: InstanceId, argv: &[&str], port: Port) -> Launch {
    let spec = Spec::Cache(CacheSpec {
        engine: CacheEngine::Redis,
        endpoint: Endpoint::loopback(port),
        memory: Bytes(1 << 20),
        eviction: Eviction::AllkeysLru,
        restart: 0,
    });
    Launch {
        instance,
        argv: argv.iter().map(Into::into).collect(),
        environment: programs::environment(),
        directory: bench.paths.instance(instance),
        user: RunAs::Tier(Tier::Cache),
        limits: Limits::default(),
        stop_signal: StopSignal::Term,
        spec,
        release: None,
        files: Vec::new(),
        folders: Vec::new(),
        held: None,
    }
}

/// A Python program as an instance.
pub(crate) fn python(bench: &Bench, instance: InstanceId, code: &str) -> Launch {
    launch(bench, instance, &["python3", "-u", "-c", code])
}

pub(crate) fn app(number: u16) -> InstanceId {
    InstanceId::new(Tier::App, number)
}

fn next() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) * 17
}

/// Waits until `question` has an answer, and fails with `what` when that takes too long.
pub(crate) async fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a check of an instance passes; says its last lines when it dies meanwhile or takes too long.
pub(crate) async fn until_well<F>(bench: &Bench, processes: &Processes, id: InstanceId, check: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(why) = check().await {
        let alive = processes.subject(id).is_some() && std::time::Instant::now() < deadline;
        let log = super::log::current(&bench.paths.log(id));
        assert!(alive, "{why}: {:?}", super::log::tail(&log, 20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The state of an instance.
pub(crate) fn state(processes: &Processes, instance: InstanceId) -> ProcessState {
    processes.observe().remove(&instance).unwrap_or(ProcessState::Absent)
}

/// Waits for a line in an instance's log.
pub(crate) async fn logged(bench: &Bench, instance: InstanceId, line: &str) {
    let log = super::log::current(&bench.paths.log(instance));
    until(line, || super::log::tail(&log, 1000).iter().any(|l| l == line).then_some(())).await;
}
