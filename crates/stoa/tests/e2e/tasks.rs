//! What a deployment runs: its build, its hooks, its migration. Each once, in order; where one fails, nothing
//! changes.

use crate::deploying::{Deploys, SOON};
use std::path::PathBuf;

/// Writes down what is run, in a folder that outlives the releases; fails as behaviour.json says.
const TASK: &str = r#"
import json, os, sys, time
how = json.load(open("behaviour.json")) if os.path.exists("behaviour.json") else {}
def tell(word):
    with open("record/tasks", "a") as record:
        record.write(sys.argv[1] + " " + os.environ["STOA_DEPLOY"] + " " + word + "\n")
tell("begins")
time.sleep(how.get(sys.argv[1] + "_ms", 0) / 1000)
if sys.argv[1] in how.get("fails", []):
    sys.exit("column shoes exists twice")
tell("ends")
"#;

/// Builds; or hangs, with a child that has turned away from it.
const BUILD: &str = r#"
import json, os, subprocess, sys, time
how = json.load(open("behaviour.json")) if os.path.exists("behaviour.json") else {}
if how.get("hangs"):
    words = [sys.executable, "-c", "import time; time.sleep(600)", os.getcwd()]
    subprocess.Popen(words, start_new_session=True)
    print("compiling for ever", flush=True)
    time.sleep(600)
"#;

fn with_tasks() -> Deploys {
    let app = "build = [\"python3 build.py\"]\nbuild_timeout = \"2s\"\npersist = [\"record\"]\n";
    let rules = "[deploy]\nchecks = 1\nwatch_after = \"1s\"\nbefore_deploy = \"python3 task.py before\"\n\
                 migrate = \"python3 task.py migrate\"\nafter_deploy = \"python3 task.py after\"\n";
    let deploys = Deploys::new(app, rules);
    deploys.code.write("task.py", TASK);
    deploys.code.write("build.py", BUILD);
    deploys.code.commit("tasks");
    deploys.site.ok(&["up", "--yes"]);
    deploys
}

/// What was run, the words before the number of the deployment and after it.
fn ran(deploys: &Deploys, number: u64) -> Vec<String> {
    let record: PathBuf = deploys.site.state().join("persist/record/tasks");
    let lines = std::fs::read_to_string(record).unwrap_or_default();
    let number = format!(" {number} ");
    let of_it = lines.lines().filter(|line| line.contains(&number));
    of_it.map(|line| line.replacen(&number, " ", 1)).collect()
}

const ALL: [&str; 6] =
    ["before begins", "before ends", "migrate begins", "migrate ends", "after begins", "after ends"];

#[test]
fn what_a_deployment_runs_is_run_once_and_in_order() {
    let deploys = with_tasks();
    let site = &deploys.site;
    deploys.reaches("done");
    assert_eq!(ran(&deploys, 1), ALL, "{}", site.story());
    let load = deploys.visitors();

    deploys.behave(r#"{"fails": ["migrate"]}"#);
    let said = site.fails(&["deploy"], 1);
    deploys.failed(&said, "column shoes exists twice", "1");
    assert!(said.contains("migrate"), "{said}");
    let number = deploys.deployment()["number"].as_u64().expect("a number");
    assert_eq!(ran(&deploys, number), ALL[..3], "{}", site.story());
    let log = site.ok(&["logs", "deploy"]);
    assert!(log.contains("column shoes exists twice"), "{log}");

    // It runs while the daemon is killed, more than once: it is not run again, and the deployment goes on.
    deploys.behave(r#"{"migrate_ms": 2500}"#);
    let deploy = deploys.begin(&["deploy"]);
    let number = number + 1;
    site.wait("the migration runs", SOON, || ran(&deploys, number).len() == 3);
    deploys.kill_the_daemon();
    site.wait("another daemon answers", SOON, || site.stoa(&["status"]).status.success());
    deploys.kill_the_daemon();
    let (code, said) = deploy.end();
    assert_eq!(code, Some(0), "{said}\n{}", site.story());
    deploys.reaches("done");
    assert_eq!(ran(&deploys, number), ALL, "{}", site.story());
    deploys.rests("3", 2);

    // What fails at the end is told and nothing else: the new release serves.
    deploys.behave(r#"{"fails": ["after"]}"#);
    site.stoa(&["deploy"]);
    deploys.reaches("done");
    let told = deploys.events().iter().any(|entry| entry.to_string().contains("column shoes exists twice"));
    assert!(told, "{}", site.story());
    deploys.rests("4", 2);
    deploys.lost_nothing(load);
}

#[test]
fn what_cannot_be_deployed_changes_nothing() {
    let deploys = with_tasks();
    let site = &deploys.site;
    let before = deploys.releases();
    let load = deploys.visitors();

    let said = site.fails(&["deploy", "v9.9"], 1);
    assert!(said.contains("v9.9"), "{said}");
    let said = site.stoa(&["deploy", "--", "--upload-pack=touch pwned"]);
    assert!(!said.status.success() && !site.source().join("pwned").exists(), "{said:?}");
    assert_eq!(deploys.releases(), before);

    deploys.behave(r#"{"hangs": true}"#);
    let said = site.fails(&["deploy"], 1);
    assert!(said.contains("compiling for ever") && said.contains("2 s"), "{said}");
    let sleeping = || {
        let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let sleeps = |pid: &u32| String::from_utf8_lossy(&line(pid)).contains("time.sleep(600)");
        site.processes().iter().filter(|pid| sleeps(pid)).count()
    };
    site.wait("nothing of the build runs", SOON, || sleeping() == 0);
    deploys.rests("1", 2);

    let text = std::fs::read_to_string(site.source().join("stoa.toml")).expect("the config");
    site.write("stoa.toml", &text.replace("[app]\n", "[app]\nsecrets = [\"STRIPE_KEY\"]\n"));
    deploys.behave("{}");
    let said = site.fails(&["up", "--yes"], 1);
    assert!(said.contains("STRIPE_KEY") && said.contains("secrets set STRIPE_KEY"), "{said}");
    assert_eq!(ran(&deploys, 3), [""; 0], "nothing was run");
    deploys.rests("1", 2);

    site.write("stoa.toml", &text);
    site.ok(&["deploy"]);
    assert_ne!(deploys.answers(), "1", "{}", site.story());
    deploys.lost_nothing(load);
}
