use crate::host::testing::{Bench, app, launch, launch_at, logged, python, state, until};
use crate::host::{Processes, ports, proc};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use stoa_model::observed::{Exited, ProcessState};
use stoa_model::{InstanceId, Millis};

fn exited(processes: &Processes, instance: InstanceId) -> Option<Exited> {
    match state(processes, instance) {
        ProcessState::Exited(exited) => Some(exited),
        _ => None,
    }
}

fn kill(pid: u32) {
    rustix::process::kill_process(proc::raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_killed_process_is_noticed_at_once_and_reaped() {
    let bench = Bench::new();
    let processes = bench.processes();
    let started = processes.start(launch(&bench, app(1), &["sleep", "60"]), Vec::new()).await.unwrap();
    processes.wait_event().await;
    let began = Instant::now();
    kill(started.pid);
    tokio::time::timeout(Duration::from_secs(5), processes.wait_event()).await.unwrap();
    let exited = exited(&processes, app(1)).unwrap();
    assert_eq!((exited.how.as_str(), exited.crashes), (Exited::KILLED, 1));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(proc::stat(started.pid), None, "no zombie");
}

#[tokio::test]
async fn crashes_are_counted_with_the_last_lines() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import sys\nfor n in range(30): print('line', n)\nprint('\\x1b[31mno such table\\x1b[0m')\nsys.exit(3)";
    for crashes in 1..=3 {
        processes.start(python(&bench, app(1), code), Vec::new()).await.unwrap();
        let exited = until("its end", || exited(&processes, app(1))).await;
        assert_eq!((exited.how.as_str(), exited.crashes), ("exit status 3", crashes));
        assert_eq!(exited.last_lines.len(), 20);
        assert_eq!(exited.last_lines.last().unwrap(), "no such table");
    }
    drop(processes);
    let next = bench.processes();
    assert!(next.adopt().await.unwrap().is_empty());
    let exited = exited(&next, app(1)).unwrap();
    assert_eq!((exited.how.as_str(), exited.crashes), ("exit status 3", 3), "kept for the next daemon");
    next.stop(app(1), Millis(0)).await.unwrap();
    assert_eq!(state(&next, app(1)), ProcessState::Absent);
}

#[tokio::test]
async fn a_stop_is_clean_where_the_process_obeys() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import signal,sys,time\n\
        signal.signal(signal.SIGTERM, lambda *a: (print('bye'), sys.exit(0)))\nprint('up')\ntime.sleep(60)";
    processes.start(python(&bench, app(1), code), Vec::new()).await.unwrap();
    logged(&bench, app(1), "up").await;
    processes.stop(app(1), Millis::from_secs(20)).await.unwrap();
    logged(&bench, app(1), "bye").await;
    assert_eq!(state(&processes, app(1)), ProcessState::Absent);
    assert!(!bench.paths.process_record(app(1)).exists());
    processes.stop(app(1), Millis::from_secs(20)).await.unwrap();
}

/// A parent that obeys nothing, with a child that obeys nothing, in sessions of the parent's choosing.
const STUBBORN: &str = "import os,signal,subprocess,sys,time\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    child = subprocess.Popen([sys.executable,'-c','import signal,time\\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\\ntime.sleep(60)'])\n\
    print(child.pid)\ntime.sleep(60)";

async fn child_of(bench: &Bench, instance: InstanceId) -> u32 {
    let log = crate::host::log::current(&bench.paths.log(instance));
    until("the child's pid", || crate::host::log::tail(&log, 1).first()?.parse().ok()).await
}

#[tokio::test]
async fn who_ignores_the_signal_is_killed_with_its_children() {
    let bench = Bench::new();
    let processes = bench.processes();
    let pid = processes.start(python(&bench, app(1), STUBBORN), Vec::new()).await.unwrap().pid;
    let child = child_of(&bench, app(1)).await;
    let stop = processes.stop(app(1), Millis(200));
    // A caller that stops waiting has stopped nothing, and the next goes on.
    assert!(tokio::time::timeout(Duration::from_millis(50), stop).await.is_err());
    assert!(matches!(state(&processes, app(1)), ProcessState::Running(running) if running.stopping));
    processes.stop(app(1), Millis(100)).await.unwrap();
    for pid in [pid, child] {
        assert!(proc::stat(pid).is_none_or(|stat| stat.is_dead()), "{pid} is left");
    }
    assert_eq!(state(&processes, app(1)), ProcessState::Absent);
}

#[tokio::test]
async fn children_of_a_dead_main_process_do_not_keep_the_port() {
    let bench = Bench::new();
    let processes = bench.processes();
    let port = ports::free_ports(1, u64::from(std::process::id()) * 977).remove(0);
    // The child shares the listening socket, as gunicorn's workers do.
    let code = format!(
        "import os,socket,time\ns=socket.create_server(('127.0.0.1',{port}))\n\
         if os.fork()==0:\n  time.sleep(60)\nprint('up')\ntime.sleep(60)"
    );
    let launch = launch_at(&bench, app(1), &["python3", "-u", "-c", &code], port);
    let pid = processes.start(launch.clone(), Vec::new()).await.unwrap().pid;
    logged(&bench, app(1), "up").await;
    kill(pid);
    until("its end", || exited(&processes, app(1))).await;
    assert!(ports::is_listened_on(port), "its child still holds it");
    let again = processes.start(launch, Vec::new()).await.unwrap();
    assert_ne!(again.pid, pid);
    processes.stop(app(1), Millis(0)).await.unwrap();
    assert!(!ports::is_listened_on(port));
}

#[tokio::test]
async fn a_process_that_dies_while_it_stops_is_gone_for_good() {
    let bench = Bench::new();
    let processes = bench.processes();
    let pid = processes.start(python(&bench, app(1), STUBBORN), Vec::new()).await.unwrap().pid;
    let child = child_of(&bench, app(1)).await;
    let stop = processes.stop(app(1), Millis::from_secs(60));
    assert!(tokio::time::timeout(Duration::from_millis(20), stop).await.is_err());
    kill(pid);
    until("nothing left", || (state(&processes, app(1)) == ProcessState::Absent).then_some(())).await;
    assert!(proc::stat(child).is_none_or(|stat| stat.is_dead()), "its child is left");
}
