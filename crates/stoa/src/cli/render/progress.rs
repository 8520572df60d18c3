//! What is shown while something comes true: a block that is redrawn, or lines as things happen.

use super::status::{standing, tier_mood};
use super::{deployment, units};
use crate::api::types::{BuildStatus, DeploymentStatus, InstanceState, InstanceStatus, Status, TierStatus};
use crate::cli::locate::label;
use crate::cli::style::{Mood, Style, harmless, pad};
use stoa_model::Millis;
use stoa_model::plan::WaitKind;

/// The longest name of a software that has a column of its own.
const SOFTWARE: usize = 10;

/// How long things have taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    /// The whole command.
    pub(crate) since: Millis,
    /// The build, where it runs.
    pub(crate) building: Option<Millis>,
}

/// The block: the site, its build, a line per tier. Every line fits `width`.
pub(crate) fn block(status: &Status, clock: Clock, style: Style, width: usize) -> Vec<String> {
    let (mood, words) = standing(status);
    let name = label(&status.site, &status.environment);
    let mut lines = vec![format!(
        "{} {}  {}  {}",
        style.sign(mood),
        style.bold(&name),
        style.mood(mood, words),
        style.dim(&units::seconds(clock.since))
    )];
    if let Some(deploying) = deployment::under_way(status) {
        let (kind, to) = (deployment::kind(deploying.kind), deploying.to.to_string());
        let mood = deployment::mood(&deploying.phase);
        lines.push(line(style, mood, kind, &to, "", &deployment::phase(deploying)));
        lines.extend(deployment::details(status, deploying, style, width, 6));
    }
    let (mood, mut words) = build(status);
    if let (BuildStatus::Building, Some(time)) = (&status.build, clock.building) {
        words = format!("{words}, {}", units::seconds(time));
    }
    let left = width.saturating_sub(32);
    lines.push(line(style, mood, "build", &status.release.to_string(), "", &style.fit(&words, left)));
    for tier in &status.tiers {
        let count = format!("{}/{}", tier.ready, tier.wanted);
        let words = style.fit(&tier_words(status, tier), left);
        lines.push(line(style, tier_mood(tier), tier.tier.word(), &tier.software, &count, &words));
    }
    lines.extend(troubles(status).into_iter().map(|trouble| {
        format!("  {} {}", style.sign(Mood::Bad), style.fit(&trouble, width.saturating_sub(4)))
    }));
    lines
}

/// What happened between two looks, a line each, for where nothing can be redrawn.
pub(crate) fn news(before: Option<&Status>, now: &Status, since: Millis, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |mood, text: String| {
        lines.push(format!("{} {} {text}", pad(&units::seconds(since), 7), style.sign(mood)));
    };
    let (mood, words) = build(now);
    if before.is_none_or(|before| build(before).1 != words || before.release != now.release) {
        say(mood, format!("release {}: {words}", now.release));
    }
    if let Some(deploying) = deployment::under_way(now) {
        let was = before.and_then(deployment::under_way);
        // Figures in a sentence move all the time; that is no news.
        let words = |one: &DeploymentStatus| one.text.replace(|c: char| c.is_ascii_digit(), "");
        let told = |one: &DeploymentStatus| (one.number, one.phase.clone(), one.percent, words(one));
        if was.map(told) != Some(told(deploying)) {
            let text = match deployment::sentence(now, deploying) {
                text if text.is_empty() => text,
                text => format!(": {text}"),
            };
            let (kind, phase) = (deployment::kind(deploying.kind), deployment::phase(deploying));
            say(deployment::mood(&deploying.phase), format!("{kind} {}: {phase}{text}", deploying.to));
        }
    }
    for tier in &now.tiers {
        let was = before.and_then(|before| before.tiers.iter().find(|one| one.tier == tier.tier));
        let count = |tier: &TierStatus| (tier.ready, tier.wanted);
        let full = tier.ready >= tier.wanted;
        if full && tier.wanted > 0 && was.is_none_or(|was| count(was) != count(tier)) {
            say(
                Mood::Good,
                format!("{}: {} of {} serving ({})", tier.tier, tier.ready, tier.wanted, tier.software),
            );
        } else if let Some(was) = was.filter(|was| was.ready > tier.ready) {
            let text =
                format!("{}: {} of {} serving, {} before", tier.tier, tier.ready, tier.wanted, was.ready);
            say(Mood::Moving, text);
        }
    }
    let known = before.map(troubles).unwrap_or_default();
    for trouble in troubles(now) {
        if !known.contains(&trouble) {
            say(Mood::Bad, trouble);
        }
    }
    lines
}

/// What is wrong, a sentence each.
pub(crate) fn troubles(status: &Status) -> Vec<String> {
    let instances = || status.tiers.iter().flat_map(|tier| &tier.instances);
    let mut troubles: Vec<String> = instances().filter_map(crash).collect();
    // What is waited for with a crashed instance is the end of its crashes.
    let crashed =
        |subject: &str| instances().any(|one| crash(one).is_some() && one.id.to_string() == subject);
    let waiting = status.waiting.iter().filter(|waiting| waiting.kind != WaitKind::Progress);
    for waiting in waiting.filter(|waiting| !crashed(&waiting.subject)) {
        troubles.push(harmless(&format!("{} waits until {}", waiting.subject, waiting.until)));
    }
    for failure in &status.failures {
        let failure = harmless(failure);
        if !troubles.iter().any(|trouble| trouble.contains(&failure)) {
            troubles.push(failure);
        }
    }
    troubles
}

/// How an instance crashed, with its last line.
fn crash(instance: &InstanceStatus) -> Option<String> {
    if instance.state != InstanceState::Crashed {
        return None;
    }
    let how = instance.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
    let again =
        if instance.crashes > 1 { format!(" {} times in a row", instance.crashes) } else { String::new() };
    let last = instance.last_lines.last().map(|line| format!(": {line}")).unwrap_or_default();
    Some(harmless(&format!("{} crashed{again}{how}{last}", instance.id)))
}

/// The last picture: where to find the site and what to type next.
pub(crate) fn arrival(status: &Status, since: Millis, style: Style, next: &[(String, &str)]) -> String {
    let mut lines = vec![format!(
        "{} {} is serving{}release {}{}{}",
        style.sign(Mood::Good),
        style.bold(&label(&status.site, &status.environment)),
        style.dot(),
        status.release,
        style.dot(),
        units::seconds(since)
    )];
    lines.push(String::new());
    lines.extend(status.urls.iter().map(|url| format!("  {}", style.link(url))));
    lines.push(String::new());
    let column = next.iter().map(|(typed, _)| typed.len()).max().unwrap_or(0);
    lines.extend(next.iter().map(|(typed, what)| format!("  {}   {}", pad(typed, column), style.dim(what))));
    lines.join("\n") + "\n"
}

fn line(style: Style, mood: Mood, what: &str, who: &str, count: &str, words: &str) -> String {
    let who = pad(&style.fit(who, SOFTWARE), SOFTWARE);
    format!("  {} {} {} {} {}", style.sign(mood), pad(what, 9), who, pad(count, 5), style.mood(mood, words))
}

fn build(status: &Status) -> (Mood, String) {
    match &status.build {
        BuildStatus::Taken => (Mood::Quiet, "source taken".to_owned()),
        BuildStatus::Building => (Mood::Moving, "building".to_owned()),
        BuildStatus::Built => (Mood::Good, "built".to_owned()),
        BuildStatus::Failed { why, .. } => (Mood::Bad, format!("failed: {}", harmless(why))),
    }
}

/// What a tier does, or waits for.
fn tier_words(status: &Status, tier: &TierStatus) -> String {
    let own = |subject: &str| {
        subject == tier.tier.word() || tier.instances.iter().any(|one| one.id.to_string() == subject)
    };
    if let Some(crashed) = tier.instances.iter().find(|one| one.state == InstanceState::Crashed) {
        return format!("{} crashed", crashed.id);
    }
    let waiting = status.waiting.iter().find(|waiting| own(&waiting.subject));
    match waiting {
        Some(waiting) => format!("waits until {}", harmless(&waiting.until)),
        None if tier.wanted == 0 => "off".to_owned(),
        None if tier.ready >= tier.wanted => "serving".to_owned(),
        None => "starting".to_owned(),
    }
}
