//! Where auto-scaling meets the plan: which tiers it is for, by which rules, and what is said of it.

use super::window::{FRESH, Window};
use super::{ScaleRules, Target, next};
use crate::planner::Planner;
use stoa_model::plan::WaitKind;
use stoa_model::{Millis, Scaling, Tier, Time};

/// A busy nginx instance keeps so much of its processor free that a burst does not wait.
const WEB_BUSY: f64 = 0.7;

/// Decides the counts that the operator left open. What is fixed is no longer remembered.
pub(crate) fn adjust(plan: &mut Planner<'_>) {
    for tier in [Tier::Web, Tier::App] {
        let Some(rules) = rules(plan, tier) else {
            plan.roster.scaling.remove(&tier);
            continue;
        };
        let serving = plan.staying(tier).into_iter().filter(|id| plan.sight().serves(*id)).count();
        let serving = u16::try_from(serving).unwrap_or(u16::MAX);
        let nothing = stoa_model::Demand::default();
        let demand = plan.input.demand.get(&tier).unwrap_or(&nothing);
        let before = plan.roster.scaling.get(&tier);
        let now = plan.input.now;
        let scaling = next(&rules, before, demand, serving, now);
        match Window::new(demand, now).newest() {
            None => say_unmeasured(plan, tier, &scaling, demand.samples.last().map(|sample| sample.at)),
            Some(_) => say_stuck(plan, tier, &rules, &scaling),
        }
        plan.roster.scaling.insert(tier, scaling);
    }
}

/// By what a tier is scaled; none where its count is fixed.
fn rules(plan: &Planner<'_>, tier: Tier) -> Option<ScaleRules> {
    let intent = plan.input.intent;
    let count = intent.count(tier);
    if count.is_fixed() {
        return None;
    }
    let (target, concurrency) = match (tier, &intent.site.app) {
        (Tier::App, Some(app)) => (Target::Wait(app.target_wait), app.concurrency),
        (Tier::App, None) => return None,
        _ => (Target::Utilisation(WEB_BUSY), None),
    };
    let balancers = intent.count(Tier::Balancer).min;
    Some(ScaleRules { min: count.min, max: count.max, target, concurrency, balancers })
}

fn say_unmeasured(plan: &mut Planner<'_>, tier: Tier, scaling: &Scaling, last: Option<Time>) {
    // At first there is nothing yet, and a site that is being brought up has other things to say.
    let Some(last) = last else { return };
    let past = plan.input.now.since(last);
    let how_long = if past > FRESH { format!("; nothing was for {past}") } else { String::new() };
    let until = format!("its demand is measured again{how_long}, so it stays at {}", scaling.wanted);
    plan.wait(WaitKind::Trouble, tier, until);
}

/// What keeps it from what is asked of it.
fn say_stuck(plan: &mut Planner<'_>, tier: Tier, rules: &ScaleRules, scaling: &Scaling) {
    let now = plan.input.now;
    if let Some(ceiling) = scaling.ceiling.as_ref().filter(|ceiling| ceiling.until > now) {
        let Millis(left) = ceiling.until.since(now);
        let until = format!(
            "{}; no more than {} until the next try in {} s",
            ceiling.because,
            scaling.wanted.max(ceiling.instances),
            left.div_ceil(1000)
        );
        plan.wait(WaitKind::Trouble, tier, until);
    } else if scaling.wanted >= rules.max && scaling.because.contains(super::say::NOT_KEPT) {
        let until = format!("{} are the most that are allowed: {}", rules.max, scaling.because);
        plan.wait(WaitKind::Trouble, tier, until);
    }
}
