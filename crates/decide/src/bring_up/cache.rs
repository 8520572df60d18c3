//! The cache: one server, started again where it dies, restarted in place where its spec changed. No
//! running application waits for it or is restarted because of it.

use super::start;
use crate::planner::Planner;
use crate::replace;
use stoa_model::plan::WaitKind;
use stoa_model::{Action, Tier};

/// Keeps the cache running.
pub(crate) fn keep(plan: &mut Planner<'_>) {
    replace::resize_in_place(plan, Tier::Cache);
    for id in plan.staying(Tier::Cache) {
        start::when_down(plan, id, Ok(()));
        if plan.runs_outdated(id)
            && let Some(spec) = plan.spec(id)
        {
            let stop = Action::Stop { instance: id, grace: spec.stop_timeout() };
            plan.step(stop, format!("{id} is to run with another configuration and is restarted in place"));
            plan.wait(WaitKind::Progress, id, "it has stopped, to start with its new configuration");
        }
    }
}

/// Whether the site's cache, if it has one, answers.
pub(crate) fn ready(plan: &Planner<'_>) -> Result<(), String> {
    for id in plan.staying(Tier::Cache) {
        if !plan.sight().is_healthy(id) {
            return Err(format!("the cache {id} answers"));
        }
    }
    Ok(())
}
