//! The faults: what each is called, and how it is made. How the site takes it is judged by others.

use super::canary::Canary;
use super::cluster::{Cluster, Part};
use super::network::{self, Broken};
use super::progress::Progress;
use super::servers::Servers;
use super::site::{Site, kill, signal};
use super::watch::Watch;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    KillPrimary,
    StopPrimary,
    StopContinue,
    KillReplica,
    KillSplitters,
    KillDaemon,
    Switchover,
    Delay,
    Loss,
    CutReplicas,
    CutDaemon,
    CutBoth,
    CutSplitters,
}

use Fault::{
    CutBoth, CutDaemon, CutReplicas, CutSplitters, Delay, KillDaemon, KillPrimary, KillReplica,
    KillSplitters, Loss, None as Nothing, StopContinue, StopPrimary, Switchover,
};

impl Fault {
    /// All, with what `--fault` calls them and what they do.
    pub(crate) const ALL: [(Fault, &'static str, &'static str); 14] = [
        (Nothing, "none", "nothing is broken"),
        (KillPrimary, "kill-primary", "SIGKILL to the primary"),
        (StopPrimary, "stop-primary", "SIGSTOP to the primary"),
        (StopContinue, "stop-continue", "SIGSTOP to the primary, SIGCONT before or after it was replaced"),
        (KillReplica, "kill-replica", "SIGKILL to a replica"),
        (KillSplitters, "kill-splitters", "SIGKILL to both splitters, one after the other"),
        (KillDaemon, "kill-daemon", "SIGKILL to the primary, and a varying time later to the daemon"),
        (Switchover, "switchover", "stoa db switchover"),
        (Delay, "delay", "what replicas send to servers, and the answers, take 200 ms each way"),
        (Loss, "loss", "5 % of all packets to and from database servers are lost"),
        (CutReplicas, "cut-replicas", "nothing that replicas send reaches the primary"),
        (CutDaemon, "cut-daemon", "the primary's socket is away, so that the daemon cannot connect"),
        (CutBoth, "cut-both", "cut-replicas and cut-daemon"),
        (CutSplitters, "cut-splitters", "nothing that splitters send reaches the primary"),
    ];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Fault::ALL.iter().find(|(_, known, _)| *known == name).map(|(fault, _, _)| *fault)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Fault::ALL.iter().find(|(fault, _, _)| *fault == self).map_or("?", |(_, name, _)| name)
    }

    /// It needs a network of its own.
    pub(crate) fn breaks_the_network(self) -> bool {
        matches!(self, Delay | Loss | CutReplicas | CutBoth | CutSplitters)
    }

    /// Those that are made where none is named.
    pub(crate) fn usual() -> Vec<Self> {
        let own = network::of_its_own().is_ok();
        let all = Fault::ALL.into_iter().map(|(fault, _, _)| fault);
        all.filter(|fault| *fault != Nothing && (own || !fault.breaks_the_network())).collect()
    }
}

/// What there is to break.
pub(crate) struct Scene<'a> {
    pub(crate) site: &'a Site,
    pub(crate) servers: &'a Servers,
    pub(crate) watch: &'a Watch,
    pub(crate) progress: &'a Progress,
    /// A canary writes here; none: it stays at home.
    pub(crate) ledger: Option<&'a str>,
    pub(crate) round: u32,
}

/// What was broken, and what has to be seen before it is healed.
#[derive(Default)]
pub(crate) struct Struck {
    pub(crate) at: Duration,
    /// These processes have to be replaced.
    pub(crate) gone: Vec<u64>,
    /// Another one has to be primary.
    pub(crate) deposed: Option<String>,
    /// Stopped, and to go on at the latest when the round is over.
    pub(crate) stopped: Option<u64>,
    pub(crate) canary: Option<Canary>,
    /// The canary wrote to a server that had been replaced already: it must have been refused.
    pub(crate) too_late: bool,
    /// What the site did, in words.
    pub(crate) note: String,
}

impl Scene<'_> {
    /// Makes the fault.
    pub(crate) fn strike(&self, fault: Fault) -> Result<Struck, String> {
        let cluster = Cluster::of(self.site)?;
        let primary = cluster.primary()?.clone();
        let pid = |part: &Part| part.pid.ok_or_else(|| format!("{} has no process", part.id));
        let mut struck = Struck { at: self.progress.now(), ..Struck::default() };
        match fault {
            Nothing => self.hold(Duration::from_secs(2)),
            KillPrimary => {
                kill(pid(&primary)?)?;
                struck.gone = vec![pid(&primary)?];
            }
            StopPrimary => {
                signal("STOP", pid(&primary)?)?;
                struck.deposed = Some(primary.id.clone());
                struck.stopped = primary.pid;
            }
            StopContinue => self.stop_and_continue(&primary, pid(&primary)?, &mut struck)?,
            KillReplica => {
                let replicas: Vec<&Part> = cluster.databases.iter().filter(|part| !part.primary).collect();
                let at = usize::try_from(self.round).unwrap_or_default() % replicas.len().max(1);
                let replica = replicas.get(at).ok_or("the site has no replica")?;
                kill(pid(replica)?)?;
                struck.gone = vec![pid(replica)?];
            }
            KillSplitters => {
                if cluster.splitters.is_empty() {
                    return Err("the site has no splitters".to_owned());
                }
                for splitter in &cluster.splitters {
                    kill(pid(splitter)?)?;
                    struck.gone.push(pid(splitter)?);
                    self.until_replaced(&struck.gone)?;
                }
            }
            KillDaemon => {
                let daemon = cluster.daemon.ok_or("the daemon has no process")?;
                kill(pid(&primary)?)?;
                let later = Duration::from_millis(u64::from(self.round) * 137 % 3000);
                self.hold(later);
                kill(daemon)?;
                struck.gone = vec![pid(&primary)?, daemon];
                struck.note = format!("the daemon died {} ms later", later.as_millis());
            }
            Switchover => {
                self.site.stoa(&["db", "switchover", "--json"])?;
                struck.deposed = Some(primary.id.clone());
            }
            Delay | Loss | CutReplicas | CutDaemon | CutBoth | CutSplitters => {
                self.break_the_network(fault, &cluster, &primary, &mut struck)?;
            }
        }
        Ok(struck)
    }

    fn hold(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// In every second round the server goes on when another one has taken its place, else after a while
    /// that is another one each time.
    fn stop_and_continue(&self, primary: &Part, pid: u64, struck: &mut Struck) -> Result<(), String> {
        let table = self.ledger;
        let address = primary.address.ok_or_else(|| format!("{} has no address", primary.id))?;
        let canary = table.map(|table| Canary::connect(self.servers, address, table, self.round * 1000));
        let canary = canary.transpose()?;
        struck.at = self.progress.now();
        let started = started(pid);
        signal("STOP", pid)?;
        if let Some(canary) = &canary {
            canary.send();
        }
        if self.round.is_multiple_of(2) {
            struck.too_late = self.another_takes_writes(&primary.id);
            struck.note =
                if struck.too_late { "after it was replaced" } else { "nobody replaced it" }.to_owned();
            self.hold(Duration::from_millis(u64::from(self.round) * 50 % 1000));
        } else {
            let nap = Duration::from_millis(100 + u64::from(self.round) * 97 % 3000);
            self.hold(nap);
            struck.note = format!("after {} ms", nap.as_millis());
        }
        if started.is_some() && self::started(pid) == started {
            // It may end in between.
            let _ = signal("CONT", pid);
        } else {
            struck.note += ", its process was ended before";
        }
        struck.canary = canary;
        Ok(())
    }

    fn another_takes_writes(&self, old: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.watch.now().iter().any(|server| server != old) {
                return true;
            }
            self.hold(Duration::from_millis(5));
        }
        false
    }

    fn until_replaced(&self, pids: &[u64]) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if Cluster::of(self.site).is_ok_and(|cluster| cluster.settled && !cluster.names_any(pids)) {
                return Ok(());
            }
            self.hold(Duration::from_millis(50));
        }
        Err(format!("of the processes {pids:?} one was not replaced within 30 s"))
    }

    fn break_the_network(
        &self,
        fault: Fault,
        cluster: &Cluster,
        primary: &Part,
        struck: &mut Struck,
    ) -> Result<(), String> {
        let port = |part: &Part| part.address.map(|address| address.port());
        let all: Vec<u16> = cluster.databases.iter().filter_map(port).collect();
        let only: Vec<u16> = port(primary).into_iter().collect();
        let database = || user_of(primary).map(|user| vec![user]);
        let splitters = || cluster.splitters.iter().map(user_of).collect::<Result<Vec<u32>, String>>();
        let broken = match fault {
            Delay => Some(Broken::slow(Duration::from_millis(200), &database()?, &all)?),
            Loss => Some(Broken::lossy(5, &all)?),
            CutReplicas | CutBoth => Some(Broken::cut(&database()?, &only)?),
            CutSplitters => Some(Broken::cut(&splitters()?, &only)?),
            _ => None,
        };
        let away = matches!(fault, CutDaemon | CutBoth).then(|| Away::put(self.servers.socket(&primary.id)));
        let away = away.transpose()?;
        let time = Duration::from_secs(2 + u64::from(self.round) % 5 * 2);
        self.hold(time);
        drop((broken, away));
        let now =
            Cluster::of(self.site).ok().and_then(|cluster| cluster.primary().map(|new| new.id.clone()).ok());
        let replaced = if now.as_ref() == Some(&primary.id) { "stayed" } else { "was replaced" };
        struck.note = format!("for {} s; the primary {replaced}", time.as_secs());
        Ok(())
    }
}

/// A server's socket that is away, and comes back.
struct Away {
    socket: PathBuf,
}

impl Away {
    fn put(socket: PathBuf) -> Result<Self, String> {
        let away = Away { socket };
        std::fs::rename(&away.socket, away.place())
            .map_err(|error| format!("{}: {error}", away.socket.display()))?;
        Ok(away)
    }

    fn place(&self) -> PathBuf {
        self.socket.with_extension("away")
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // A server that was started meanwhile has made a new one, or removed this.
        if self.socket.exists() {
            let _ = std::fs::remove_file(self.place());
        } else {
            let _ = std::fs::rename(self.place(), &self.socket);
        }
    }
}

/// When a process began, in the kernel's own words; none where there is none.
fn started(pid: u64) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let behind_its_name = stat.rsplit_once(')')?.1;
    behind_its_name.split_whitespace().nth(19).map(str::to_owned)
}

/// As whom a part of the site runs.
fn user_of(part: &Part) -> Result<u32, String> {
    let pid = part.pid.ok_or_else(|| format!("{} has no process", part.id))?;
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ids = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    let user = ids.and_then(|ids| ids.split_whitespace().nth(1)).and_then(|id| id.parse().ok());
    match user {
        Some(0) | None => {
            Err(format!("{} runs as no user of its own, by which it could be cut off", part.id))
        }
        Some(user) => Ok(user),
    }
}
