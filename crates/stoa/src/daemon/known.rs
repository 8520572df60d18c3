//! What the store holds of the site at one moment: what a plan is made from, but for the intent.

use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use stoa_decide::Input;
use stoa_model::{Demand, Intent, Observed, Paths, Roster, Routes, Tier};
use stoa_tiers::host::clock;

/// What the store holds of the site at one moment.
pub(super) struct Known {
    /// What has been decided to exist.
    pub(super) roster: Roster,
    /// What the data plane may send where.
    pub(super) routes: Routes,
    /// What all agents see.
    pub(super) observed: Observed,
    /// What was asked of each tier.
    pub(super) demand: BTreeMap<Tier, Demand>,
}

impl Known {
    /// Reads it.
    pub(super) async fn read(store: &impl Store) -> Result<Self, StoreError> {
        let (roster, routes) = store.decided().await?;
        Ok(Known { roster, routes, observed: store.observed().await?, demand: store.demand().await? })
    }

    /// What a plan for `intent` is made from, now.
    pub(super) fn input<'a>(&'a self, intent: &'a Intent, paths: &'a Paths) -> Input<'a> {
        let Known { roster, routes, observed, demand } = self;
        Input { intent, roster, routes, observed, demand, paths, now: clock::now() }
    }
}
