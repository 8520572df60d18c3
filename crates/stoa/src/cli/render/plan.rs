//! `stoa plan`: what would be done and why, by tier.

use super::status::hanging;
use crate::cli::style::{Mood, Style};
use std::collections::BTreeMap;
use stoa_model::plan::WaitKind;
use stoa_model::{InstanceId, Plan, Tier};

/// The whole answer for the site `name`.
pub(crate) fn plan(plan: &Plan, name: &str, style: Style, width: usize) -> String {
    if plan.settled() {
        return format!(
            "{} Nothing to do: {} stands as its file says.\n",
            style.sign(Mood::Good),
            style.bold(name)
        );
    }
    let steps = plan.steps.len();
    let plural = if steps == 1 { "" } else { "s" };
    let mut lines =
        vec![format!("{}: {steps} step{plural} now, {} waiting", style.bold(name), plan.waiting.len())];
    let column = column(plan);
    for (group, rows) in groups(plan) {
        lines.push(String::new());
        lines.push(style.bold(group.title()));
        for (what, why) in rows {
            lines.extend(hanging(&what, column, &why, width));
        }
    }
    if !plan.waiting.is_empty() {
        lines.push(String::new());
        lines.push(style.bold("and then, waiting until"));
    }
    for waiting in &plan.waiting {
        let mark = match waiting.kind {
            WaitKind::Progress => "",
            WaitKind::Limit => " (at its limit)",
            WaitKind::Trouble => " (in trouble)",
            WaitKind::Stuck => " (stuck until you do something)",
        };
        lines.extend(hanging(&waiting.subject, column, &format!("{}{mark}", waiting.until), width));
    }
    lines.extend([String::new(), "Nothing was changed.".to_owned()]);
    lines.join("\n") + "\n"
}

/// Whose steps they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// Builds and publishing.
    Code,
    /// A tier, by its place in the order in which a site is brought up.
    Tier(usize, Tier),
}

impl Group {
    fn of(instance: Option<InstanceId>) -> Self {
        match instance {
            None => Group::Code,
            Some(InstanceId { tier, .. }) => {
                Group::Tier(Tier::ALL.iter().position(|one| *one == tier).unwrap_or(0), tier)
            }
        }
    }

    fn title(self) -> &'static str {
        match self {
            Group::Code => "code",
            Group::Tier(_, tier) => tier.word(),
        }
    }
}

/// Each step as what and why.
fn groups(plan: &Plan) -> BTreeMap<Group, Vec<(String, String)>> {
    let mut groups: BTreeMap<Group, Vec<(String, String)>> = BTreeMap::new();
    for step in &plan.steps {
        let row = (step.action.key().to_string(), step.because.clone());
        groups.entry(Group::of(step.action.instance())).or_default().push(row);
    }
    groups
}

fn column(plan: &Plan) -> usize {
    let steps = plan.steps.iter().map(|step| step.action.key().to_string().len());
    steps.chain(plan.waiting.iter().map(|waiting| waiting.subject.len())).max().unwrap_or(0)
}
