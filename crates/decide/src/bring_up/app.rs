//! Application instances: started once what they are told about answers, replaced side by side.

use super::{cache, database, release, splitter, start};
use crate::deploy;
use crate::planner::Planner;
use crate::replace;
use stoa_model::observed::ProcessState;
use stoa_model::plan::WaitKind;
use stoa_model::{InstanceId, Tier};

/// Keeps the wanted application instances of each release that is to run.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    for group in deploy::groups(plan) {
        replace::resize(plan, Tier::App, &group);
    }
    deploy::overlook_earlier_ends(plan);
    for id in plan.staying(Tier::App) {
        let ready = ready(plan, id);
        start::when_down(plan, id, ready);
    }
}

fn ready(plan: &Planner<'_>, id: InstanceId) -> Result<(), (WaitKind, String)> {
    let release = plan.roster.instances.get(&id).and_then(|place| place.release.clone());
    match release {
        Some(release) if release::is_built(plan, &release) => {}
        Some(release) => return Err((WaitKind::Progress, format!("the release {release} is built"))),
        None => return Err((WaitKind::Progress, "a release is built".to_owned())),
    }
    database::ready(plan).map_err(|until| (WaitKind::Progress, until))?;
    splitter::ready(plan).map_err(|until| (WaitKind::Progress, until))?;
    // One that died has run without the cache or will say so itself; a site must not shrink for it.
    if matches!(plan.sight().process(id), ProcessState::Exited(_)) {
        return Ok(());
    }
    cache::ready(plan).map_err(|until| (WaitKind::Progress, until))
}
