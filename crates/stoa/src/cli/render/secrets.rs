//! `stoa secrets list`: names, and whether they have a value and a use.

use crate::api::types::SecretStatus;
use crate::cli::style::{Mood, Style, pad};
use crate::cli::typed::Typed;

/// The table, and what to type where something is missing.
pub(crate) fn secrets(all: &[SecretStatus], style: Style, typed: &Typed) -> String {
    if all.is_empty() {
        return format!("There are no secrets. Set one: {}\n", typed.line("secrets set NAME"));
    }
    let column = all.iter().map(|secret| secret.name.as_str().len()).max().unwrap_or(0);
    let mut lines: Vec<String> = all
        .iter()
        .map(|secret| {
            let (mood, words) = match (secret.set, secret.used) {
                (true, true) => (Mood::Good, "set"),
                (true, false) => (Mood::Quiet, "set; [app] secrets does not name it, so nothing is given it"),
                (false, _) => (Mood::Bad, "missing; [app] secrets names it"),
            };
            let name = pad(secret.name.as_str(), column);
            format!("{} {name}  {}", style.sign(mood), style.mood(mood, words))
        })
        .collect();
    if let Some(missing) = all.iter().find(|secret| !secret.set) {
        let line = typed.line(&format!("secrets set {}", missing.name));
        lines.extend([String::new(), format!("next: {line}")]);
    }
    lines.join("\n") + "\n"
}
