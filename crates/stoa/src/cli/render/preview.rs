//! `stoa deploy --dry-run`: what would be done, in order.

use super::status::wrap;
use crate::api::types::DeployPreview;
use crate::cli::style::{Style, harmless};

/// The whole answer.
pub(crate) fn preview(preview: &DeployPreview, name: &str, style: Style, width: usize) -> String {
    let built = if preview.built { "built already" } else { "not built yet" };
    let follows = match &preview.from {
        Some(from) if *from == preview.to => " serves already".to_owned(),
        Some(from) => format!(" would follow {from}"),
        None => " would be the first".to_owned(),
    };
    let title = format!("{}: release {}{follows} ({built})", style.bold(name), preview.to);
    let mut lines = vec![title];
    let column = preview.steps.len().to_string().len();
    for (nth, step) in preview.steps.iter().enumerate() {
        for (part, line) in wrap(&harmless(step), width.saturating_sub(column + 4)).enumerate() {
            let number = if part == 0 { (nth + 1).to_string() } else { String::new() };
            lines.push(format!("  {number:>column$}  {line}"));
        }
    }
    lines.push("Nothing was changed.".to_owned());
    lines.join("\n") + "\n"
}
