//! Real wrappers: this very test program, started again as [`the_wrapper_itself`].

use super::*;
use crate::host::pidfd::PidFd;
use crate::host::testing::until;
use crate::host::{clock, proc};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use stoa_model::Endpoint;
use stoa_model::site::{AppKind, UrlPath};
use tempfile::TempDir;

const WRAPPER: &str = "STOA_TASK_WRAPPER";

#[test]
fn the_wrapper_itself() {
    if std::env::var_os(WRAPPER).is_some() {
        carry_out().unwrap();
    }
}

struct World {
    _root: TempDir,
    paths: Paths,
    spec: AppSpec,
    wrapper: Vec<OsString>,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let paths = Paths::new(root.path().join("s"));
        ensure_folder(paths.root(), 0o711, None).unwrap();
        let spec = AppSpec {
            site: "shop".parse().unwrap(),
            release: "7-3fa9c21".parse().unwrap(),
            kind: AppKind::Http,
            run: None,
            endpoint: Endpoint::Tcp("127.0.0.1:1".parse().unwrap()),
            env: BTreeMap::new(),
            persist: Vec::new(),
            health: UrlPath::parse("/").unwrap(),
            start_timeout: Millis::from_secs(1),
            stop_timeout: Millis::from_secs(1),
            memory: None,
            database: None,
            cache: None,
            restart: 0,
            environment: "staging".parse().unwrap(),
            secrets: Default::default(),
        };
        let release = paths.release(&spec.release);
        ensure_folder(&release, 0o755, None).unwrap();
        // Where the commands, as another user, may leave their traces.
        ensure_folder(&paths.root().join("out"), 0o777, None).unwrap();
        let mut wrapper: Vec<OsString> = vec![programs::find("env").unwrap().into()];
        wrapper.push(format!("{WRAPPER}=1").into());
        wrapper.push(std::env::current_exe().unwrap().into());
        wrapper.extend(["app::task::tests::the_wrapper_itself", "--exact", "--nocapture"].map(Into::into));
        World { _root: root, paths, spec, wrapper }
    }

    fn out(&self, name: &str) -> std::path::PathBuf {
        self.paths.root().join("out").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.out(name)).unwrap_or_default()
    }

    /// Runs a Python program; `OUT` in it is the folder of traces.
    async fn python(&self, id: &str, code: &str, timeout: Millis) -> Result<(), TaskError> {
        self.python_with(id, code, timeout, &BTreeMap::new()).await
    }

    async fn python_with(
        &self,
        id: &str,
        code: &str,
        timeout: Millis,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), TaskError> {
        let file = self.paths.release(&self.spec.release).join(format!("{id}.py"));
        std::fs::write(&file, format!("OUT = {:?}\n{code}", self.out(""))).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        self.command(id, &format!("python3 -u {id}.py"), timeout, secrets).await
    }

    async fn command(
        &self,
        id: &str,
        line: &str,
        timeout: Millis,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), TaskError> {
        let command = CommandLine::parse(line).unwrap();
        let user = rustix::process::geteuid().is_root().then_some(Identity { uid: 65_534, gid: 65_534 });
        let id = id.parse().unwrap();
        let task = Task { id, command: &command, spec: &self.spec, timeout, user, wrapper: &self.wrapper };
        start(&task, &self.paths, &Credentials::generate().unwrap(), secrets).await
    }

    fn state(&self, id: &str) -> Option<TaskState> {
        observe(&self.paths).remove(&id.parse().unwrap())
    }

    async fn over(&self, id: &str) -> TaskState {
        until("the end of the task", || {
            self.state(id).filter(|state| !matches!(state, TaskState::Running { .. }))
        })
        .await
    }

    /// Why it failed, with its last lines.
    async fn failed(&self, id: &str) -> (String, Vec<String>) {
        match self.over(id).await {
            TaskState::Failed { why, last_lines } => (why, last_lines),
            other => panic!("{other:?}"),
        }
    }

    fn wrapper_of(&self, id: &str) -> crate::host::record::Identity {
        match Record::load(&self.paths, id.parse().unwrap()) {
            Ok(Some(Record::Running { process, .. })) => process,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that runs a command of this site's tasks.
    fn alive(&self) -> Vec<u32> {
        let needle = format!("STOA_TASK={}", self.paths.root().display());
        let marked = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == needle.as_bytes())
        };
        proc::pids().into_iter().filter(marked).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for id in record::all(&self.paths) {
            if let Ok(Some(Record::Running { process, .. })) = Record::load(&self.paths, id)
                && let Ok(wrapper) = PidFd::open(process)
            {
                wrapper.signal(Signal::KILL);
            }
        }
        crate::tool::sweep_blocking(&mark(&self.paths));
    }
}

const LONG: Millis = Millis::from_secs(60);

#[tokio::test]
async fn a_task_runs_once_as_the_applications_user_with_its_environment() {
    let world = World::new();
    let code = "import os\nprint('\\x1b[31mhello', os.getuid(), os.getcwd())\n\
                open(OUT + 'ran', 'a').write('x')\n\
                open(OUT + 'env', 'w').write(repr(sorted(os.environ.items())))";
    let secrets = BTreeMap::from([("API_KEY".to_owned(), "s3cret-s3cret".to_owned())]);
    world.python_with("migrate-12", code, LONG, &secrets).await.unwrap();
    assert!(world.state("migrate-12").is_some(), "the record stands when it is begun");
    assert_eq!(world.over("migrate-12").await, TaskState::Done);
    let environment = world.read("env");
    for part in ["('STOA_DEPLOY', '12')", "('STOA_ENVIRONMENT', 'staging')", "('API_KEY', 's3cret-s3cret')"] {
        assert!(environment.contains(part), "{part} in {environment}");
    }
    let log = std::fs::read_to_string(world.paths.task_log("migrate-12".parse().unwrap())).unwrap();
    assert!(log.starts_with("$ python3 -u migrate-12.py\n"), "{log}");
    assert!(log.contains(&format!("{}\n", world.paths.release(&world.spec.release).display())), "{log}");
    if rustix::process::geteuid().is_root() {
        assert!(log.contains("hello 65534"), "{log}");
    }
    // Asked for again, whatever it is by now: not run again.
    world.python("migrate-12", "open(OUT + 'ran', 'a').write('again')", LONG).await.unwrap();
    assert_eq!((world.over("migrate-12").await, world.read("ran").as_str()), (TaskState::Done, "x"));
    let kept = std::fs::read_to_string(world.paths.task("migrate-12".parse().unwrap())).unwrap();
    assert!(!kept.contains("s3cret"));
}

#[tokio::test]
async fn two_daemons_that_begin_the_same_task_run_it_once_and_two_tasks_run_one_after_the_other() {
    let world = World::new();
    let code = "import time\nopen(OUT + 'order', 'a').write('a')\ntime.sleep(0.3)\nopen(OUT + 'order', 'a').write('b')";
    let one = world.python("migrate-1", code, LONG);
    let again = world.python("migrate-1", code, LONG);
    let other = world.python("after-deploy-1", code, LONG);
    let (one, again, other) = tokio::join!(one, again, other);
    one.and(again).and(other).unwrap();
    for id in ["migrate-1", "after-deploy-1"] {
        assert_eq!(world.over(id).await, TaskState::Done);
    }
    assert_eq!(world.read("order"), "abab");
}

#[tokio::test]
async fn no_secret_can_be_seen_in_the_wrapper() {
    let world = World::new();
    let secrets = BTreeMap::from([("API_KEY".to_owned(), "s3cret-s3cret".to_owned())]);
    world.python_with("migrate-1", "import time; time.sleep(600)", LONG, &secrets).await.unwrap();
    let wrapper = world.wrapper_of("migrate-1").pid;
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{wrapper}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("s3cret"), "{file}");
    }
    let stat = proc::stat(wrapper).unwrap();
    assert_eq!(stat.session, wrapper, "a session of its own");
    stop_all(&world.paths).await;
    world.command("migrate-2", "python3 x --key $API_KEY", LONG, &secrets).await.unwrap();
    let (why, _) = world.failed("migrate-2").await;
    assert!(why.contains("puts $API_KEY into the arguments") && !why.contains("s3cret"), "{why}");
}

#[tokio::test]
async fn a_migration_that_fails_half_way_says_so_with_its_last_lines() {
    let world = World::new();
    let code =
        "import sys\nprint('step 1 done')\nprint('\\x1b[31mtable exists', file=sys.stderr)\nsys.exit(3)";
    world.python("migrate-1", code, LONG).await.unwrap();
    let (why, last_lines) = world.failed("migrate-1").await;
    assert_eq!(why, "`python3 -u migrate-1.py` ended with exit status 3");
    assert_eq!(last_lines, ["$ python3 -u migrate-1.py", "step 1 done", "[31mtable exists"]);
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_a_task_that_failed() {
    let world = World::new();
    world.command("migrate-1", "manage.py migrate", LONG, &BTreeMap::new()).await.unwrap();
    let (why, _) = world.failed("migrate-1").await;
    assert!(why.contains("there is no program \"manage.py\""), "{why}");
    refuse("migrate-2".parse().unwrap(), "the secret KEY has no value: stoa secrets set KEY", &world.paths)
        .unwrap();
    assert!(world.failed("migrate-2").await.0.contains("stoa secrets set KEY"));
    world.python("migrate-2", "", LONG).await.unwrap();
    assert!(world.failed("migrate-2").await.0.contains("stoa secrets set KEY"), "it stays refused");
}

/// A child, one that is forked twice and leads a session of its own, and one that has shed its environment; all
/// hold the output open and ignore SIGTERM (which is kept through exec). A line is one write: they say it at once,
/// and an unbuffered print writes its line's end apart.
const STUBBORN: &str = "
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def sleep(name, environment):
    os.write(1, b'up\\n')
    os.execvpe('sleep', [name, '600'], environment)
if os.fork() == 0:
    sleep('sleep', os.environ)
for name, environment in ('sleep', os.environ), (OUT, {}):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep(name, environment)
        os._exit(0)
os.write(1, b'waiting\\n')
";

/// What runs with `needle` among its arguments, but for ourselves.
fn with_argument(needle: &str) -> Vec<u32> {
    let named = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == needle.as_bytes())
    };
    proc::pids().into_iter().filter(named).collect()
}

#[tokio::test]
async fn a_migration_that_hangs_is_killed_with_all_its_children() {
    let world = World::new();
    let began = std::time::Instant::now();
    world.python("migrate-1", &format!("{STUBBORN}time.sleep(600)"), Millis(2500)).await.unwrap();
    let (why, last_lines) = world.failed("migrate-1").await;
    assert!(why.contains("was killed: it took longer than 2.5 s ([deploy] task_timeout)"), "{why}");
    assert_eq!(last_lines.iter().filter(|line| *line == "up").count(), 3, "{last_lines:?}");
    assert_eq!(world.alive(), Vec::<u32>::new());
    until("the end of the one without a mark", || {
        with_argument(&world.out("").display().to_string()).is_empty().then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_task_whose_wrapper_is_killed_was_cut_short_and_leaves_nothing_that_runs() {
    let world = World::new();
    world.python("migrate-1", &format!("{STUBBORN}time.sleep(600)"), LONG).await.unwrap();
    let log = world.paths.task_log("migrate-1".parse().unwrap());
    let up = || crate::host::log::tail(&log, 10).iter().filter(|line| *line == "up").count() == 3;
    until("its children", || up().then_some(())).await;
    assert!(matches!(world.state("migrate-1"), Some(TaskState::Running { since }) if since <= clock::now()));
    let wrapper = PidFd::open(world.wrapper_of("migrate-1")).unwrap();
    wrapper.signal(Signal::KILL);
    wrapper.ended().await;
    let (why, _) = world.failed("migrate-1").await;
    assert!(why.contains("was cut short: the process that watched over it was killed"), "{why}");
    assert!(why.ends_with("how far it came is not known"), "{why}");
    assert_eq!(world.alive(), Vec::<u32>::new(), "before anybody is told");
    // For good, and not run again.
    world.python("migrate-1", "open(OUT + 'again', 'w')", LONG).await.unwrap();
    assert_eq!(world.failed("migrate-1").await.0, why);
    assert!(!world.out("again").exists());
    // The next task is not held up by it.
    world.python("migrate-2", "pass", LONG).await.unwrap();
    assert_eq!(world.over("migrate-2").await, TaskState::Done);
    for pid in with_argument(&world.out("").display().to_string()) {
        let _ = rustix::process::kill_process(proc::raw(pid).unwrap(), Signal::KILL);
    }
}

#[tokio::test]
async fn the_command_dies_with_a_wrapper_that_is_killed() {
    let world = World::new();
    let code = "import os, time\nopen(OUT + 'pid', 'w').write(str(os.getpid()))\ntime.sleep(600)";
    world.python("migrate-1", code, LONG).await.unwrap();
    let pid: u32 = until("its pid", || world.read("pid").parse().ok()).await;
    PidFd::open(world.wrapper_of("migrate-1")).unwrap().signal(Signal::KILL);
    // Nobody looks at the task meanwhile: it is the kernel that ends it.
    until("the command's end", || proc::stat(pid).is_none_or(|stat| stat.is_dead()).then_some(())).await;
}

#[tokio::test]
async fn down_ends_what_runs_politely_first() {
    let world = World::new();
    let code = "import signal, sys, time\n\
        def end(*_):\n  open(OUT + 'asked', 'w').write('x')\n  sys.exit(1)\n\
        signal.signal(signal.SIGTERM, end)\nopen(OUT + 'up', 'w').write('x')\ntime.sleep(600)";
    world.python("migrate-1", code, LONG).await.unwrap();
    until("its handler", || (world.read("up") == "x").then_some(())).await;
    stop_all(&world.paths).await;
    let Some(TaskState::Failed { why, .. }) = world.state("migrate-1") else { panic!("it goes on") };
    assert!(why.contains("was stopped with the site"), "{why}");
    assert_eq!((world.read("asked").as_str(), world.alive()), ("x", Vec::new()));
    stop_all(&world.paths).await;
}

#[tokio::test]
async fn a_task_of_another_boot_was_cut_short_and_a_damaged_record_is_never_run_again() {
    let world = World::new();
    ensure_folder(&record::folder(&world.paths), 0o700, None).unwrap();
    let process = crate::host::record::Identity {
        pid: std::process::id(),
        started: proc::stat(std::process::id()).unwrap().started,
    };
    let (since, command) = (clock::now(), "manage.py migrate".to_owned());
    let record = Record::Running { boot: "another".to_owned(), process, since, command };
    record.store(&world.paths, "migrate-1".parse().unwrap()).unwrap();
    let (why, _) = world.failed("migrate-1").await;
    assert!(why.contains("`manage.py migrate` was cut short: the machine went down"), "{why}");
    std::fs::write(world.paths.task("migrate-2".parse().unwrap()), "{").unwrap();
    world.python("migrate-2", "open(OUT + 'again', 'w')", LONG).await.unwrap();
    assert!(world.failed("migrate-2").await.0.contains("what became of it is not known"));
    assert!(!world.out("again").exists());
    std::fs::write(record::folder(&world.paths).join("notes.json"), "{").unwrap();
    assert_eq!(observe(&world.paths).len(), 2, "what is no task is none");
}

#[tokio::test]
async fn the_newest_records_are_kept() {
    let world = World::new();
    for number in 1..=60 {
        let id = format!("migrate-{number}").parse().unwrap();
        refuse(id, "x", &world.paths).unwrap();
        let log = world.paths.task_log(id);
        ensure_folder(log.parent().unwrap(), 0o700, None).unwrap();
        std::fs::write(log, "x").unwrap();
    }
    record::prune(&world.paths, KEPT).unwrap();
    let kept = observe(&world.paths);
    assert_eq!(kept.len(), KEPT);
    assert_eq!(kept.keys().map(|id| id.deploy.0).min(), Some(11));
    assert_eq!(std::fs::read_dir(world.paths.root().join("log/deploy")).unwrap().count(), KEPT);
}

#[tokio::test]
async fn a_wrapper_that_cannot_be_started_leaves_no_record() {
    let mut world = World::new();
    for wrapper in [vec![], vec!["/nonexistent/stoa".into()], vec![programs::find("true").unwrap().into()]] {
        world.wrapper = wrapper;
        let error = world.python("migrate-1", "pass", LONG).await.unwrap_err().to_string();
        assert!(error.starts_with("migrate-1 could not be begun: "), "{error}");
        assert_eq!(world.state("migrate-1"), None);
    }
}
