//! A deployment as it stands: what it does, how large its share is, what both releases answer.

use super::status::wrap;
use super::units;
use crate::api::types::{DeploymentStatus, Status};
use crate::cli::style::{Mood, Style, harmless, pad};
use stoa_model::deployment::{DeployKind, Phase};
use stoa_model::{Millis, ReleaseId};

/// A deployment that failed is told of for this long.
const LATELY: Millis = Millis::from_secs(24 * 60 * 60);

/// The one that is under way or watched.
pub(crate) fn under_way(status: &Status) -> Option<&DeploymentStatus> {
    status.deployment.as_ref().filter(|one| !matches!(one.phase, Phase::Done | Phase::Failed(_)))
}

/// The one that is worth telling of: under way, watched, or failed lately.
pub(crate) fn notable(status: &Status) -> Option<&DeploymentStatus> {
    let lately = |one: &&DeploymentStatus| match one.phase {
        Phase::Done => false,
        Phase::Failed(_) => one.age < LATELY,
        _ => true,
    };
    status.deployment.as_ref().filter(lately)
}

/// The word for how it came about.
pub(crate) fn kind(kind: DeployKind) -> &'static str {
    match kind {
        DeployKind::Up => "up",
        DeployKind::Deploy => "deploy",
        DeployKind::Rollback => "rollback",
        DeployKind::Promote => "promote",
    }
}

/// How its phase is.
pub(crate) fn mood(phase: &Phase) -> Mood {
    match phase {
        Phase::Watch | Phase::Done => Mood::Good,
        Phase::Back(_) | Phase::Failed(_) => Mood::Bad,
        _ => Mood::Moving,
    }
}

/// Its phase in a few words.
pub(crate) fn phase(deployment: &DeploymentStatus) -> String {
    let word = deployment.phase.word();
    match (&deployment.phase, deployment.left) {
        (Phase::Canary { .. }, _) if deployment.percent > 0 => format!("{word} at {} %", deployment.percent),
        (Phase::Watch, Some(left)) if left.0 > 0 => format!("{word} for {} more", units::span(left)),
        // An old release may still be kept warm.
        (Phase::Watch, _) => "serves".to_owned(),
        _ => word.to_owned(),
    }
}

/// The section of `stoa status`.
pub(crate) fn section(status: &Status, style: Style, width: usize) -> Vec<String> {
    let Some(deployment) = notable(status) else { return Vec::new() };
    let mood = mood(&deployment.phase);
    let by = match deployment.by.as_str() {
        "" => String::new(),
        by => format!(" by {}", style.fit(&harmless(by), 24)),
    };
    let how = match deployment.phase {
        Phase::Failed(_) => format!("failed {} ago", units::span(deployment.age)),
        Phase::Watch => phase(deployment),
        _ => format!("{}, for {}", phase(deployment), units::span(deployment.age)),
    };
    let title = format!("{} {}{by}: ", kind(deployment.kind), deployment.to);
    let mut lines =
        vec![String::new(), format!("{} {}{}", style.sign(mood), style.bold(&title), style.mood(mood, &how))];
    lines.extend(details(status, deployment, style, width, 2));
    lines
}

/// What it does now, its steps and figures, below its title.
pub(crate) fn details(
    status: &Status,
    deployment: &DeploymentStatus,
    style: Style,
    width: usize,
    indent: usize,
) -> Vec<String> {
    let lead = " ".repeat(indent);
    let room = width.saturating_sub(indent);
    let text = sentence(status, deployment);
    let mut lines: Vec<String> = Vec::new();
    if !text.is_empty() {
        lines.extend(wrap(&text, room).map(|line| format!("{lead}{}", style.fit(&line, room))));
    }
    if let Some(steps) = steps(deployment, style) {
        lines.push(format!("{lead}{steps}"));
    }
    if deployment.new.0 > 0 {
        let new = (deployment.new, deployment.new_p90_ms);
        lines.push(format!("{lead}{}", figures(&deployment.to, new, style)));
        let old = (deployment.old, deployment.old_p90_ms);
        lines.extend(deployment.from.iter().map(|from| format!("{lead}{}", figures(from, old, style))));
    }
    lines
}

/// What it does now; empty where its phase says all of it.
pub(crate) fn sentence(status: &Status, deployment: &DeploymentStatus) -> String {
    let waits = status.waiting.iter().any(|waiting| waiting.until == deployment.text);
    match &deployment.phase {
        Phase::Back(why) | Phase::Failed(why) if deployment.text.is_empty() => harmless(why),
        Phase::Watch | Phase::Done => String::new(),
        _ if waits => format!("waits until {}", harmless(&deployment.text)),
        _ => harmless(&deployment.text),
    }
}

/// `● 5 %  ◐ 25 %  ○ 50 %  ○ 100 %`: which share the new release has had, has and is to have.
fn steps(deployment: &DeploymentStatus, style: Style) -> Option<String> {
    let last = deployment.steps.len();
    let now = match &deployment.phase {
        // The first release is shared with no other.
        _ if last == 0 || deployment.from.is_none() => return None,
        Phase::Prepare | Phase::Raise => 0,
        Phase::Canary { step } => *step,
        Phase::Roll => last,
        _ => return None,
    };
    let begun = !matches!(deployment.phase, Phase::Prepare | Phase::Raise);
    let all = deployment.steps.iter().copied().chain([100]).enumerate().map(|(nth, percent)| {
        let mood = match nth.cmp(&now) {
            std::cmp::Ordering::Less => Mood::Good,
            std::cmp::Ordering::Equal if begun => Mood::Moving,
            _ => Mood::Quiet,
        };
        format!("{} {}", style.sign(mood), style.mood(mood, &format!("{percent} %")))
    });
    Some(all.collect::<Vec<_>>().join("  "))
}

/// What one release has answered.
fn figures(release: &ReleaseId, told: ((u64, u64), Option<f64>), style: Style) -> String {
    let ((answers, errors), p90) = told;
    let share = if answers == 0 { 0.0 } else { errors as f64 * 100.0 / answers as f64 };
    let errors = pad(&format!("{errors} errors ({share:.1} %)"), 20);
    let p90 = p90.map(|ms| format!("90 % within {} ms", units::rate(ms))).unwrap_or_default();
    let text = format!("{} {answers:>9} answers  {errors} {p90}", pad(&release.to_string(), 12));
    style.dim(text.trim_end())
}
