//! Whether a change of primary can be asked for at all. Whether it may be done is decided with everything else.

use crate::api::types::Problem;
use crate::api::types::database::SwitchoverRequest;
use stoa_model::{InstanceId, Roster, Tier};

/// Refuses what can never come true.
pub(super) fn refuse(request: &SwitchoverRequest, roster: &Roster) -> Result<(), Problem> {
    let staying = |(id, place): (InstanceId, &stoa_model::roster::Assignment)| {
        (place.retiring.is_none() && roster.primary != Some(id)).then_some(id)
    };
    let replicas: Vec<InstanceId> = roster.tier(Tier::Database).filter_map(staying).collect();
    if let Some(handover) = &roster.database.handover {
        return Err(Problem {
            what: "the primary cannot be changed now".to_owned(),
            why: format!("{} takes over from {}: {}", handover.to, handover.from, handover.because),
            next: "wait until that is over: stoa db status".to_owned(),
        });
    }
    let Some(first) = replicas.first() else {
        return Err(Problem {
            what: "there is no other server to be the primary".to_owned(),
            why: "the database has no replica".to_owned(),
            next: "set [database] replicas = 1 in stoa.toml and type: stoa up".to_owned(),
        });
    };
    match request.to {
        Some(to) if roster.primary == Some(to) => Err(Problem {
            what: format!("{to} is the primary already"),
            why: "a switchover is to another server".to_owned(),
            next: format!("type for example: stoa db switchover {first}"),
        }),
        Some(to) if !replicas.contains(&to) => Err(Problem {
            what: format!("{to} cannot be the primary"),
            why: "it is no replica of this database".to_owned(),
            next: format!("type for example: stoa db switchover {first}"),
        }),
        _ => Ok(()),
    }
}
