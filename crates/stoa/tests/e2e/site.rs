//! A real site for a test: its own folder, state and port; nothing of it is left when it is dropped.

use crate::reserved::Reserved;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The binary under test.
const STOA: &str = env!("CARGO_BIN_EXE_stoa");

/// A real site.
pub(crate) struct TestSite {
    folder: TempDir,
    state: PathBuf,
    /// What `stoa` is started through, such as another user or a mount namespace; nothing by default.
    through: Vec<OsString>,
    /// The file that is run as `stoa`.
    program: PathBuf,
    /// Where visitors connect.
    pub(crate) address: SocketAddr,
    _reserved: Reserved,
}

/// A threaded server of Python's own library: no build, starts at once, shows who answers.
const APP: &str = include_str!("app.py");

impl TestSite {
    /// A site of the small Python application; `more` is added to its `stoa.toml`.
    pub(crate) fn python(more: &str) -> Self {
        let site = TestSite::empty();
        site.write("app.py", APP);
        site.write("static/site.css", "body { color: black }\n");
        let app = "[app]\nrun = \"python3 app.py\"\nbuild = []\nstop_timeout = \"5s\"\n";
        let files = "[web]\nfiles = { \"/static\" = \"static\" }\n";
        site.config(&format!("{app}{files}{more}"));
        site
    }

    /// A site with nothing in its folder yet.
    pub(crate) fn empty() -> Self {
        // Unix sockets must fit 107 bytes: a short folder, whatever TMPDIR says.
        let folder = tempfile::Builder::new().prefix("stoa-").tempdir_in("/tmp").expect("a folder");
        let reserved = Reserved::new();
        std::fs::create_dir(folder.path().join("app")).expect("the site's folder");
        // The tiers' users must be able to pass through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("its rights");
        let state = folder.path().join("state");
        TestSite {
            folder,
            state,
            through: Vec::new(),
            program: PathBuf::from(STOA),
            address: reserved.address,
            _reserved: reserved,
        }
    }

    /// A copy of a folder of the repository's examples.
    pub(crate) fn example(name: &str) -> Self {
        let site = TestSite::empty();
        copy_example(name, &site.source());
        let config = std::fs::read_to_string(site.source().join("stoa.toml")).expect("its config");
        site.write("stoa.toml", &format!("{config}\n[balancer]\nlisten = \"{}\"\n", site.address));
        site
    }

    /// Keeps its state at `state` from now on.
    pub(crate) fn keep_state_at(&mut self, state: PathBuf) {
        self.state = state;
    }

    /// Runs another file as `stoa` from now on.
    pub(crate) fn run_program(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Starts `stoa` through another program from now on.
    pub(crate) fn start_through<S: Into<OsString>>(&mut self, words: impl IntoIterator<Item = S>) {
        self.through = words.into_iter().map(Into::into).collect();
    }

    /// Writes `stoa.toml`: name, domain and address, then `rest`.
    pub(crate) fn config(&self, rest: &str) {
        let head = format!(
            "[site]\nname = \"test\"\ndomain = \"www.example.com\"\n[balancer]\nlisten = \"{}\"\n",
            self.address
        );
        self.write("stoa.toml", &format!("{head}{rest}"));
    }

    /// Writes a file of the site.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.source().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        std::fs::write(path, text).expect("the file");
    }

    /// Where the site's files are.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// Where its state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// The folder of this test, which goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `stoa` with these arguments in the site's folder.
    pub(crate) fn stoa(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("stoa runs")
    }

    /// `stoa` with these arguments, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.through.iter().map(OsString::as_os_str).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(self.program.as_os_str()));
        command.args(words).arg("--state").arg(self.state()).args(arguments).current_dir(self.source());
        command.env("NO_COLOR", "1").stdin(std::process::Stdio::null());
        command
    }

    /// Runs `stoa`, which must succeed; what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.stoa(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "stoa {arguments:?} failed:\n{out}{err}\n{}", self.story());
        out
    }

    /// Runs `stoa`, which must fail with this code; all it printed.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.stoa(arguments);
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "stoa {arguments:?} printed:\n{all}\n{}", self.story());
        all
    }

    /// `stoa status --json`.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).expect("status is JSON")
    }

    /// The instances of a tier as `status` tells them.
    pub(crate) fn instances(&self, tier: &str) -> Vec<Value> {
        let status = self.status();
        let tiers = status["tiers"].as_array().expect("tiers");
        let found = tiers.iter().find(|t| t["tier"] == tier);
        found.and_then(|t| t["instances"].as_array().cloned()).unwrap_or_default()
    }

    /// The pid of an instance.
    pub(crate) fn pid(&self, instance: &str) -> Option<u32> {
        let tier = instance.split('-').next().expect("a tier");
        let found = self.instances(tier).into_iter().find(|i| i["id"] == instance)?;
        found["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Sends a signal to one process of this site.
    pub(crate) fn kill(&self, pid: u32, signal: &str) {
        let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill {signal} {pid}");
    }

    /// Waits until `condition` holds; panics with `what` and the site's story when it does not in time.
    pub(crate) fn wait(&self, what: &str, within: Duration, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + within;
        while !condition() {
            assert!(Instant::now() < deadline, "waited {within:?} in vain until {what}\n{}", self.story());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until nothing is left to do.
    pub(crate) fn settles(&self) {
        self.wait("the site is settled", Duration::from_secs(60), || self.status()["settled"] == true);
    }

    /// Every process of this site, found by its environment, whatever the site says of it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.state().into_os_string();
        let all = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = |pid: &u32| {
            let read = |file| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let mark = mark.as_encoded_bytes();
            contains(&read("environ"), mark) || contains(&read("cmdline"), mark)
        };
        pids.filter(|pid| *pid != std::process::id()).filter(ours).collect()
    }

    /// The environments beside production that have a state.
    fn environments(&self) -> Vec<String> {
        let state = self.state();
        let entries =
            state.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
        let prefix = format!("{}@", state.file_name().unwrap_or_default().to_string_lossy());
        let name = |name: OsString| Some(name.to_str()?.strip_prefix(&prefix)?.to_owned());
        entries.filter_map(|entry| name(entry.file_name())).collect()
    }

    /// What happened, for a test that failed.
    pub(crate) fn story(&self) -> String {
        let log = std::fs::read_to_string(self.state().join("log/daemon.log")).unwrap_or_default();
        let events = self.stoa(&["events", "-n", "60"]);
        let status = self.stoa(&["status"]);
        format!(
            "--- status\n{}{}--- events\n{}--- daemon.log\n{log}",
            text(&status.stdout),
            text(&status.stderr),
            text(&events.stdout)
        )
    }
}

impl Drop for TestSite {
    fn drop(&mut self) {
        for environment in self.environments() {
            let _ = self.stoa(&["-e", &environment, "down", "--destroy", "--yes"]);
        }
        if self.state().exists() {
            let _ = self.stoa(&["down", "--destroy", "--yes"]);
        }
        // What `down` did not end, a failed test must not leave behind either.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Copies a folder of the repository's examples into the site's folder.
fn copy_example(name: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let status =
        Command::new("cp").arg("-r").arg("--").arg(from.join(".")).arg(to).status().expect("cp runs");
    assert!(status.success(), "copying the example {name}");
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
