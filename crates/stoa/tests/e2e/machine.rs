//! The machine itself is not as one would wish: a full disk, missing programs, no root, a long path.
//!
//! What needs rights that the tests were not given is told on standard error and left out.

use crate::load::{Ask, Load, get};
use crate::site::{TestSite, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;

/// A small disk of its own, which can be filled without harm.
struct Disk(TempDir);

impl Disk {
    /// `None`, and said so, where nothing may be mounted.
    fn of(size: &str) -> Option<Self> {
        let disk = Disk(tempfile::Builder::new().prefix("stoa-").tempdir_in("/tmp").expect("a folder"));
        if !disk.mount(&format!("size={size},mode=755")) {
            left_out("a small disk cannot be mounted here");
            return None;
        }
        Some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path());
        command.output().is_ok_and(|output| output.status.success())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn grow(&self, size: &str) {
        assert!(self.mount(&format!("remount,size={size}")), "remounting with another size");
    }

    fn fill(&self) {
        let error = std::fs::write(self.ballast(), vec![1; 64 << 20]).expect_err("it is smaller");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("what filled it");
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

#[allow(clippy::print_stderr, reason = "a test that was left out must not look like one that passed")]
fn left_out(why: &str) {
    eprintln!("LEFT OUT, this test proves nothing here: {why}");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[test]
fn a_full_disk_is_named_and_what_runs_goes_on() {
    let Some(disk) = Disk::of("6m") else { return };
    let mut site = TestSite::python("");
    site.keep_state_at(disk.state());

    // So full that not even a daemon can begin.
    disk.fill();
    let began = Instant::now();
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("the disk is full"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10), "it takes {:?} to say so", began.elapsed());
    site.wait("nothing was left behind", SOON, || site.processes().is_empty());
    disk.make_room();
    site.ok(&["up", "--yes"]);
    let daemon = site.status()["daemon"]["pid"].clone();

    // A release that does not fit.
    site.write("static/large.bin", &"x".repeat(8 << 20));
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("the disk is full"), "{said}");
    assert_eq!(site.status()["daemon"]["pid"], daemon, "the daemon lives");
    assert_eq!(get(site.address, "localhost", "/").expect("an answer").status, 200);

    disk.grow("64m");
    site.ok(&["up", "--yes"]);
    assert_eq!(site.status()["daemon"]["pid"], daemon, "the daemon lives");
    assert_eq!(get(site.address, "localhost", "/static/large.bin").expect("an answer").body.len(), 8 << 20);
}

#[test]
fn an_up_goes_on_when_there_is_room_again() {
    let Some(disk) = Disk::of("6m") else { return };
    let mut site = TestSite::python("[database]\nmemory = \"64MB\"\n");
    site.keep_state_at(disk.state());
    let mut command = site.command(&["up", "--yes"]);
    let up = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("stoa runs");
    let full = || {
        let status = site.stoa(&["status", "--json"]);
        status.status.success() && text(&status.stdout).contains("the disk is full")
    };
    site.wait("a data folder finds no room", SOON, full);
    disk.grow("600m");
    let ended = up.wait_with_output().expect("its end");
    let said = text(&ended.stdout) + &text(&ended.stderr);
    assert!(ended.status.success() && said.contains("the disk is full"), "{said}\n{}", site.story());
    assert_eq!(get(site.address, "localhost", "/").expect("an answer").status, 200);
}

#[test]
fn a_disk_that_fills_while_the_site_runs_costs_visitors_nothing() {
    let Some(disk) = Disk::of("6m") else { return };
    let mut site = TestSite::python("");
    site.keep_state_at(disk.state());
    site.ok(&["up", "--yes"]);
    let ask = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
    let load = Load::start(site.address, "localhost", 8, &[ask("/"), ask("/static/site.css")]);
    assert!(load.answers(100, SOON), "no load came up\n{}", site.story());

    disk.fill();
    assert!(load.answers(100, SOON), "the load stands still\n{}", site.story());
    for instance in ["app-1", "web-1"] {
        site.kill(site.pid(instance).expect("its pid"), "-KILL");
    }
    // They cannot be started without being recorded, and whoever asks is told so.
    let told = || {
        let failures = site.status()["failures"].to_string();
        failures.contains("disk") && failures.contains("full")
    };
    site.wait("the full disk is told", SOON, told);
    assert_eq!(site.status()["settled"], false);
    assert!(load.answers(200, SOON), "the load stands still\n{}", site.story());

    disk.make_room();
    site.settles();
    for tier in ["app", "web"] {
        let all = site.instances(tier);
        assert!(all.len() == 2 && all.iter().all(|one| one["state"] == "serving"), "{all:?}");
    }
    assert_eq!(site.status()["failures"], serde_json::json!([]), "{}", site.story());
    let tally = load.finish();
    assert!(tally.lost.is_empty(), "of {}: {:#?}\n{}", tally.answered, tally.lost, site.story());
}

/// Hides the programs named before `--` from what it then becomes.
const HIDE: &str = r#"
import os, subprocess, sys
end = sys.argv.index("--")
for program in sys.argv[1:end]:
    subprocess.run(["mount", "--bind", "/dev/null", program], check=True)
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
"#;

/// The words that start a program in a mount namespace of its own; `None`, and said so, where that is not
/// allowed.
fn own_mounts() -> Option<Vec<String>> {
    let mut words = vec!["unshare", "--mount", "--propagation", "private"];
    if !is_root() {
        words.push("--map-root-user");
    }
    words.push("--");
    let tried = Command::new(words[0]).args(&words[1..]).arg("true").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(words.into_iter().map(str::to_owned).collect());
    }
    left_out("programs cannot be hidden: no mount namespace may be made");
    None
}

/// As [`own_mounts`], without these programs.
fn without(programs: &[&str]) -> Option<Vec<String>> {
    let mut words = own_mounts()?;
    words.extend(["/usr/bin/python3", "-c", HIDE].map(str::to_owned));
    words.extend(programs.iter().flat_map(|program| places(program)));
    words.push("--".to_owned());
    Some(words)
}

/// Where a program stands; a folder that is a link is left away, because what is behind it is found too.
fn places(program: &str) -> Vec<String> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let folders = folders.iter().filter(|folder| !Path::new(folder).is_symlink());
    let files = folders.map(|folder| Path::new(folder).join(program)).filter(|file| file.is_file());
    files.map(|file| file.display().to_string()).collect()
}

fn changed_nothing(site: &TestSite) {
    assert!(!site.state().exists(), "a state folder was made");
    assert_eq!(site.processes(), Vec::<u32>::new());
}

#[test]
fn missing_programs_are_told_with_the_line_that_installs_them() {
    let mut site = TestSite::python("[database]\nmemory = \"64MB\"\n");
    let Some(words) = without(&["nginx", "mariadbd"]) else { return };
    site.start_through(words);
    let said = site.fails(&["up"], 1);
    let line = "type: apt-get install -y --no-install-recommends mariadb-server-core nginx";
    assert!(said.contains("nginx, mariadbd") && said.contains(line), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    changed_nothing(&site);
    let said = site.fails(&["doctor"], 1);
    assert!(said.contains("nginx") && said.contains("mariadb-server-core"), "{said}");
    changed_nothing(&site);
}

#[test]
fn without_root_nothing_is_installed() {
    let mut site = TestSite::python("[cache]\n");
    if !is_root() {
        return left_out("only root can hide a program from a user that is not");
    }
    let Some(mut words) = without(&["nginx", "redis-server"]) else { return };
    words.extend(as_nobody(site.folder()));
    site.start_through(words);
    let said = site.fails(&["up", "--yes"], 1);
    let line = "sudo apt-get install -y --no-install-recommends nginx redis-server";
    assert!(said.contains(line) && said.contains("nothing was changed"), "{said}");
    changed_nothing(&site);
}

#[test]
fn a_program_that_vanishes_under_a_running_site_is_named() {
    if !is_root() {
        return left_out("only root can hide a program from a process that runs");
    }
    let mut site = TestSite::python("");
    let Some(words) = own_mounts() else { return };
    site.start_through(words);
    site.ok(&["up", "--yes"]);
    let daemon = site.status()["daemon"]["pid"].to_string();
    let beside = |words: &[&str]| {
        let within = ["--target", &daemon, "--mount", "--"];
        let status = Command::new("nsenter").args(within).args(words).status().expect("nsenter runs");
        assert!(status.success(), "{words:?}");
    };
    let nginx = places("nginx");
    for file in &nginx {
        beside(&["mount", "--bind", "/dev/null", file]);
    }
    site.kill(site.pid("web-1").expect("its pid"), "-KILL");
    let named = || {
        let failures = site.status()["failures"].to_string();
        failures.contains("nginx is not installed: apt-get install nginx")
    };
    site.wait("the program and its package are named", SOON, named);
    assert_eq!(get(site.address, "localhost", "/").expect("an answer").status, 200, "the other nginx serves");
    for file in &nginx {
        beside(&["umount", file]);
    }
    site.settles();
    assert!(site.instances("web").iter().all(|one| one["state"] == "serving"), "{}", site.story());
}

/// The words that start a program as nobody, at home in `folder`/home.
fn as_nobody(folder: &Path) -> Vec<String> {
    let home = folder.join("home");
    std::fs::create_dir_all(&home).expect("a home");
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).expect("its owner");
    let id = NOBODY.to_string();
    let user = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--", "env"].map(str::to_owned);
    user.into_iter().chain([format!("HOME={}", home.display())]).collect()
}

#[test]
fn a_whole_site_stands_without_root() {
    let mut site = TestSite::python("[database]\nmemory = \"64MB\"\n[cache]\n");
    if is_root() {
        let words = as_nobody(site.folder());
        site.start_through(words);
        site.keep_state_at(site.folder().join("home/state"));
        if !site.stoa(&["--version"]).status.success() {
            return left_out("nobody may not read the program under test");
        }
    }
    site.ok(&["up", "--yes"]);
    for path in ["/", "/static/site.css"] {
        assert_eq!(get(site.address, "localhost", path).expect("an answer").status, 200, "{}", site.story());
    }
    if is_root() {
        let owners = site.processes().into_iter().map(|pid| (pid, owner(pid)));
        let others: Vec<_> = owners.filter(|(_, uid)| *uid != Some(NOBODY)).collect();
        assert!(others.is_empty(), "not nobody's: {others:?}");
    }
    let shown = text(&site.stoa(&["status"]).stdout);
    assert!(shown.contains("database (mariadb): 2 of 2 serving"), "{shown}");
    site.ok(&["scale", "app=3"]);
    assert_eq!(site.instances("app").len(), 3);
    site.ok(&["down", "--yes"]);
    site.wait("no process is left", SOON, || site.processes().is_empty());
}

fn owner(pid: u32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid())
}

/// Sets a value, reads it back and tells the bound on memory.
const MEMCACHED: &str = r#"
import os, socket
from urllib.parse import urlsplit
assert os.environ["MEMCACHED_URL"] == os.environ["CACHE_URL"], os.environ
assert "REDIS_URL" not in os.environ
url = urlsplit(os.environ["MEMCACHED_URL"])
cache = socket.create_connection((url.hostname, url.port))
def ask(text):
    cache.sendall(text)
    return cache.recv(65536).decode()
assert ask(b"set key 0 0 5\r\nvalue\r\n") == "STORED\r\n"
assert "value" in ask(b"get key\r\n")
print([line for line in ask(b"stats\r\n").splitlines() if "limit_maxbytes" in line])
"#;

#[test]
fn memcached_is_a_cache_too() {
    let site = TestSite::python("[cache]\nengine = \"memcached\"\nmemory = \"96MB\"\n");
    site.ok(&["up", "--yes"]);
    let printed = site.ok(&["run", "--", "python3", "-c", MEMCACHED]);
    assert!(printed.contains(&format!("limit_maxbytes {}", 96 << 20)), "{printed}");
    let pid = site.pid("cache-1").expect("its pid");
    site.kill(pid, "-KILL");
    site.wait("the cache serves again", SOON, || {
        site.instances("cache").iter().any(|one| one["state"] == "serving" && one["pid"] != pid)
    });
    site.ok(&["run", "--", "python3", "-c", MEMCACHED]);
}

#[test]
fn a_state_folder_too_long_for_sockets_is_refused() {
    let mut site = TestSite::python("");
    site.keep_state_at(site.folder().join("x".repeat(100)));
    let said = site.fails(&["up", "--yes"], 2);
    assert!(said.contains("socket") && said.contains("--state /tmp/"), "{said}");
    changed_nothing(&site);
}
