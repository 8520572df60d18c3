//! How many instances of a tier there are, and the replacing of outdated ones: some new beside the old,
//! healthy and routed to, then as many old ones retire; databases and caches change in their place.
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

/// Instances of a tier that are to run the same, and how they come to that.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Which of the tier.
    pub(crate) of: Of,
    /// The release that new ones run, for the app tier.
    pub(crate) target: Option<ReleaseId>,
    /// How many.
    pub(crate) wanted: usize,
    /// So many new ones are started at once where old ones are replaced ...
    pub(crate) batch: usize,
    /// ... and so many more than wanted may run meanwhile, those that retire included.
    pub(crate) surge: usize,
}

/// Which instances of a tier.
#[derive(Debug, Clone)]
pub(crate) enum Of {
    /// Every one.
    All,
    /// Those of a release.
    Release(ReleaseId),
    /// Those of other releases.
    Except(ReleaseId),
}

impl Of {
    fn includes(&self, release: Option<&ReleaseId>) -> bool {
        match self {
            Of::All => true,
            Of::Release(of) => release == Some(of),
            Of::Except(of) => release != Some(of),
        }
    }
}

/// Brings a tier of replaceable instances without code to the wanted count, all of them current.
pub(crate) fn resize_all(plan: &mut Planner<'_>, tier: Tier) {
    let wanted = usize::from(plan.wanted(tier));
    resize(plan, tier, &Group { of: Of::All, target: None, wanted, batch: 1, surge: 1 });
}

/// Brings a group of replaceable instances to its count, all of them current.
pub(crate) fn resize(plan: &mut Planner<'_>, tier: Tier, group: &Group) {
    renew_the_dead(plan, tier, group);
    let missing = group.wanted.saturating_sub(staying(plan, tier, group).len());
    for _ in 0..missing {
        if tier == Tier::App && group.target.is_none() {
            plan.wait(WaitKind::Progress, tier, "a release is ready to be started");
            break;
        }
        if plan.add(tier, group.target.clone()).is_none() {
            break;
        }
    }
    retire_surplus(plan, tier, group);
    replace_some(plan, tier, group);
}

fn staying(plan: &Planner<'_>, tier: Tier, group: &Group) -> Vec<InstanceId> {
    let mut all = plan.staying(tier);
    all.retain(|id| in_group(plan, *id, group));
    all
}

fn in_group(plan: &Planner<'_>, id: InstanceId, group: &Group) -> bool {
    plan.roster.instances.get(&id).is_some_and(|place| group.of.includes(place.release.as_ref()))
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
fn renew_the_dead(plan: &mut Planner<'_>, tier: Tier, group: &Group) {
    let restart = plan.input.intent.restarts(tier);
    for id in staying(plan, tier, group) {
        if !plan.sight().is_down(id) || plan.sight().busy_with(id).is_some() {
            continue;
        }
        let live = plan.roster.live.clone().filter(|live| release::is_built(plan, live));
        let misplaced = tier == Tier::App && !fits(plan, id);
        if let Some(place) = plan.roster.instances.get_mut(&id) {
            place.restart = restart;
            if group.target.is_some() && place.release != live {
                place.release = group.target.clone();
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

fn members(plan: &Planner<'_>, tier: Tier, group: &Group) -> Vec<Member> {
    let target = group.target.as_ref();
    staying(plan, tier, group).into_iter().map(|id| member(plan, id, target)).collect()
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
        Tier::Balancer | Tier::Splitter => {
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
fn retire_surplus(plan: &mut Planner<'_>, tier: Tier, group: &Group) {
    let wanted = group.wanted;
    let mut members = members(plan, tier, group);
    members.sort_by_key(|m| (m.current, m.used, Reverse(m.id)));
    for victim in members.clone() {
        if members.len() <= wanted {
            break;
        }
        let others = members.iter().filter(|m| m.id != victim.id && m.serves).count();
        let current = members.iter().filter(|m| m.current).count();
        let spare = match (victim.current, victim.used) {
            // The newcomers of a replacement are too many for as long as old ones are there.
            (true, _) if current <= wanted => false,
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

/// Sets new instances beside the outdated ones, as many as may be on their way at once.
fn replace_some(plan: &mut Planner<'_>, tier: Tier, group: &Group) {
    let members = members(plan, tier, group);
    let Some(outdated) = members.iter().find(|m| !m.current) else { return };
    let newcomers: Vec<_> = members.iter().filter(|m| m.current && !m.serves).collect();
    let until = match newcomers.first() {
        Some(newcomer) => {
            format!("{} serves, which runs as it should now; {} is kept until then", newcomer.id, outdated.id)
        }
        None => "it is replaced by one that runs as it should now".to_owned(),
    };
    plan.wait(WaitKind::Progress, outdated.id, until);
    let there = plan.roster.tier(tier).filter(|(id, _)| in_group(plan, *id, group)).count();
    let room = (group.wanted + group.surge).saturating_sub(there);
    let lacking = group.wanted.saturating_sub(members.iter().filter(|m| m.current).count());
    let turn = group.batch.saturating_sub(newcomers.len());
    for _ in 0..room.min(lacking).min(turn) {
        if plan.add(tier, group.target.clone()).is_none() {
            break;
        }
    }
}

fn retire(plan: &mut Planner<'_>, id: InstanceId) {
    let now = plan.input.now;
    if let Some(place) = plan.roster.instances.get_mut(&id) {
        place.retiring = Some(now);
    }
}
