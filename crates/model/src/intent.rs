//! What the operator asked for: the site's file and what was typed since.

use crate::cluster::SwitchoverOrder;
use crate::ids::{ReleaseId, Tier};
use crate::site::{Count, Site};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the operator asked for. Kept in the store; changed only by a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The site as its file says.
    pub site: Site,
    /// The release that should run: taken from the source at the last `up`.
    pub release: ReleaseId,
    /// `stoa scale app=4`: overrides the file's counts until the file's count changes.
    pub scale: BTreeMap<Tier, u16>,
    /// `stoa restart app`: how often each tier was asked to be replaced.
    pub restarts: BTreeMap<Tier, u64>,
    /// Whether the site should run at all; `down` sets it to [`Power::Off`].
    pub power: Power,
    /// How `release` was asked for, and by whom.
    #[serde(default)]
    pub deploy: crate::deployment::DeployOrder,
    /// Grows with every secret that is set or taken away: instances are replaced, to be given the new ones.
    #[serde(default)]
    pub secrets: u64,
    /// `stoa db switchover`: the last time that another primary was asked for.
    #[serde(default)]
    pub switchover: Option<SwitchoverOrder>,
    /// Releases with a lower number were built in another way: the same code makes a new one.
    #[serde(default)]
    pub built_from: u32,
}

/// Whether the site should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It should stand.
    On,
    /// Everything is to be stopped, in order, from the visitor's side inwards.
    Off,
}

impl Intent {
    /// Between how many and how many instances of `tier` should serve; none when the site is off.
    pub fn count(&self, tier: Tier) -> Count {
        match (self.power, self.scale.get(&tier)) {
            (Power::Off, _) => Count::fixed(0),
            (Power::On, Some(typed)) => Count::fixed(*typed),
            (Power::On, None) => self.site.count(tier),
        }
    }

    /// How often `tier` was asked to be replaced.
    pub fn restarts(&self, tier: Tier) -> u64 {
        self.restarts.get(&tier).copied().unwrap_or(0)
    }
}
