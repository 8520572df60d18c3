use crate::host::record::Record;
use crate::host::testing::{Bench, app, launch, logged, python, state, until};
use crate::host::{Processes, proc, spawn};
use rustix::process::Signal;
use stoa_model::observed::{ProcessState, Running};
use stoa_model::{Digest, InstanceId, Millis, Time};

fn running(processes: &Processes, instance: InstanceId) -> Running {
    match state(processes, instance) {
        ProcessState::Running(running) => running,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_next_daemon_takes_over_what_runs_and_sees_it_end() {
    let bench = Bench::new();
    let first = bench.processes();
    let launch = launch(&bench, app(1), &["sleep", "60"]);
    let started = first.start(launch.clone(), Vec::new()).await.unwrap();
    let before = running(&first, app(1));
    drop(first);
    let next = bench.processes();
    assert_eq!(next.adopt().await.unwrap(), [app(1)]);
    assert_eq!(running(&next, app(1)), before);
    assert_eq!(next.subject(app(1)).unwrap().spec, Some(launch.spec.clone()));
    assert!(next.start(launch, Vec::new()).await.unwrap().already);
    next.signal(app(1), Signal::KILL).unwrap();
    let end = until("its end", || match state(&next, app(1)) {
        ProcessState::Exited(exited) => Some(exited),
        _ => None,
    });
    assert_eq!(end.await.crashes, 1);
    assert!(proc::stat(started.pid).is_none_or(|stat| stat.is_dead()));
}

#[tokio::test]
async fn who_died_without_a_daemon_is_seen_as_dead_and_another_boot_as_nothing() {
    let bench = Bench::new();
    let first = bench.processes();
    for number in [1, 2] {
        first.start(launch(&bench, app(number), &["sleep", "60"]), Vec::new()).await.unwrap();
    }
    let pids = [1, 2].map(|number| running(&first, app(number)).pid);
    drop(first);
    for pid in pids {
        let pid = proc::raw(pid).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    }
    let path = bench.paths.process_record(app(2));
    let mut record = Record::load(&path).unwrap();
    record.boot = "another".to_owned();
    record.store(&bench.paths).unwrap();
    let next = bench.processes();
    assert!(next.adopt().await.unwrap().is_empty());
    let ProcessState::Exited(exited) = state(&next, app(1)) else { panic!() };
    assert_eq!((exited.how.as_str(), exited.crashes), ("ended", 1));
    assert_eq!(state(&next, app(2)), ProcessState::Absent);
    assert!(!path.exists());
}

#[tokio::test]
async fn another_process_of_the_same_number_is_never_taken_for_ours() {
    let bench = Bench::new();
    let first = bench.processes();
    // Stands for a stranger: the pid is right, the start time is not.
    let pid = first.start(launch(&bench, app(1), &["sleep", "60"]), Vec::new()).await.unwrap().pid;
    drop(first);
    let path = bench.paths.process_record(app(1));
    let original = std::fs::read(&path).unwrap();
    let mut record = Record::load(&path).unwrap();
    let process = record.process.as_mut().unwrap();
    process.started = Time(process.started.0 - 10);
    // Nor by its control group, which a stranger would not be in.
    record.cgroup = None;
    record.store(&bench.paths).unwrap();
    let next = bench.processes();
    assert!(next.adopt().await.unwrap().is_empty());
    assert!(matches!(state(&next, app(1)), ProcessState::Exited(_)));
    next.stop(app(1), Millis(0)).await.unwrap();
    assert!(proc::stat(pid).is_some_and(|stat| !stat.is_dead()), "the stranger was left alone");
    // For the cleaning up.
    std::fs::write(&path, original).unwrap();
}

#[tokio::test]
async fn a_daemon_that_dies_right_after_the_fork_loses_nothing() {
    let bench = Bench::new();
    let first = bench.processes();
    let pid = first.start(launch(&bench, app(1), &["sleep", "60"]), Vec::new()).await.unwrap().pid;
    drop(first);
    // What stands there when the daemon never came to write the record a second time: the intent and the
    // line that the process added itself.
    let path = bench.paths.process_record(app(1));
    let mut record = Record::load(&path).unwrap();
    record.process = None;
    record.store(&bench.paths).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(&stat);
    std::fs::write(&path, text).unwrap();
    let next = bench.processes();
    assert_eq!(next.adopt().await.unwrap(), [app(1)]);
    assert_eq!(running(&next, app(1)).pid, pid);
    // And when it died before the fork, there is nothing.
    next.stop(app(1), Millis(0)).await.unwrap();
    record.store(&bench.paths).unwrap();
    let next = bench.processes();
    assert!(next.adopt().await.unwrap().is_empty());
    assert_eq!(state(&next, app(1)), ProcessState::Absent);
}

#[test]
fn the_process_signs_its_record_before_it_becomes_the_program() {
    let bench = Bench::new();
    let path = bench.paths.root().join("record");
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let environment = crate::host::programs::environment();
    let (record, log) = (open(), std::fs::File::create(bench.paths.root().join("output")).unwrap());
    let pid = spawn::spawn(&spawn::Child {
        program: std::path::Path::new("/bin/true"),
        arguments: &[],
        environment: &environment,
        directory: bench.paths.root(),
        identity: None,
        open_files: 100,
        log: &log,
        record: &record,
        cgroup: None,
        inherited: &[],
        held: None,
    })
    .unwrap();
    // The start has returned, and so has everything before the program.
    let signed = proc::Stat::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((signed.pid, signed.session), (pid, pid));
    let pid = proc::raw(pid).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
}

#[tokio::test]
async fn a_stop_under_way_goes_on_under_the_next_daemon() {
    let bench = Bench::new();
    let first = bench.processes();
    let code = "import signal,sys,time\nsignal.signal(signal.SIGTERM, lambda *a: print('asked'))\n\
        signal.signal(signal.SIGUSR1, lambda *a: sys.exit(0))\nprint('up')\n\
        while True: time.sleep(60)";
    first.start(python(&bench, app(1), code), Vec::new()).await.unwrap();
    logged(&bench, app(1), "up").await;
    let stop = first.stop(app(1), Millis::from_secs(60));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), stop).await.is_err());
    drop(first);
    let next = bench.processes();
    next.adopt().await.unwrap();
    assert!(running(&next, app(1)).stopping);
    next.signal(app(1), Signal::USR1).unwrap();
    until("nothing left", || (state(&next, app(1)) == ProcessState::Absent).then_some(())).await;
    assert!(!bench.paths.process_record(app(1)).exists());
}

#[tokio::test]
async fn records_of_other_versions_and_broken_ones_are_treated_with_care() {
    let bench = Bench::new();
    let first = bench.processes();
    let pid = first.start(launch(&bench, app(1), &["sleep", "60"]), Vec::new()).await.unwrap().pid;
    drop(first);
    let path = bench.paths.process_record(app(1));
    let original = std::fs::read_to_string(&path).unwrap();
    // A spec of a form that this version does not know: the process is still ours.
    let mut value: serde_json::Value = serde_json::from_str(original.trim()).unwrap();
    value["spec"] = serde_json::json!({ "tier": "edge", "new": true });
    std::fs::write(&path, value.to_string()).unwrap();
    std::fs::write(bench.paths.process_record(app(2)), "{ \"half").unwrap();
    let next = bench.processes();
    assert_eq!(next.adopt().await.unwrap(), [app(1)]);
    assert_eq!(running(&next, app(1)).pid, pid);
    assert_eq!(next.subject(app(1)).unwrap().spec, None);
    assert_ne!(running(&next, app(1)).spec, Digest::of(b""));
    assert_eq!(state(&next, app(2)), ProcessState::Unknown);
    let error = next.start(launch(&bench, app(2), &["sleep", "60"]), Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("make sure that app-2 does not run"), "{error}");
}
