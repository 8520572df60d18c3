//! What a decision changed, as the journal tells it. Pure.

mod database;

use super::known::Known;
use crate::store::NewEntry;
use stoa_model::deployment::{Deployment, Outcome, Phase};
use stoa_model::journal::Kind;
use stoa_model::{Plan, Roster, Routes};

/// What `plan` changes of what was decided before.
pub(super) fn entries(before: &Known, plan: &Plan) -> Vec<NewEntry> {
    let mut entries = Vec::new();
    if plan.routes.generation != before.routes.generation {
        entries.push(routes_entry(&before.routes, &plan.routes));
    }
    entries.extend(database::entries(&before.roster, &plan.roster));
    entries.extend(deployment_entry(&before.roster, &plan.roster));
    for (tier, now) in &plan.roster.scaling {
        let was = before.roster.scaling.get(tier);
        if was.is_none_or(|was| was.wanted != now.wanted) {
            let from = was.map(|was| format!("from {} ", was.wanted)).unwrap_or_default();
            let plural = if now.wanted == 1 { "" } else { "s" };
            entries.push(NewEntry {
                kind: Kind::Decided,
                subject: tier.to_string(),
                text: format!("{from}to {} instance{plural}", now.wanted),
                because: now.because.clone(),
            });
        } else if let Some(ceiling) = &now.ceiling
            && was.is_some_and(|was| was.ceiling.as_ref() != Some(ceiling))
        {
            entries.push(NewEntry {
                kind: Kind::Decided,
                subject: tier.to_string(),
                text: format!("no more than {} instances for now", ceiling.instances),
                because: ceiling.because.clone(),
            });
        }
    }
    entries
}

/// How a deployment ended, in the decision in which it did.
pub(super) fn outcome(before: &Roster, after: &Roster) -> Option<Outcome> {
    let now = after.deployment.as_ref()?;
    let failed = |deployment: &Deployment| match &deployment.phase {
        Phase::Failed(why) | Phase::Back(why) => Some(Some(why.clone())),
        Phase::Watch | Phase::Done => Some(None),
        _ => None,
    };
    let was = before.deployment.as_ref().filter(|was| was.number == now.number);
    let ended = failed(now)?;
    (was.and_then(failed).as_ref() != Some(&ended)).then(|| Outcome {
        number: now.number,
        release: now.to.clone(),
        failed: ended,
    })
}

fn deployment_entry(before: &Roster, after: &Roster) -> Option<NewEntry> {
    let now = after.deployment.as_ref()?;
    let was = before.deployment.as_ref();
    if was.is_some_and(|was| was.number == now.number && was.phase == now.phase) {
        return None;
    }
    let from = now.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let figures = || {
        let of = |tally: &stoa_model::deployment::Tally| format!("{} of {}", tally.errors, tally.requests);
        format!(
            "{} answers of the new release were errors so far, of {from} {}",
            of(&now.evidence.new),
            of(&now.evidence.old)
        )
    };
    let number = now.number;
    let (kind, text, because) = match &now.phase {
        Phase::Prepare => {
            (Kind::Decided, format!("deployment {number} begins"), format!("it follows {from}"))
        }
        Phase::Raise => (
            Kind::Decided,
            "all of its instances are started beside the old ones".to_owned(),
            "it takes over in one switch once all of them are healthy".to_owned(),
        ),
        Phase::Canary { step } => (Kind::Decided, format!("canary, step {}", step + 1), figures()),
        Phase::Roll => (Kind::Decided, format!("it replaces {from} a batch at a time"), figures()),
        Phase::Watch => (Kind::Done, format!("it serves in full in the place of {from}"), figures()),
        Phase::Done => (Kind::Done, format!("deployment {number} is over"), figures()),
        Phase::Back(why) => (Kind::Failed, format!("{from} is brought back"), why.clone()),
        Phase::Failed(why) => {
            (Kind::Failed, format!("deployment {number} failed; {from} serves"), why.clone())
        }
    };
    Some(NewEntry { kind, subject: now.to.to_string(), text, because })
}

/// What changed, as the journal tells it.
fn routes_entry(before: &Routes, after: &Routes) -> NewEntry {
    let all = |routes: &Routes| routes.web.iter().chain(&routes.app).cloned().collect::<Vec<_>>();
    let (old, new) = (all(before), all(after));
    let known = |list: &[stoa_model::routes::Route], route: &stoa_model::routes::Route| {
        list.iter().any(|other| other.instance == route.instance && other.started == route.started)
    };
    let added: Vec<_> = new.iter().filter(|route| !known(&old, route)).collect();
    let removed: Vec<_> =
        old.iter().filter(|route| !new.iter().any(|other| other.instance == route.instance)).collect();
    let names = |list: &[&stoa_model::routes::Route]| {
        list.iter().map(|route| route.instance.to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    if !added.is_empty() {
        parts.push(format!("{} added", names(&added)));
    }
    if !removed.is_empty() {
        parts.push(format!("{} removed", names(&removed)));
    }
    parts.extend(database::routed(&before.sql, &after.sql));
    let because: Vec<&str> = added.iter().map(|route| route.because.as_str()).collect();
    NewEntry {
        kind: Kind::Routes,
        subject: format!("generation {}", after.generation),
        text: if parts.is_empty() { "how they are served changed".to_owned() } else { parts.join("; ") },
        because: because.join("; "),
    }
}
