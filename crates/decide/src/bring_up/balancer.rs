//! Balancers come first: they accept nothing before they have routes, and need nothing from anybody.

use super::start;
use crate::planner::Planner;
use crate::replace;
use stoa_model::Tier;

/// Keeps the wanted balancers running.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    replace::resize_all(plan, Tier::Balancer);
    for id in plan.staying(Tier::Balancer) {
        start::when_down(plan, id, Ok(()));
    }
}
