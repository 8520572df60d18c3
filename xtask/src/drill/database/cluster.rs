//! The parts of a site that matter to its database, as `stoa status` tells them. It asks and changes nothing.

use super::site::Site;
use serde_json::Value;
use std::net::SocketAddr;

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Such as `database-1`.
    pub(crate) id: String,
    pub(crate) primary: bool,
    pub(crate) pid: Option<u64>,
    pub(crate) serving: bool,
    pub(crate) address: Option<SocketAddr>,
}

/// The site as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) databases: Vec<Part>,
    pub(crate) splitters: Vec<Part>,
    pub(crate) daemon: Option<u64>,
    /// Everything is as it should be.
    pub(crate) settled: bool,
    /// In words, where it is not.
    pub(crate) amiss: String,
}

impl Cluster {
    /// Asks.
    pub(crate) fn of(site: &Site) -> Result<Self, String> {
        Ok(Cluster::told(&site.status()?))
    }

    fn told(status: &Value) -> Self {
        let tiers: Vec<&Value> = status["tiers"].as_array().into_iter().flatten().collect();
        let parts = |name: &str| -> Vec<Part> {
            let tier = tiers.iter().find(|tier| tier["tier"] == name);
            tier.and_then(|tier| tier["instances"].as_array()).into_iter().flatten().map(part).collect()
        };
        let full = tiers.iter().all(|tier| tier["wanted"] == tier["ready"]);
        let (databases, splitters) = (parts("database"), parts("splitter"));
        let one_primary = databases.iter().filter(|part| part.primary).count() == 1;
        let all = databases.iter().chain(&splitters).all(|part| part.serving && part.pid.is_some());
        let settled = status["settled"] == true && full && one_primary && all;
        Cluster {
            daemon: status["daemon"]["pid"].as_u64(),
            amiss: if settled { String::new() } else { amiss(status, &tiers) },
            databases,
            splitters,
            settled,
        }
    }

    /// The primary.
    pub(crate) fn primary(&self) -> Result<&Part, String> {
        self.databases.iter().find(|part| part.primary).ok_or_else(|| "the site has no primary".to_owned())
    }

    /// The names of all database servers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.databases.iter().map(|part| part.id.clone()).collect()
    }

    /// Whether one of these processes is still named.
    pub(crate) fn names_any(&self, pids: &[u64]) -> bool {
        let all = self.databases.iter().chain(&self.splitters).filter_map(|part| part.pid);
        all.chain(self.daemon).any(|pid| pids.contains(&pid))
    }
}

fn part(instance: &Value) -> Part {
    Part {
        id: instance["id"].as_str().unwrap_or_default().to_owned(),
        primary: instance["role"] == "primary",
        pid: instance["pid"].as_u64(),
        serving: instance["state"] == "serving",
        address: instance["endpoint"]["tcp"].as_str().and_then(|address| address.parse().ok()),
    }
}

fn amiss(status: &Value, tiers: &[&Value]) -> String {
    let mut said = Vec::new();
    for instance in tiers.iter().filter_map(|tier| tier["instances"].as_array()).flatten() {
        if instance["state"] != "serving" || !instance["note"].is_null() {
            said.push(format!(
                "{} {} {}",
                instance["id"].as_str().unwrap_or("?"),
                instance["state"].as_str().unwrap_or("?"),
                instance["note"].as_str().unwrap_or_default()
            ));
        }
    }
    for name in ["waiting", "failures"] {
        let entries = status[name].as_array().into_iter().flatten();
        said.extend(entries.map(|entry| match entry.as_str() {
            Some(text) => format!("{name}: {text}"),
            None => format!("{name}: {entry}"),
        }));
    }
    if said.is_empty() { "it says that it is not settled".to_owned() } else { said.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn database(id: &str, role: &str, state: &str, pid: u64) -> Value {
        json!({"id": id, "role": role, "state": state, "pid": pid, "endpoint": {"tcp": "127.0.0.1:20306"}})
    }

    fn site(settled: bool, instances: &[Value]) -> Cluster {
        let tier = json!({"tier": "database", "wanted": 2, "ready": 2, "instances": instances});
        Cluster::told(&json!({"settled": settled, "daemon": {"pid": 9}, "tiers": [tier]}))
    }

    #[test]
    fn a_site_is_settled_when_everything_serves() {
        let (one, two) = (
            database("database-1", "primary", "serving", 5),
            database("database-2", "replica", "serving", 6),
        );
        let well = site(true, &[one.clone(), two.clone()]);
        assert!(well.settled && well.names_any(&[9]) && well.names_any(&[6]) && !well.names_any(&[7]));
        assert_eq!(well.primary().map(|part| part.pid), Ok(Some(5)));
        assert!(!site(false, &[one.clone(), two.clone()]).settled);
        let behind = site(true, &[one.clone(), database("database-2", "replica", "unhealthy", 6)]);
        assert_eq!(behind.amiss, "database-2 unhealthy ");
        assert!(!site(true, &[one.clone(), one]).settled, "two primaries");
        assert!(!site(true, &[two.clone(), two]).settled, "none");
    }
}
