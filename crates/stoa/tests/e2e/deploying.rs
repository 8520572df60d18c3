//! A site whose code is committed, so that each commit can be deployed; what a deployment may leave behind
//! and what it may not.

use crate::load::{Ask, Load, Tally, get};
use crate::repository::Repository;
use crate::site::{TestSite, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Long enough for everything that a test waits for.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// A site and its code.
pub(crate) struct Deploys {
    pub(crate) site: TestSite,
    pub(crate) code: Repository,
}

/// A command that runs beside the test; it is ended with its site.
pub(crate) struct Begun(Child);

impl Deploys {
    /// A site of the small Python application that is not up yet: `app` is added to its table `[app]`,
    /// `more` to the end of its file.
    pub(crate) fn new(app: &str, more: &str) -> Self {
        let site = TestSite::python("");
        site.config(&format!(
            "[app]\nrun = \"python3 app.py\"\nhealth = \"/health\"\nstart_timeout = \"3s\"\n\
             stop_timeout = \"5s\"\n{app}\n[web]\nfiles = {{ \"/static\" = \"static\" }}\n{more}\n"
        ));
        let code = Repository::new(site.source());
        // The file is the operator's: what it says is no part of a release.
        code.write(".git/info/exclude", "/stoa.toml\n");
        code.write("static/release.txt", "first\n");
        code.commit("first");
        Deploys { site, code }
    }

    /// The same, brought up.
    pub(crate) fn up(app: &str, more: &str) -> Self {
        let deploys = Deploys::new(app, more);
        deploys.site.ok(&["up", "--yes"]);
        deploys
    }

    /// Commits code that behaves as this JSON says; see `app.py`.
    pub(crate) fn behave(&self, how: &str) -> String {
        self.code.write("behaviour.json", how);
        self.code.commit(how)
    }

    /// Visitors: 8 with keep-alive, reads, files and writes, who think a little between two questions.
    pub(crate) fn visitors(&self) -> Load {
        let get = |path: &str| Ask { method: "GET", path: path.to_owned(), body: None, status: 200 };
        let post =
            Ask { method: "POST", path: "/post".to_owned(), body: Some("n={n}".to_owned()), status: 200 };
        let asks = [get("/"), post, get("/static/site.css"), get("/slow/20")];
        let load = Load::paced(self.site.address, "localhost", 8, &asks, Duration::from_millis(5));
        assert!(load.answers(50, SOON), "no load came up\n{}", self.site.story());
        load
    }

    /// Ends the visitors after some more answers; nothing was lost.
    #[track_caller]
    pub(crate) fn lost_nothing(&self, load: Load) {
        assert!(load.answers(50, SOON), "the load stands still\n{}", self.site.story());
        let Tally { lost, answered, .. } = load.finish();
        assert!(lost.is_empty(), "{} of {answered} lost: {lost:#?}\n{}", lost.len(), self.site.story());
    }

    /// Who answers: the number of the release.
    pub(crate) fn answers(&self) -> String {
        let page = get(self.site.address, "localhost", "/").expect("an answer");
        let release = page.header("x-app-release").unwrap_or_default();
        release.split('-').next().unwrap_or_default().to_owned()
    }

    /// A file that nginx serves, and its status.
    pub(crate) fn file(&self, path: &str) -> (u16, String) {
        let answer = get(self.site.address, "localhost", path).expect("an answer");
        (answer.status, answer.body.trim().to_owned())
    }

    /// The last deployment as `status` tells it.
    pub(crate) fn deployment(&self) -> Value {
        self.site.status()["deployment"].clone()
    }

    /// Waits until the last deployment is in this phase, such as `done`.
    pub(crate) fn reaches(&self, phase: &str) {
        let what = format!("the deployment is in the phase {phase:?}");
        self.site.wait(&what, SOON, || word(&self.deployment()["phase"]) == phase);
    }

    /// One release serves, alone: `count` instances, all of it and no other process of the application;
    /// nothing is left of a build that was not finished.
    #[track_caller]
    pub(crate) fn rests(&self, release: &str, count: usize) {
        let site = &self.site;
        site.settles();
        let alone = || {
            let all = site.instances("app");
            let of_it = |one: &Value| {
                let its = one["release"].as_str().unwrap_or_default();
                one["state"] == "serving" && its.split('-').next() == Some(release)
            };
            all.len() == count && all.iter().all(of_it) && self.applications() == count
        };
        site.wait(&format!("{count} instances of release {release} are all there is"), SOON, alone);
        assert_eq!(self.answers(), release, "{}", site.story());
        let known: Vec<_> = self.releases().into_iter().map(|(name, _)| name).collect();
        for entry in std::fs::read_dir(site.state().join("releases")).expect("the releases").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let whole = known.contains(&name) || name.ends_with(".failed");
            assert!(whole, "{name} was left behind; {known:?}\n{}", site.story());
        }
    }

    /// How many processes of the application run, whatever the site says of them.
    pub(crate) fn applications(&self) -> usize {
        let runs_it = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0app.py\0"))
        };
        self.site.processes().iter().filter(|pid| runs_it(pid)).count()
    }

    /// `stoa releases`: the name and the state of each, the newest first.
    pub(crate) fn releases(&self) -> Vec<(String, String)> {
        let all: Value = serde_json::from_str(&self.site.ok(&["releases", "--json"])).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = all.as_array().expect("a list").iter();
        all.map(|one| (text(&one["release"]), text(&one["state"]))).collect()
    }

    /// The last deployment failed and said so: to whoever asked for it (`said`), and in the journal with
    /// the same reason. Release `old` serves.
    #[track_caller]
    pub(crate) fn failed(&self, said: &str, reason: &str, old: &str) {
        assert!(said.contains(reason), "nobody was told {reason:?} but:\n{said}\n{}", self.site.story());
        let number = self.deployment()["number"].clone();
        let told = self.events().into_iter().any(|entry| {
            let text = entry["text"].as_str().unwrap_or_default();
            let because = entry["because"].as_str().unwrap_or_default();
            entry["kind"] == "failed"
                && text.starts_with(&format!("deployment {number} failed"))
                && because.contains(reason)
        });
        assert!(told, "the journal does not tell {reason:?}\n{}", self.site.story());
        self.rests(old, 2);
    }

    /// The journal, oldest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let printed = self.site.ok(&["events", "--json", "-n", "500"]);
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Starts a command without waiting for its end.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Begun {
        let mut command = self.site.command(arguments);
        Begun(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("stoa runs"))
    }

    /// Kills the daemon, if one runs.
    pub(crate) fn kill_the_daemon(&self) {
        let pids = self.site.processes();
        let is_daemon = |pid: &&u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).skip(1).take(2).eq([&b"daemon"[..], b"--kept"])
        };
        for pid in pids.iter().filter(is_daemon) {
            // It may be gone already.
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).output();
        }
    }
}

impl Begun {
    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("its state").is_some()
    }

    /// Waits for its end; its exit code and all it printed.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        let output = self.0.wait_with_output().expect("its end");
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }
}

/// The word of a phase, with or without what belongs to it.
pub(crate) fn word(phase: &Value) -> &str {
    let inner = phase.as_object().and_then(|phase| phase.keys().next());
    phase.as_str().or(inner.map(String::as_str)).unwrap_or_default()
}

/// The environment that the application was given.
pub(crate) fn environment(site: &TestSite) -> BTreeMap<String, String> {
    let answer = get(site.address, "localhost", "/environment").expect("an answer");
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}\n{}", site.story()))
}
