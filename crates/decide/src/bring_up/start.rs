//! Starting a process that is wanted and not there, whatever its tier.

use crate::backoff;
use crate::drain;
use crate::planner::{Planner, times};
use stoa_model::observed::{Exited, ProcessState};
use stoa_model::plan::WaitKind;
use stoa_model::{Action, InstanceId, Millis, Tier};

/// A balancer that says nothing must not keep a dead instance down for longer than this.
const UNSEEN_BALANCER: Millis = Millis::from_secs(5);

/// Starts `id` when it is known to be down, `ready` has no objection, the balancers have let go of its
/// last process and its back-off is over.
pub(crate) fn when_down(plan: &mut Planner<'_>, id: InstanceId, ready: Result<(), (WaitKind, String)>) {
    let exited = match plan.sight().process(id) {
        ProcessState::Running(_) => return,
        ProcessState::Unknown => {
            plan.wait(WaitKind::Progress, id, "it is known whether it runs");
            return;
        }
        ProcessState::Absent => None,
        ProcessState::Exited(exited) => Some(exited),
    };
    if let Some(key) = plan.sight().busy_with(id) {
        plan.wait(WaitKind::Progress, id, key.end());
        return;
    }
    if let Err((kind, until)) = ready {
        plan.wait(kind, id, until);
        return;
    }
    if let Some(until) = still_sent_to(plan, id, exited) {
        plan.wait(WaitKind::Progress, id, until);
        return;
    }
    if let Some(exited) = exited
        && pauses(plan, id, exited)
    {
        return;
    }
    if port_was_taken(plan, id, exited) && !plan.move_endpoint(id) {
        return;
    }
    let Some(spec) = plan.spec(id) else {
        plan.wait(WaitKind::Progress, id, "what it is told about has a place");
        return;
    };
    let because = exited.map_or_else(
        || format!("{id} is wanted and does not run"),
        |exited| format!("{id} ended: {}{}", exited.how, in_a_row(exited.crashes)),
    );
    plan.step(Action::Start { instance: id, spec }, because);
}

fn in_a_row(crashes: u32) -> String {
    match crashes {
        0 => String::new(),
        1 => "; 1 crash in a row".to_owned(),
        n => format!("; {n} crashes in a row"),
    }
}

/// A route names a process by its start. Were another started at the same address while a balancer still
/// goes by the old route, it would be sent requests before it has been proven.
fn still_sent_to(plan: &Planner<'_>, id: InstanceId, exited: Option<&Exited>) -> Option<String> {
    id.tier.routed_by()?;
    let until = drain::acknowledged(plan, id).err()?;
    let unseen = exited.is_none_or(|exited| plan.input.now.since(exited.at) > UNSEEN_BALANCER);
    (plan.input.routes.names(id) || !unseen).then_some(until)
}

fn pauses(plan: &mut Planner<'_>, id: InstanceId, exited: &Exited) -> bool {
    // What ended ran as something else: a changed config or release deserves its try at once.
    if exited.crashes < 2 || plan.digest(id) != Some(exited.spec) {
        return false;
    }
    let pause = backoff::after_crashes(is_needed(plan, id), exited.crashes);
    let last = exited.last_lines.last().map_or_else(String::new, |line| format!("; its last line: {line}"));
    let until = format!(
        "it stays up; it ended {} ({}) and is started again after a pause of {pause}{last}",
        times(exited.crashes),
        exited.how
    );
    plan.wait(WaitKind::Trouble, id, until);
    plan.input.now.since(exited.at) < pause
}

/// Whether visitors may wait for this very one: with the last role of a tier a face of the site is silent, writes
/// wait for the primary where nobody takes over, and for any replica where none acknowledges.
fn is_needed(plan: &Planner<'_>, id: InstanceId) -> bool {
    let writes_wait = plan.roster.primary == Some(id) || plan.roster.database.lonely.is_some();
    id.tier.is_role() || id.tier == Tier::Database && writes_wait
}

/// Whether something else listens where it should. One failure has to point at it, because a list of
/// free ports may leave one out.
fn port_was_taken(plan: &Planner<'_>, id: InstanceId, exited: Option<&Exited>) -> bool {
    let Some(place) = plan.roster.instances.get(&id) else { return false };
    let Some(port) = place.endpoint.port() else { return false };
    let Some(host) = plan.sight().host(&place.host) else { return false };
    let failed = exited.is_some_and(|exited| exited.crashes > 0)
        || host.failures.keys().any(|key| key.verb() == "start" && key.subject() == id.to_string());
    failed && !host.free_ports.contains(&port)
}
