//! What happened by itself between two looks at a host, as the journal tells it. Pure.

use crate::store::NewEntry;
use stoa_model::InstanceId;
use stoa_model::journal::Kind;
use stoa_model::observed::{Health, HostObserved, ProcessState};

/// What happened between `before` and `after`.
pub(crate) fn changes(before: &HostObserved, after: &HostObserved) -> Vec<NewEntry> {
    let mut entries = Vec::new();
    for (id, now) in &after.instances {
        let Some(was) = before.instances.get(id) else { continue };
        entries.extend(change(*id, &was.process, &now.process));
    }
    entries
}

fn change(id: InstanceId, was: &ProcessState, now: &ProcessState) -> Option<NewEntry> {
    let seen = |text: String, because: String| {
        Some(NewEntry { kind: Kind::Seen, subject: id.to_string(), text, because })
    };
    match (was, now) {
        (ProcessState::Running(old), ProcessState::Exited(end)) => {
            let last = end.last_lines.last().map(|line| format!("; its last line: {line}"));
            seen(format!("pid {} ended", old.pid), format!("{}{}", end.how, last.unwrap_or_default()))
        }
        (ProcessState::Running(old), ProcessState::Running(new)) if old.started == new.started => {
            match (&old.health, &new.health) {
                (Health::Unproven(_), Health::Healthy { .. }) => seen(
                    "is healthy".to_owned(),
                    format!("its first check passed {} after its start", new_age(new)),
                ),
                (Health::Healthy { .. }, Health::Failing { why, .. }) => {
                    seen("fails its check".to_owned(), why.clone())
                }
                (Health::Failing { streak, .. }, Health::Healthy { .. }) => {
                    seen("is healthy again".to_owned(), format!("a check passed after {streak} that failed"))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn new_age(running: &stoa_model::observed::Running) -> stoa_model::Millis {
    match running.health {
        Health::Healthy { since, .. } => since.since(running.started),
        _ => stoa_model::Millis(0),
    }
}
