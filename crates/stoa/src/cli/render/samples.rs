//! Statuses made by hand, for tests of what is shown and judged.

use crate::api::types::{BuildStatus, DaemonStatus, InstanceState, InstanceStatus, Status, TierStatus};
use stoa_model::intent::Power;
use stoa_model::plan::WaitKind;
use stoa_model::{Endpoint, InstanceId, Millis, Port, ReleaseId, Term, Tier, Waiting};

/// The release of all samples.
pub(crate) fn release() -> ReleaseId {
    ReleaseId::new(3, "3fa9c21").unwrap()
}

/// An instance that serves.
pub(crate) fn instance(tier: Tier, number: u16) -> InstanceStatus {
    let pid = 4000 + 10 * Tier::ALL.iter().position(|one| *one == tier).unwrap() as u32 + u32::from(number);
    let role = (tier == Tier::Database).then(|| if number == 1 { "primary" } else { "replica" }.to_owned());
    let requests = matches!(tier, Tier::App | Tier::Web).then_some(123.4);
    InstanceStatus {
        id: InstanceId::new(tier, number),
        state: InstanceState::Serving,
        note: None,
        endpoint: Endpoint::loopback(Port::try_from(20_000 + number).unwrap()),
        role,
        release: (tier == Tier::App).then(release),
        pid: Some(pid),
        uptime: Some(Millis::from_secs(7_500)),
        crashes: 0,
        last_lines: Vec::new(),
        memory: Some(118 << 20),
        cpu_percent: Some(0.4),
        in_flight: requests.map(|_| 2),
        requests_per_second: requests,
    }
}

fn tier(tier: Tier, software: &str, wanted: u16) -> TierStatus {
    let instances = (1..=wanted).map(|number| instance(tier, number)).collect();
    TierStatus { tier, software: software.to_owned(), wanted, ready: wanted, scaling: None, instances }
}

/// Everything as it should be.
pub(crate) fn settled() -> Status {
    Status {
        site: "foobar".parse().unwrap(),
        power: Power::On,
        release: release(),
        live: Some(release()),
        settled: true,
        urls: vec!["http://localhost:8080".to_owned(), "http://www.foobar.com:8080".to_owned()],
        api: Some("127.0.0.1:7070".to_owned()),
        state: "/var/lib/stoa/foobar".into(),
        tiers: vec![
            tier(Tier::Database, "mariadb", 2),
            tier(Tier::Cache, "redis", 1),
            tier(Tier::App, "gunicorn", 2),
            tier(Tier::Web, "nginx", 2),
            tier(Tier::Balancer, "stoa", 2),
        ],
        build: BuildStatus::Built,
        deployment: None,
        environment: Default::default(),
        waiting: Vec::new(),
        failures: Vec::new(),
        term: Term(1),
        daemon: DaemonStatus {
            pid: 4001,
            uptime: Millis::from_secs(7_503),
            memory: 21 << 20,
            version: "0.1.0".to_owned(),
        },
    }
}

/// A first bring-up, half way.
pub(crate) fn coming_up() -> Status {
    let mut status = settled();
    status.settled = false;
    status.live = None;
    status.build = BuildStatus::Building;
    for tier in &mut status.tiers {
        match tier.tier {
            Tier::Database => {
                tier.ready = 1;
                tier.instances[1].state = InstanceState::Starting;
            }
            Tier::App => {
                tier.ready = 0;
                tier.instances.clear();
            }
            _ => {}
        }
    }
    status.waiting = vec![
        waiting("database-2", "its replication from database-1 is connected", WaitKind::Progress),
        waiting("3-3fa9c21", "it is built", WaitKind::Progress),
        waiting("app", "a release is built", WaitKind::Progress),
    ];
    status
}

/// One application instance does not stay up.
pub(crate) fn crash_loop() -> Status {
    let mut status = settled();
    status.settled = false;
    let app = &mut status.tiers[2];
    app.ready = 1;
    let broken = &mut app.instances[1];
    broken.state = InstanceState::Crashed;
    broken.note = Some("exit status 3".to_owned());
    broken.crashes = 4;
    broken.last_lines = [
        "Traceback (most recent call last):",
        "  File \"/var/lib/stoa/foobar/releases/3-3fa9c21/app.py\", line 3, in <module>",
        "    import flask",
        "ModuleNotFoundError: No module named \u{1b}[31m'flask'\u{1b}[0m",
    ]
    .map(str::to_owned)
    .to_vec();
    (broken.pid, broken.uptime, broken.memory) = (None, None, None);
    (broken.cpu_percent, broken.requests_per_second) = (None, None);
    status.waiting = vec![waiting(
        "app-2",
        "it stays up; it ended 4 times (exit status 3) and is started again after a pause of 4 s; its last line: \
         ModuleNotFoundError: No module named 'flask'",
        WaitKind::Trouble,
    )];
    status
}

/// The new release cannot be built; the old one serves.
pub(crate) fn failed_build() -> Status {
    let mut status = settled();
    status.settled = false;
    status.live = Some(ReleaseId::new(2, "0123456").unwrap());
    status.build = BuildStatus::Failed {
        why: "`.venv/bin/pip install -r requirements.txt` ended with exit status 1".to_owned(),
        last_lines: vec![
            "ERROR: Could not find a version that satisfies the requirement flaks==3.0".to_owned(),
            "ERROR: No matching distribution found for flaks==3.0".to_owned(),
        ],
    };
    status.waiting = vec![waiting("3-3fa9c21", "its code or its build commands are mended", WaitKind::Stuck)];
    status
}

/// Something waited for.
pub(crate) fn waiting(subject: &str, until: &str, kind: WaitKind) -> Waiting {
    Waiting { subject: subject.to_owned(), until: until.to_owned(), kind }
}
