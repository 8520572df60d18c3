use crate::host::HostError;
use crate::host::launch::{RenderedFile, RunAs};
use crate::host::testing::{Bench, app, launch, launch_at, logged, python, state, until};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use stoa_model::observed::{Health, ProcessState};
use stoa_model::{Port, Time};

#[tokio::test]
async fn a_started_process_has_what_its_launch_says_and_nothing_else() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import os,resource,sys\n\
        print('env', sorted(k for k in os.environ if k != 'LC_CTYPE'))\n\
        print('fds', sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+f)))\n\
        print('sid', os.getsid(0) == os.getpid())\n\
        print('files', resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1000)\n\
        print('core', resource.getrlimit(resource.RLIMIT_CORE))\n\
        print('umask', oct(os.umask(0)))\n\
        print('groups', os.getgroups())\n\
        print('ids', os.getuid(), os.geteuid(), os.getgid())\n\
        print('nnp', [l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')])\n\
        print('cwd', os.getcwd())\n\
        import time; print('done'); time.sleep(60)";
    // A descriptor that the daemon itself inherited must not be passed on.
    let leaked = rustix::io::fcntl_dupfd_cloexec(std::fs::File::open("/dev/zero").unwrap(), 50).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let mut launch = python(&bench, app(1), code);
    launch.limits.open_files = 1000;
    launch.environment.insert("ONLY".into(), "this".into());
    launch.files = vec![
        RenderedFile { path: launch.directory.join("plain"), text: "p".into(), secret: false },
        RenderedFile { path: launch.directory.join("secret"), text: "s".into(), secret: true },
    ];
    launch.folders = vec![launch.directory.join("folder"), bench.paths.data(app(1))];
    let started = processes.start(launch.clone(), Vec::new()).await.unwrap();
    assert!(!started.already);
    logged(&bench, app(1), "done").await;
    logged(&bench, app(1), "env ['LC_ALL', 'ONLY', 'PATH']").await;
    logged(&bench, app(1), "fds [0, 1, 2]").await;
    for line in ["sid True", "files True", "core (0, 0)", "umask 0o27", "nnp ['1']"] {
        logged(&bench, app(1), line).await;
    }
    logged(&bench, app(1), &format!("cwd {}", launch.directory.canonicalize().unwrap().display())).await;
    if rustix::process::geteuid().is_root() {
        logged(&bench, app(1), "ids 65534 65534 65534").await;
        logged(&bench, app(1), "groups []").await;
        assert_eq!(std::fs::metadata(launch.directory.join("secret")).unwrap().uid(), 65_534);
    }
    let mode = |name: &str| std::fs::metadata(launch.directory.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("plain"), mode("secret"), mode("folder"), mode("")), (0o644, 0o600, 0o750, 0o750));
    assert_eq!(std::fs::metadata(bench.paths.data(app(1))).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(bench.paths.process_record(app(1))).unwrap().mode() & 0o777, 0o600);
    let again = processes.start(launch, Vec::new()).await.unwrap();
    assert!(again.already);
    assert_eq!((again.pid, again.started), (started.pid, started.started));
    processes.stop(app(1), stoa_model::Millis(5000)).await.unwrap();
}

#[tokio::test]
async fn inherited_sockets_come_at_three_and_up_with_their_names() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import os,socket\n\
        print(os.environ['LISTEN_FDS'], os.environ['LISTEN_FDNAMES'], 'LISTEN_PID' in os.environ)\n\
        print(sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+f)))\n\
        for fd in (3, 4):\n  c, _ = socket.socket(fileno=fd).accept(); c.sendall(b'from %d' % fd); c.close()\n";
    let listeners: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let inherited = listeners.into_iter().zip(["web", "app"]).map(|(l, n)| (n.to_owned(), l.into()));
    let launch = python(&bench, app(1), code);
    processes.start(launch, inherited.collect()).await.unwrap();
    logged(&bench, app(1), "2 web:app False").await;
    logged(&bench, app(1), "[0, 1, 2, 3, 4]").await;
    for (fd, address) in (3..).zip(addresses) {
        let read = move || {
            let mut text = String::new();
            std::net::TcpStream::connect(address).unwrap().read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(tokio::task::spawn_blocking(read).await.unwrap().unwrap(), format!("from {fd}"));
    }
}

#[tokio::test]
async fn many_starts_side_by_side_never_mix_up_their_sockets() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import socket\nprint('port', socket.socket(fileno=3).getsockname()[1], \
                socket.socket(fileno=4).getsockname()[1])\n";
    let mut tasks = Vec::new();
    for number in 1..=16 {
        let sockets: Vec<_> = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
        let launch = python(&bench, app(number), code);
        let processes = processes.clone();
        tasks.push(tokio::spawn(async move {
            let inherited = sockets.into_iter().map(|s| ("x".to_owned(), s.into())).collect();
            processes.start(launch, inherited).await.unwrap();
            (number, ports)
        }));
    }
    for task in tasks {
        let (number, ports) = task.await.unwrap();
        logged(&bench, app(number), &format!("port {} {}", ports[0], ports[1])).await;
    }
}

#[tokio::test]
async fn a_missing_program_is_named_with_what_to_type() {
    let bench = Bench::new();
    let processes = bench.processes();
    let mut missing = launch(&bench, app(1), &["nginx"]);
    missing.environment.insert("PATH".into(), "/nonexistent".into());
    let error = processes.start(missing, Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "nginx is not installed: apt-get install nginx");
    assert_eq!(state(&processes, app(1)), ProcessState::Absent);
    assert!(!bench.paths.process_record(app(1)).exists());
}

#[tokio::test]
async fn a_program_whose_interpreter_is_missing_says_so_and_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let processes = bench.processes();
    let script = bench.paths.root().join("script");
    std::fs::write(&script, "#!/nonexistent/python\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let launch = launch(&bench, app(1), &[script.to_str().unwrap()]);
    let error = processes.start(launch, Vec::new()).await.unwrap_err().to_string();
    assert!(error.ends_with("the interpreter that its first line names is missing"), "{error}");
    assert_eq!(state(&processes, app(1)), ProcessState::Absent);
    assert!(!bench.paths.process_record(app(1)).exists());
}

#[tokio::test]
async fn a_taken_port_names_its_owner() {
    let bench = Bench::new();
    let processes = bench.processes();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Port::try_from(holder.local_addr().unwrap().port()).unwrap();
    let launch = launch_at(&bench, app(1), &["sleep", "60"], port);
    let error = processes.start(launch.clone(), Vec::new()).await.unwrap_err();
    assert!(matches!(&error, HostError::Taken { by: Some(by), .. } if by.pid == std::process::id()));
    assert!(error.to_string().starts_with(&format!("127.0.0.1:{port} is taken by ")), "{error}");
    drop(holder);
    processes.start(launch, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_running_instance_of_another_spec_is_not_replaced_in_place() {
    let bench = Bench::new();
    let processes = bench.processes();
    let first = launch(&bench, app(1), &["sleep", "60"]);
    let pid = processes.start(first, Vec::new()).await.unwrap().pid;
    let error = processes.start(launch(&bench, app(1), &["sleep", "60"]), Vec::new()).await.unwrap_err();
    assert!(matches!(error, HostError::RunsAlready { pid: other, .. } if other == pid));
}

#[tokio::test]
async fn checks_count_for_the_start_they_were_made_for() {
    let bench = Bench::new();
    let processes = bench.processes();
    let mut plain = launch(&bench, app(1), &["sleep", "60"]);
    plain.user = RunAs::Daemon;
    let started = processes.start(plain, Vec::new()).await.unwrap().started;
    processes.record_check(app(1), Time(started.0 - 1), Ok(()));
    let health = |processes: &_| match state(processes, app(1)) {
        ProcessState::Running(running) => running.health,
        other => panic!("{other:?}"),
    };
    assert_eq!(health(&processes), Health::Unproven(None));
    processes.record_check(app(1), started, Ok(()));
    assert!(matches!(health(&processes), Health::Healthy { .. }));
    processes.record_check(app(1), started, Err("answered 500".into()));
    assert!(matches!(health(&processes), Health::Failing { streak: 1, .. }));
}

#[tokio::test]
async fn memory_is_counted_for_the_whole_session() {
    let bench = Bench::new();
    let processes = bench.processes();
    let code = "import subprocess,time\np=[subprocess.Popen(['sleep','60']) for _ in range(3)]\nprint('up')\ntime.sleep(60)";
    let pid = processes.start(python(&bench, app(1), code), Vec::new()).await.unwrap().pid;
    logged(&bench, app(1), "up").await;
    let usage = until("four processes", || {
        let usage = crate::host::usage::of_instances(&[(app(1), pid)].into()).remove(&app(1))?;
        (usage.processes == 4).then_some(usage)
    })
    .await;
    assert!(usage.resident > 1 << 20 && usage.threads >= 4 && usage.open_files >= 12, "{usage:?}");
}
