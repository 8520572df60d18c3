//! What a decision changed of the database, as the journal tells it.

use crate::store::NewEntry;
use stoa_model::Roster;
use stoa_model::cluster::{HandoverKind, SwitchoverState};
use stoa_model::journal::Kind;
use stoa_model::routes::SqlRoutes;

/// Where statements go from now on; none where that is as before.
pub(super) fn routed(before: &SqlRoutes, after: &SqlRoutes) -> Option<String> {
    let primary = |routes: &SqlRoutes| routes.primary.as_ref().map(|route| (route.instance, route.started));
    let replicas = |routes: &SqlRoutes| -> Vec<_> {
        routes.replicas.iter().map(|route| (route.instance, route.started)).collect()
    };
    let mut parts = Vec::new();
    if primary(before) != primary(after) {
        parts.push(match &after.primary {
            Some(route) => format!("writes to {} in term {}", route.instance, after.term),
            None => "statements for the primary are held".to_owned(),
        });
    }
    if replicas(before) != replicas(after) {
        let names: Vec<_> = after.replicas.iter().map(|route| route.instance.to_string()).collect();
        parts.push(match names.len() {
            0 => "reads to the primary".to_owned(),
            _ => format!("reads to {}", names.join(", ")),
        });
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What was decided about who is primary and about who acknowledges.
pub(super) fn entries(before: &Roster, after: &Roster) -> Vec<NewEntry> {
    let (was, now) = (&before.database, &after.database);
    let entry = |kind, subject: String, text: &str, because: &str| NewEntry {
        kind,
        subject,
        text: text.to_owned(),
        because: because.to_owned(),
    };
    let mut entries = Vec::new();
    if let Some(handover) = now.handover.as_ref().filter(|handover| was.handover.as_ref() != Some(*handover))
    {
        let text = format!("it is to take over from {}", handover.from);
        entries.push(entry(Kind::Decided, handover.to.to_string(), &text, &handover.because));
    }
    if let Some(change) = now.changed.as_ref().filter(|change| was.changed.as_ref() != Some(*change)) {
        let kind = match change.kind {
            HandoverKind::Failover => "failover",
            HandoverKind::Switchover => "switchover",
        };
        let text = format!("{kind} is over: primary of term {} in the place of {}", after.term, change.from);
        entries.push(entry(Kind::Done, change.to.to_string(), &text, &change.because));
    }
    match (&was.degraded, &now.degraded) {
        (None, Some(degraded)) => {
            let text = "acknowledged writes may be on one server only from now on";
            entries.push(entry(Kind::Failed, "database".to_owned(), text, &degraded.because));
        }
        (Some(degraded), None) => {
            let text = "acknowledged writes are on two servers again";
            entries.push(entry(Kind::Done, "database".to_owned(), text, &degraded.because));
        }
        _ => {}
    }
    let failed = |roster: &Roster| match &roster.database.switchover {
        Some(order) => match &order.state {
            SwitchoverState::Failed { why } => Some((order.number, why.clone())),
            _ => None,
        },
        None => None,
    };
    if let Some((number, why)) = failed(after).filter(|now| failed(before).as_ref() != Some(now)) {
        let text = format!("switchover {number} failed; the primary is what it was");
        entries.push(entry(Kind::Failed, "database".to_owned(), &text, &why));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::cluster::{Degraded, Handover};
    use stoa_model::routes::Route;
    use stoa_model::{Endpoint, InstanceId, Term, Tier, Time};

    fn id(number: u16) -> InstanceId {
        InstanceId::new(Tier::Database, number)
    }

    fn route(number: u16) -> Route {
        let endpoint = Endpoint::Tcp(([127, 0, 0, 1], 20_000 + number).into());
        Route {
            instance: id(number),
            endpoint,
            tls: false,
            started: Time(1),
            because: String::new(),
            release: None,
        }
    }

    #[test]
    fn a_failover_is_told_by_what_changes_for_statements() {
        let one = |primary: Option<u16>, replicas: &[u16], term| SqlRoutes {
            term: Term(term),
            primary: primary.map(route),
            replicas: replicas.iter().map(|number| route(*number)).collect(),
        };
        let steps =
            [one(Some(1), &[2, 3], 1), one(None, &[2, 3], 1), one(Some(2), &[3], 2), one(Some(2), &[], 2)];
        let told: Vec<_> =
            steps.windows(2).map(|pair| routed(&pair[0], &pair[1]).unwrap_or_default()).collect();
        assert_eq!(
            told,
            [
                "statements for the primary are held",
                "writes to database-2 in term 2; reads to database-3",
                "reads to the primary",
            ]
        );
        assert_eq!(routed(&steps[0], &steps[0]), None);
    }

    #[test]
    fn a_handover_and_a_lost_replica_are_told_once() {
        let before = Roster::default();
        let mut after = before.clone();
        after.database.handover = Some(Handover {
            kind: HandoverKind::Failover,
            from: id(1),
            to: id(2),
            since: Time(5),
            because: "database-1 ended".to_owned(),
        });
        after.database.degraded =
            Some(Degraded { since: Time(5), because: "no replica".to_owned(), goal: None });
        let told: Vec<_> =
            entries(&before, &after).iter().map(|e| format!("{} {}", e.subject, e.text)).collect();
        assert_eq!(
            told,
            [
                "database-2 it is to take over from database-1",
                "database acknowledged writes may be on one server only from now on",
            ]
        );
        assert!(entries(&after, &after).is_empty());
    }
}
