//! `stoa status`: how the site stands, on a screen of 80 columns.

use super::{deployment, units};
use crate::api::types::{BuildStatus, InstanceState, InstanceStatus, ScalingStatus, Status, TierStatus};
use crate::cli::locate::label;
use crate::cli::style::{Mood, Style, harmless, pad};
use crate::cli::typed::Typed;
use stoa_model::deployment::Phase;
use stoa_model::intent::Power;
use stoa_model::plan::WaitKind;

/// How many of an instance's last lines are shown.
const LINES: usize = 6;
/// What a row of the table has, with its width; the first and last ones are as wide as they need to be.
const COLUMNS: [(&str, usize); 6] =
    [("STATE", 11), ("RUNS", 11), ("PID", 8), ("UPTIME", 8), ("MEMORY", 8), ("CPU", 5)];

/// The whole screen.
pub(crate) fn status(status: &Status, style: Style, width: usize, typed: &Typed) -> String {
    let mut lines = header(status, style);
    lines.push(String::new());
    lines.extend(table(status, style, width));
    lines.extend(deployment::section(status, style, width));
    lines.extend(build(status, style, width));
    lines.extend(list(status, style, width));
    if let Some(next) = next(status, typed) {
        lines.push(String::new());
        lines.push(format!("next: {next}"));
    }
    lines.join("\n") + "\n"
}

/// The site's standing in a few words.
pub(crate) fn standing(status: &Status) -> (Mood, &'static str) {
    let bad = |state| matches!(state, InstanceState::Crashed | InstanceState::Unhealthy);
    let hurt = status.tiers.iter().flat_map(|tier| &tier.instances).any(|instance| bad(instance.state));
    let waits = |kind| status.waiting.iter().any(|waiting| waiting.kind == kind);
    let failed = matches!(status.build, BuildStatus::Failed { .. });
    let trouble = hurt || failed || waits(WaitKind::Trouble) || !status.failures.is_empty();
    let serves =
        !status.tiers.is_empty() && status.tiers.iter().all(|tier| tier.ready > 0 || tier.wanted == 0);
    match (status.power, serves) {
        (Power::Off, _) => (Mood::Moving, "going down"),
        (Power::On, true) if waits(WaitKind::Stuck) => (Mood::Bad, "serving, but stuck"),
        (Power::On, false) if waits(WaitKind::Stuck) => (Mood::Bad, "not serving, and stuck"),
        (Power::On, true) if trouble => (Mood::Bad, "serving, with trouble"),
        (Power::On, false) if trouble => (Mood::Bad, "not serving, in trouble"),
        (Power::On, true) if waits(WaitKind::Limit) => (Mood::Bad, "serving, at its limit"),
        (Power::On, true) if status.settled => (Mood::Good, "serving"),
        (Power::On, true) => (Mood::Moving, "serving, and changing"),
        (Power::On, false) => (Mood::Moving, "coming up"),
    }
}

/// The mood and the word of an instance's state.
pub(crate) fn state(state: InstanceState) -> (Mood, &'static str) {
    match state {
        InstanceState::Planned => (Mood::Quiet, "planned"),
        InstanceState::Starting => (Mood::Moving, "starting"),
        InstanceState::Serving => (Mood::Good, "serving"),
        InstanceState::Unhealthy => (Mood::Bad, "unhealthy"),
        InstanceState::Retiring => (Mood::Moving, "retiring"),
        InstanceState::Crashed => (Mood::Bad, "crashed"),
        InstanceState::Unknown => (Mood::Quiet, "unknown"),
    }
}

fn header(status: &Status, style: Style) -> Vec<String> {
    let (mood, words) = standing(status);
    let name = label(&status.site, &status.environment);
    let dot = style.dot();
    // While a deployment is under way, and after one that failed, another release serves than was asked for.
    let told = deployment::notable(status).and(status.live.as_ref());
    let mut lines = vec![format!(
        "{} {} is {}{dot}release {}",
        style.sign(mood),
        style.bold(&name),
        style.mood(mood, words),
        told.unwrap_or(&status.release)
    )];
    if let Some(live) = status.live.as_ref().filter(|live| told.is_none() && **live != status.release) {
        lines.push(format!("  static files still come from release {live}"));
    }
    lines.extend(status.urls.iter().map(|url| format!("  {}", style.link(url))));
    let daemon = &status.daemon;
    let facts = format!(
        "daemon pid {}, up {}, {}",
        daemon.pid,
        units::span(daemon.uptime),
        units::bytes(daemon.memory)
    );
    let api = status.api.as_ref().map(|api| format!("{dot}api {api}")).unwrap_or_default();
    lines.push(format!("  {}", style.dim(&format!("{facts}{api}"))));
    lines.push(format!("  {}", style.dim(&format!("state {}", status.state.display()))));
    lines
}

fn table(status: &Status, style: Style, width: usize) -> Vec<String> {
    let names = status.tiers.iter().flat_map(|tier| &tier.instances).map(|one| one.id.to_string().len());
    let first = names.max().unwrap_or(0).max("INSTANCE".len()) + 4;
    let mut head = pad("INSTANCE", first);
    for (title, width) in COLUMNS {
        head.push_str(&pad(title, width + 1));
    }
    head.push_str("REQ/S");
    let mut lines = vec![style.dim(&head)];
    for tier in &status.tiers {
        lines.push(tier_line(tier, style));
        if let Some(scaling) = &tier.scaling {
            let because = harmless(&scaling.because);
            let because = wrap(&because, width.saturating_sub(2));
            lines.extend(because.map(|line| format!("  {}", style.dim(&line))));
        }
        for instance in &tier.instances {
            lines.push(row(instance, first, style));
            lines.extend(note(instance, style, width));
        }
    }
    lines
}

fn tier_line(tier: &TierStatus, style: Style) -> String {
    let mood = tier_mood(tier);
    let count = style.mood(mood, &format!("{} of {} serving", tier.ready, tier.wanted));
    let range =
        |scaling: &ScalingStatus| format!("{}{} to {} by demand", style.dot(), scaling.min, scaling.max);
    let range = tier.scaling.as_ref().map(range);
    format!("{} ({}): {count}{}", style.bold(tier.tier.word()), tier.software, range.unwrap_or_default())
}

/// How a tier is as a whole.
pub(crate) fn tier_mood(tier: &TierStatus) -> Mood {
    let bad = tier.instances.iter().any(|one| state(one.state).0 == Mood::Bad);
    match () {
        () if bad => Mood::Bad,
        () if tier.ready >= tier.wanted => Mood::Good,
        () if tier.instances.is_empty() => Mood::Quiet,
        () => Mood::Moving,
    }
}

fn row(instance: &InstanceStatus, first: usize, style: Style) -> String {
    let (mood, word) = state(instance.state);
    let runs = instance.role.clone().or_else(|| instance.release.as_ref().map(ToString::to_string));
    let [state_column, cells @ ..] = COLUMNS.map(|(_, width)| width);
    let values = [
        runs,
        instance.pid.map(|pid| pid.to_string()),
        instance.uptime.map(units::span),
        instance.memory.map(units::bytes),
        instance.cpu_percent.map(|cpu| format!("{}%", units::rate(cpu))),
    ];
    let mut line = format!("  {}", pad(&instance.id.to_string(), first - 2));
    line.push_str(&format!("{} {}", style.sign(mood), style.mood(mood, &pad(word, state_column - 1))));
    for (value, width) in values.into_iter().zip(cells) {
        line.push_str(&pad(value.as_deref().unwrap_or("-"), width));
        line.push(' ');
    }
    line + &instance.requests_per_second.map_or("-".to_owned(), units::rate)
}

fn note(instance: &InstanceStatus, style: Style, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let again = (instance.crashes > 1).then(|| format!("ended {} times in a row", instance.crashes));
    let facts: Vec<String> = instance.note.clone().into_iter().chain(again).collect();
    if !facts.is_empty() {
        lines.extend(
            wrap(&harmless(&facts.join("; ")), width.saturating_sub(6)).map(|line| format!("      {line}")),
        );
    }
    if instance.crashes > 0 && state(instance.state).0 != Mood::Good {
        lines.extend(printed(&instance.last_lines, style, width));
    }
    lines
}

/// The last lines that something printed, with a bar before them.
pub(crate) fn printed(lines: &[String], style: Style, width: usize) -> Vec<String> {
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    let line = |line: &String| {
        let text = style.fit(&harmless(line).replace('\t', "    "), width.saturating_sub(8));
        format!("      {} {}", style.dim(style.bar()), style.dim(&text))
    };
    last.iter().map(line).collect()
}

fn build(status: &Status, style: Style, width: usize) -> Vec<String> {
    let sentence = match &status.build {
        BuildStatus::Built => return Vec::new(),
        BuildStatus::Taken => {
            format!("{} release {} waits to be built", style.sign(Mood::Moving), status.release)
        }
        BuildStatus::Building => {
            format!("{} release {} is being built", style.sign(Mood::Moving), status.release)
        }
        BuildStatus::Failed { why, .. } => {
            let why = harmless(why);
            format!("{} release {} could not be built: {why}", style.sign(Mood::Bad), status.release)
        }
    };
    let mut lines = vec![String::new()];
    let indent = |(nth, line)| if nth == 0 { line } else { format!("  {line}") };
    lines.extend(wrap(&sentence, width.saturating_sub(2)).enumerate().map(indent));
    if let BuildStatus::Failed { last_lines, .. } = &status.build {
        lines.extend(printed(last_lines, style, width));
    }
    lines
}

/// What waits and what failed.
pub(crate) fn list(status: &Status, style: Style, width: usize) -> Vec<String> {
    // What a deployment waits for stands beside the deployment.
    let told = deployment::notable(status).map(|deployment| deployment.text.as_str());
    let untold = status.waiting.iter().filter(|waiting| told != Some(waiting.until.as_str()));
    let of = |kind| untold.clone().filter(move |waiting| waiting.kind == kind);
    let subjects = status.waiting.iter().map(|waiting| waiting.subject.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let kinds = [
        (WaitKind::Stuck, Mood::Bad, "stuck until you see to it that"),
        (WaitKind::Trouble, Mood::Bad, "in trouble, tried again until"),
        (WaitKind::Limit, Mood::Bad, "at its limit until"),
        (WaitKind::Progress, Mood::Moving, "waiting until"),
    ];
    for (kind, mood, title) in kinds {
        for (nth, waiting) in of(kind).enumerate() {
            if nth == 0 {
                lines.extend([String::new(), style.mood(mood, title)]);
            }
            lines.extend(hanging(&waiting.subject, subjects, &waiting.until, width));
        }
    }
    if !status.failures.is_empty() {
        lines.extend([String::new(), style.mood(Mood::Bad, "failed")]);
        for failure in &status.failures {
            lines.extend(wrap(&harmless(failure), width.saturating_sub(2)).map(|line| format!("  {line}")));
        }
    }
    lines
}

/// `subject` in a column of its own, and `text` beside it in as many lines as it needs.
pub(crate) fn hanging(subject: &str, column: usize, text: &str, width: usize) -> Vec<String> {
    let text = harmless(text);
    let room = width.saturating_sub(column + 4);
    let lead = |nth| if nth == 0 { pad(subject, column) } else { " ".repeat(column) };
    wrap(&text, room).enumerate().map(|(nth, line)| format!("  {}  {line}", lead(nth))).collect()
}

/// `text` broken between words into lines of at most `width` columns, at least one line.
pub(crate) fn wrap(text: &str, width: usize) -> impl Iterator<Item = String> {
    use unicode_width::UnicodeWidthStr;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= width.max(20) {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.into_iter()
}

/// What to look at first, where something is wrong.
fn next(status: &Status, typed: &Typed) -> Option<String> {
    if matches!(status.build, BuildStatus::Failed { .. }) {
        return Some(format!(
            "mend it and type: {}   (all it printed: {})",
            typed.folder_line("up"),
            typed.line("logs build")
        ));
    }
    let mut instances = status.tiers.iter().flat_map(|tier| &tier.instances);
    if let Some(hurt) = instances.find(|one| state(one.state).0 == Mood::Bad) {
        return Some(typed.line(&format!("logs {}", hurt.id)));
    }
    let failed = deployment::notable(status).filter(|one| matches!(one.phase, Phase::Failed(_)));
    failed.map(|_| {
        let (again, events) = (typed.line("deploy"), typed.line("events"));
        format!("mend it and type: {again}   (what happened: {events})")
    })
}
