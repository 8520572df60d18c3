//! What is known -> the last deployment as `stoa status` and `stoa deploy` show it.

use super::types::{DeploymentStatus, ScalingStatus};
use stoa_model::deployment::{DeployKind, Deployment, Phase, Tally};
use stoa_model::site::Strategy;
use stoa_model::{Intent, Millis, ReleaseId, Roster, Routes, Tier, Time, Waiting};

/// The last deployment; none before the first.
pub(super) fn deployment(
    intent: &Intent,
    roster: &Roster,
    routes: &Routes,
    waiting: &[Waiting],
    now: Time,
) -> Option<DeploymentStatus> {
    let known = roster.deployment.as_ref().filter(|known| known.number == intent.deploy.number);
    let Some(known) = known else {
        // Asked for, and not yet decided about.
        let to = intent.release.clone();
        let order = &intent.deploy;
        return (order.number.0 > 0).then(|| DeploymentStatus {
            number: order.number,
            kind: order.kind,
            by: order.by.clone(),
            from: roster.live.clone().filter(|live| *live != to),
            to,
            phase: Phase::Prepare,
            text: "it begins".to_owned(),
            age: Millis(0),
            percent: 0,
            old: (0, 0),
            new: (0, 0),
            old_p90_ms: None,
            new_p90_ms: None,
            steps: Vec::new(),
            left: None,
        });
    };
    let rules = &intent.site.deploy;
    let watched = known.phase == Phase::Watch && known.age(now) < rules.watch_after;
    let counts = |tally: &Tally| (tally.requests, tally.errors);
    Some(DeploymentStatus {
        number: known.number,
        kind: known.kind,
        by: intent.deploy.by.clone(),
        from: known.from.clone(),
        to: known.to.clone(),
        text: text(known, waiting),
        phase: known.phase.clone(),
        age: known.age(now),
        percent: percent(&known.to, routes),
        old: counts(&known.evidence.old),
        new: counts(&known.evidence.new),
        old_p90_ms: known.evidence.old.quantile_ms(0.9),
        new_p90_ms: known.evidence.new.quantile_ms(0.9),
        steps: match (rules.strategy, known.kind) {
            (Strategy::Canary, DeployKind::Up | DeployKind::Deploy | DeployKind::Promote) => {
                rules.steps.clone()
            }
            _ => Vec::new(),
        },
        left: watched.then(|| Millis(rules.watch_after.0.saturating_sub(known.age(now).0))),
    })
}

/// Auto-scaling of `tier`, where its count is decided by demand.
pub(super) fn scaling(intent: &Intent, roster: &Roster, tier: Tier) -> Option<ScalingStatus> {
    let count = intent.count(tier);
    let because = roster.scaling.get(&tier).map(|scaling| match &scaling.ceiling {
        Some(ceiling) => format!("{}; {}", scaling.because, ceiling.because),
        None => scaling.because.clone(),
    });
    let because = because.unwrap_or_else(|| "nothing was measured yet".to_owned());
    (!count.is_fixed()).then_some(ScalingStatus { min: count.min, max: count.max, because })
}

fn text(deployment: &Deployment, waiting: &[Waiting]) -> String {
    let subject = deployment.to.to_string();
    let said = waiting.iter().find(|waiting| waiting.subject == subject).map(|waiting| waiting.until.clone());
    match &deployment.phase {
        Phase::Back(why) | Phase::Failed(why) => why.clone(),
        Phase::Watch => "it serves in full, and is watched".to_owned(),
        Phase::Done => "it serves in full".to_owned(),
        phase => said.unwrap_or_else(|| phase.word().to_owned()),
    }
}

/// How many of a hundred requests the release gets by these routes.
fn percent(release: &ReleaseId, routes: &Routes) -> u8 {
    let of_it = routes.app.iter().filter(|route| route.release.as_ref() == Some(release)).count();
    match &routes.canary {
        Some(canary) if canary.release == *release => canary.percent,
        _ if routes.app.is_empty() => 0,
        _ => u8::try_from(of_it * 100 / routes.app.len()).unwrap_or(100),
    }
}
