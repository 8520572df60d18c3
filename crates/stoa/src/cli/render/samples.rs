//! Statuses made by hand, for tests of what is shown and judged.

use crate::api::types::{
    BuildStatus, DaemonStatus, DeploymentStatus, InstanceState, InstanceStatus, ScalingStatus, Status,
    TierStatus,
};
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::intent::Power;
use stoa_model::plan::WaitKind;
use stoa_model::{DeployNumber, Endpoint, InstanceId, Millis, Port, ReleaseId, Term, Tier, Waiting};

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

/// The release that is deployed after that of all samples.
pub(crate) fn newer() -> ReleaseId {
    ReleaseId::new(4, "1a2b3c4").unwrap()
}

/// A deployment of it, in `phase`, without a figure.
pub(crate) fn deploying(phase: Phase, text: &str) -> Status {
    let mut status = settled();
    status.settled = matches!(phase, Phase::Watch | Phase::Done | Phase::Failed(_));
    status.release = newer();
    if matches!(phase, Phase::Watch | Phase::Done) {
        status.live = Some(newer());
    }
    status.deployment = Some(DeploymentStatus {
        number: DeployNumber(8),
        kind: DeployKind::Deploy,
        by: "anna@laptop".to_owned(),
        from: Some(release()),
        to: newer(),
        phase,
        text: text.to_owned(),
        age: Millis::from_secs(12),
        percent: 0,
        old: (0, 0),
        new: (0, 0),
        old_p90_ms: None,
        new_p90_ms: None,
        steps: Vec::new(),
        left: None,
    });
    status
}

/// A canary at its second step, with figures.
pub(crate) fn canary() -> Status {
    let text = "the canary at 25 % is held for 60 s (12 s so far; 240 answers, 50 are needed)";
    let mut status = deploying(Phase::Canary { step: 1 }, text);
    if let Some(deployment) = &mut status.deployment {
        deployment.steps = vec![5, 25, 50];
        deployment.percent = 25;
        (deployment.old, deployment.new) = ((4_800, 3), (240, 12));
        (deployment.old_p90_ms, deployment.new_p90_ms) = (Some(38.2), Some(4.13));
    }
    status.waiting = vec![waiting("4-1a2b3c4", text, WaitKind::Progress)];
    status
}

/// A release that serves in full and is judged for another 48 seconds.
pub(crate) fn watched() -> Status {
    let mut status = deploying(Phase::Watch, "it serves in full, and is watched");
    if let Some(deployment) = &mut status.deployment {
        (deployment.percent, deployment.left) = (100, Some(Millis::from_secs(48)));
        (deployment.old, deployment.new) = ((4_800, 3), (1_240, 0));
        (deployment.old_p90_ms, deployment.new_p90_ms) = (Some(38.2), Some(37.0));
    }
    status
}

/// One that erred more and was taken back.
pub(crate) fn taken_back() -> Status {
    let why = "12 of 240 answers (5.0 %) of the new release failed, of the old one 3 of 4800 (0.1 %) at the same \
               time; so far apart by chance less than once in 1000";
    let mut status = deploying(Phase::Failed(why.to_owned()), why);
    if let Some(deployment) = &mut status.deployment {
        (deployment.old, deployment.new) = ((4_800, 3), (240, 12));
    }
    status
}

/// Two tiers whose count is decided by demand.
pub(crate) fn scaling() -> Status {
    let mut status = settled();
    let because = "62 requests at once offered (38/s x 1.6 s, forecast 80 in 12 s); 5 instances of 16 keep the \
                   wait at 40 ms, below 100 ms";
    let scaled = |because: &str| Some(ScalingStatus { min: 2, max: 8, because: because.to_owned() });
    status.tiers[2].scaling = scaled(because);
    status.tiers[3].scaling = scaled("nothing was measured yet");
    let full = "more than 2 instances help: the machine is full: 98 % of its processors are in use";
    status.waiting = vec![waiting("app", full, WaitKind::Limit)];
    status
}
