//! The roster: which instances are to exist, where they listen, and who is primary.
//!
//! What `decide` has decided before and must not forget. It is stored before a plan is acted on, so
//! that acting makes no choices: ports, numbers and the primary stand here already.

use crate::cluster::Cluster;
use crate::deployment::Deployment;
use crate::endpoint::Endpoint;
use crate::ids::{HostId, InstanceId, ReleaseId, Term, Tier};
use crate::intent::Intent;
use crate::scaling::Scaling;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What has been decided to exist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roster {
    /// Every instance that is to run or still has to be stopped.
    pub instances: BTreeMap<InstanceId, Assignment>,
    /// The database instance that may be written to in this term.
    pub primary: Option<InstanceId>,
    /// Grows with every change of `primary`.
    pub term: Term,
    /// What is remembered of the database servers beside that.
    #[serde(default)]
    pub database: Cluster,
    /// Where applications reach the database: the address all splitters share, chosen once.
    #[serde(default)]
    pub sql_face: Option<Endpoint>,
    /// The release that nginx' static files come from: the last one that served in full.
    pub live: Option<ReleaseId>,
    /// The last change from one release to another, under way or over.
    #[serde(default)]
    pub deployment: Option<Deployment>,
    /// How many instances each auto-scaled tier is to have.
    #[serde(default)]
    pub scaling: BTreeMap<Tier, Scaling>,
}

/// One instance's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The host it runs on.
    pub host: HostId,
    /// Where it listens. A balancer's is its control socket.
    pub endpoint: Endpoint,
    /// The code it runs, for the app tier.
    pub release: Option<ReleaseId>,
    /// The tier's restart count it was made for; a lower one than asked means "to be replaced".
    pub restart: u64,
    /// Since when it is to be drained and stopped; such a one is never routed to again.
    pub retiring: Option<Time>,
    /// When the process that was last seen healthy here had started: what has been proven outlives a
    /// restart of the daemon, whose own checks begin anew.
    #[serde(default)]
    pub proven: Option<Time>,
    /// Since when a process that an earlier daemon had seen healthy fails every check of this one.
    #[serde(default)]
    pub doubted: Option<Time>,
}

impl Roster {
    /// The instances of `tier` with their places, by number.
    pub fn tier(&self, tier: Tier) -> impl Iterator<Item = (InstanceId, &Assignment)> {
        self.instances.iter().filter(move |(id, _)| id.tier == tier).map(|(id, place)| (*id, place))
    }

    /// How many instances of `tier` are to serve now: the count that was asked for, or decided between its
    /// bounds; the fewest before anything was decided.
    pub fn wanted(&self, intent: &Intent, tier: Tier) -> u16 {
        let count = intent.count(tier);
        count.nearest(self.scaling.get(&tier).map_or(count.min, |scaling| scaling.wanted))
    }

    /// The lowest number of `tier` that no instance has.
    pub fn free_number(&self, tier: Tier) -> u16 {
        let taken = |number: &u16| self.instances.contains_key(&InstanceId::new(tier, *number));
        (1..=u16::MAX).find(|number| !taken(number)).unwrap_or(u16::MAX)
    }
}
