//! How many instances of a tier there are, and the replacing of outdated ones: one new beside the old,
//! healthy and routed to, then an old one retires; databases and caches change in their place.
//!
//! An instance that serves is never retired unless as many others serve as are wanted.

use crate::bring_up::release;
use crate::planner::Planner;
use crate::sight::Standing;
use std::cmp::Reverse;
use stoa_model::observed::ProcessState;
use stoa_model::plan::WaitKind;
use stoa_model::site::AppKind;
use stoa_model::{Endpoint, InstanceId, ReleaseId, Tier};

/// One instance that is not retiring, as a replacement sees it.
#[derive(Debug, Clone, Copy)]
struct Member {
    id: InstanceId,
    /// Runs, or would start, as what is wanted now.
    current: bool,
    /// Has requests sent to it, or might have.
    used: bool,
    /// Healthy and certainly used.
    serves: bool,
    /// Whether it runs is known.
    known: bool,
}

/// Brings a tier of replaceable instances to the wanted count, all of them current. `target` is the
/// release that new ones run, for the app tier.
pub(crate) fn resize(plan: &mut Planner<'_>, tier: Tier, target: Option<ReleaseId>) {
    renew_the_dead(plan, tier, target.as_ref());
    let wanted = usize::from(plan.wanted(tier));
    let missing = wanted.saturating_sub(plan.staying(tier).len());
    for _ in 0..missing {
        if tier == Tier::App && target.is_none() {
            plan.wait(WaitKind::Progress, tier, "a release is built");
            break;
        }
        if plan.add(tier, target.clone()).is_none() {
            break;
        }
    }
    retire_surplus(plan, tier, target.as_ref(), wanted);
    replace_one(plan, tier, target, wanted);
}

/// Brings a tier whose instances hold data in their place to the wanted count. What runs outdated is its
/// own tier's affair.
pub(crate) fn resize_in_place(plan: &mut Planner<'_>, tier: Tier) {
    let restart = plan.input.intent.restarts(tier);
    for (_, place) in plan.roster.instances.iter_mut().filter(|(id, _)| id.tier == tier) {
        place.restart = restart;
    }
    let wanted = usize::from(plan.wanted(tier));
    while plan.staying(tier).len() < wanted {
        // One that is on its way out still has its data: it is kept rather than joined by an empty one.
        let retiring = plan.roster.tier(tier).find(|(_, place)| place.retiring.is_some()).map(|(id, _)| id);
        if let Some(place) = retiring.and_then(|id| plan.roster.instances.get_mut(&id)) {
            place.retiring = None;
        } else if plan.add(tier, None).is_none() {
            break;
        }
    }
    let mut surplus = plan.staying(tier);
    surplus.retain(|id| wanted == 0 || plan.roster.primary != Some(*id));
    let too_many = plan.staying(tier).len().saturating_sub(wanted);
    for id in surplus.into_iter().rev().take(too_many) {
        retire(plan, id);
    }
}

/// An instance without a process starts as what is wanted now; only one of the live release keeps it,
/// for as long as the wanted one has not proven itself.
fn renew_the_dead(plan: &mut Planner<'_>, tier: Tier, target: Option<&ReleaseId>) {
    let restart = plan.input.intent.restarts(tier);
    for id in plan.staying(tier) {
        if !plan.sight().is_down(id) || plan.sight().busy_with(id).is_some() {
            continue;
        }
        let live = plan.roster.live.clone().filter(|live| release::is_built(plan, live));
        let misplaced = tier == Tier::App && !fits(plan, id);
        if let Some(place) = plan.roster.instances.get_mut(&id) {
            place.restart = restart;
            if tier == Tier::App && target.is_some() && place.release != live {
                place.release = target.cloned();
            }
        }
        if misplaced {
            plan.move_endpoint(id);
        }
    }
}

/// Whether its endpoint is of the kind that the application is talked to by.
fn fits(plan: &Planner<'_>, id: InstanceId) -> bool {
    let Some(place) = plan.roster.instances.get(&id) else { return false };
    matches!(
        (plan.app_kind(), &place.endpoint),
        (Some(AppKind::Http), Endpoint::Tcp(_)) | (Some(AppKind::Php), Endpoint::Unix(_)) | (None, _)
    )
}

fn members(plan: &Planner<'_>, tier: Tier, target: Option<&ReleaseId>) -> Vec<Member> {
    plan.staying(tier).into_iter().map(|id| member(plan, id, target)).collect()
}

fn member(plan: &Planner<'_>, id: InstanceId, target: Option<&ReleaseId>) -> Member {
    let sight = plan.sight();
    let place = plan.roster.instances.get(&id);
    let asked = place.is_some_and(|place| place.restart >= plan.input.intent.restarts(id.tier));
    let as_spec = match id.tier {
        // What else differs, nginx reads anew in its place.
        Tier::Web => true,
        Tier::App => {
            let release = target.is_none() || place.is_some_and(|place| place.release.as_ref() == target);
            release && fits(plan, id) && !plan.runs_outdated(id)
        }
        _ => !plan.runs_outdated(id),
    };
    let used = match id.tier {
        Tier::Balancer => {
            let proven = |r| !matches!(sight.standing(id, r), Standing::Unproven(_));
            sight.running(id).is_some_and(proven)
        }
        _ => plan.input.routes.names(id) && !sight.is_down(id),
    };
    Member {
        id,
        current: asked && as_spec,
        used,
        serves: sight.serves(id),
        known: !matches!(sight.process(id), ProcessState::Unknown),
    }
}

/// Retires what is one too many: outdated ones first, then those that do not serve, then the highest
/// numbers.
fn retire_surplus(plan: &mut Planner<'_>, tier: Tier, target: Option<&ReleaseId>, wanted: usize) {
    let mut members = members(plan, tier, target);
    members.sort_by_key(|m| (m.current, m.used, Reverse(m.id)));
    for victim in members.clone() {
        let surplus = members.len().saturating_sub(wanted);
        if surplus == 0 {
            break;
        }
        let others = members.iter().filter(|m| m.id != victim.id && m.serves).count();
        let outdated_left = members.iter().any(|m| !m.current);
        let spare = match (victim.current, victim.used) {
            // The newcomer of a replacement is one too many for as long as an old one is there.
            (true, _) if outdated_left && surplus == 1 => false,
            (_, true) => others >= wanted,
            (true, false) => true,
            // It serves nobody; a newcomer that does shows that what is wanted now works.
            (false, false) => others >= wanted || members.iter().any(|m| m.current && m.serves),
        };
        if spare && victim.known {
            retire(plan, victim.id);
            members.retain(|m| m.id != victim.id);
        }
    }
}

/// Sets one new instance beside the outdated ones, when none is there yet.
fn replace_one(plan: &mut Planner<'_>, tier: Tier, target: Option<ReleaseId>, wanted: usize) {
    let members = members(plan, tier, target.as_ref());
    let Some(outdated) = members.iter().find(|m| !m.current) else { return };
    let held = members.iter().find(|m| m.current && !m.serves);
    if let Some(newcomer) = held {
        let until = format!(
            "{} serves, which runs as it should now; {} is kept until then",
            newcomer.id, outdated.id
        );
        plan.wait(WaitKind::Progress, outdated.id, until);
        return;
    }
    plan.wait(WaitKind::Progress, outdated.id, "it is replaced by one that runs as it should now");
    if plan.roster.tier(tier).count() <= wanted && wanted > 0 {
        plan.add(tier, target);
    }
}

fn retire(plan: &mut Planner<'_>, id: InstanceId) {
    let now = plan.input.now;
    if let Some(place) = plan.roster.instances.get_mut(&id) {
        place.retiring = Some(now);
    }
}
