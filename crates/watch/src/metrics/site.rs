//! How the site stands: which instances should be there, which are up and healthy, how often they fell.

use super::Exposition;
use stoa_model::observed::{Health, InstanceObserved, ProcessState};
use stoa_model::{InstanceId, Observed, Roster, Tier};

impl Exposition {
    /// Adds what the roster wants and what was observed of it.
    pub fn site(&mut self, roster: &Roster, observed: &Observed) {
        let help = "Grows with every change of database primary.";
        self.gauge("stoa_database_term", help, &[], roster.term.0);
        for tier in Tier::ALL {
            let wanted = roster.tier(tier).filter(|(_, place)| place.retiring.is_none()).count();
            let help = "Instances that are to serve.";
            self.gauge("stoa_tier_instances", help, &[("tier", tier.word())], wanted as u64);
        }
        for (id, instance) in observed.hosts.values().flat_map(|host| &host.instances) {
            self.instance(*id, instance);
        }
    }

    fn instance(&mut self, id: InstanceId, instance: &InstanceObserved) {
        let name = id.to_string();
        let labels = [("tier", id.tier.word()), ("id", name.as_str())];
        let (up, healthy, crashes) = match &instance.process {
            // Not known is not down: no sample, which an alert can tell from a zero.
            ProcessState::Unknown => return,
            ProcessState::Absent => (false, false, 0),
            ProcessState::Exited(exited) => (false, false, exited.crashes),
            ProcessState::Running(running) => {
                (true, matches!(running.health, Health::Healthy { .. }), running.crashes)
            }
        };
        self.gauge("stoa_instance_up", "1 while its process runs.", &labels, up);
        self.gauge("stoa_instance_healthy", "1 while its last check passed.", &labels, healthy);
        let help = "How often in a row it ended before it had been healthy for a while.";
        self.gauge("stoa_instance_crashes", help, &labels, crashes);
        if let ProcessState::Running(running) = &instance.process
            && let Some(release) = &running.release
        {
            let release = release.to_string();
            let labels = [labels[0], labels[1], ("release", release.as_str())];
            self.gauge("stoa_instance_release", "The release it runs, as a label.", &labels, 1_u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_a_site_stands() {
        let running = json!({ "running": { "pid": 7, "started": 1, "spec": "0000000000000001",
            "endpoint": { "unix": "/a" }, "release": "7-3fa9c21", "health": { "healthy": { "since": 1, "last": 2, "passes": 2 } },
            "stopping": false, "crashes": 2 } });
        let instance = |process| json!({ "process": process, "data": "unknown", "detail": "none" });
        let observed = json!({ "hosts": { "local": { "at": 1, "releases": {}, "static_roots": [], "tasks": {},
            "free_ports": [], "busy": [], "failures": {}, "instances": {
                "app-1": instance(running),
                "app-2": instance(json!("absent")),
                "app-3": instance(json!("unknown")),
        } } } });
        let observed: Observed = serde_json::from_value(observed).unwrap();
        let mut metrics = Exposition::new();
        metrics.site(&Roster::default(), &observed);
        insta::assert_snapshot!(metrics.finish());
    }
}
