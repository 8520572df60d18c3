//! Where auto-scaling meets the plan: which tiers it is for, by which rules, and what is said of it.

use super::window::FRESH;
use super::{ScaleRules, Target, decide};
use crate::planner::Planner;
use stoa_model::plan::WaitKind;
use stoa_model::{Scaling, Tier};

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
        let demand = plan.input.demand.get(&tier);
        let before = plan.roster.scaling.get(&tier);
        let (scaling, over) = decide(&rules, before, demand.unwrap_or(&nothing), serving, plan.input.now);
        match over {
            // At first there is nothing yet, and a site that is being brought up has other things to say.
            None if demand.is_none_or(|demand| demand.samples.is_empty()) => {}
            None => say_unmeasured(plan, tier, &scaling),
            Some(over) => say_stuck(plan, tier, &rules, &scaling, over),
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

fn say_unmeasured(plan: &mut Planner<'_>, tier: Tier, scaling: &Scaling) {
    let until = format!(
        "what is asked of it is measured again; nothing was for more than {FRESH}, so {} stay wanted",
        scaling.wanted
    );
    plan.wait(WaitKind::Limit, tier, until);
}

/// What keeps it from what is asked of it.
fn say_stuck(plan: &mut Planner<'_>, tier: Tier, rules: &ScaleRules, scaling: &Scaling, over: bool) {
    let now = plan.input.now;
    if let Some(ceiling) = scaling.ceiling.as_ref().filter(|ceiling| ceiling.until > now) {
        let until = format!("more than {} instances help: {}", scaling.wanted, ceiling.because);
        plan.wait(WaitKind::Limit, tier, until);
    } else if over && scaling.wanted >= rules.max {
        let what = match rules.target {
            Target::Wait(target) => format!("requests wait no longer than {target}"),
            Target::Utilisation(most) => format!("its processors are at most {:.0} % busy", most * 100.0),
        };
        let until = format!("{what}; it has {}, the most that are allowed", rules.max);
        plan.wait(WaitKind::Limit, tier, until);
    }
}
