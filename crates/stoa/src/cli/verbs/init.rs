//! `stoa init`: looks at an application and writes the stoa.toml it suggests.

use crate::cli::Context;
use crate::cli::args::Init;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::locate::FILE;
use crate::cli::style::Mood;
use crate::cli::typed::{Typed, word};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use stoa_model::{SiteName, config};
use stoa_tiers::app::detect::{Detected, Framework, detect};

mod template;

use template::{Suggestion, Wants};

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Init) -> Outcome<ExitCode> {
    let folder = context.place.absolute(&arguments.folder);
    if !folder.is_dir() {
        let why = "there is no such folder";
        return Err(Failure::usage(
            format!("{} is no folder", folder.display()),
            why,
            "name the application's folder",
        ));
    }
    let file = folder.join(FILE);
    let detected = detect(folder.as_path());
    let name = site_name(&folder).ok_or_else(|| {
        let why = "a site's name is 1 to 32 of a-z, 0-9 and -, and nothing of the folder's name can be used";
        Failure::usage(
            format!("{} names no site", folder.display()),
            why,
            "rename the folder, or copy stoa.example.toml",
        )
    })?;
    let wants = Wants::of(folder.as_path());
    let text = template::text(&Suggestion { name: &name, detected: &detected, wants });
    // Whatever was found in a stranger's files: what is written can be read back.
    let complete = match config::parse(&text, &folder) {
        Ok(_) => true,
        Err(errors) if errors.iter().all(|error| error.key == "app.run") => false,
        Err(errors) => return Err(unfit(&errors)),
    };
    write(&file, &text, arguments.force)?;
    context.screen.answer(&json!({
        "file": file, "site": name, "framework": words(detected.framework), "build": detected.build,
        "run": detected.run, "health": detected.health, "files": detected.files, "complete": complete,
    }));
    tell(context, arguments, &detected, &name, wants, complete);
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, text: &str, force: bool) -> Outcome<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(!force);
    let opened = if force { options.create(true).truncate(true).open(file) } else { options.open(file) };
    let written = opened.and_then(|mut open| open.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::failed(
            format!("{} is there already", file.display()),
            "it is yours, and nothing was changed",
            "edit it, or replace it: stoa init --force",
        ),
        _ => Failure::failed(
            format!("{} cannot be written", file.display()),
            error.to_string(),
            "check the folder's rights",
        ),
    })
}

/// The folder's name as a site's: other characters become `-`. `None`: nothing of it can be used.
fn site_name(folder: &Path) -> Option<SiteName> {
    let name = folder.file_name()?.to_string_lossy().to_lowercase();
    let words: Vec<&str> =
        name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, "site-");
    }
    name.truncate(32);
    name.trim_end_matches('-').parse().ok()
}

fn words(framework: Framework) -> &'static str {
    match framework {
        Framework::Django => "Django",
        Framework::FastApi => "FastAPI (ASGI)",
        Framework::Wsgi => "Flask or another WSGI application",
        Framework::Node => "Node.js",
        Framework::Php => "PHP",
        Framework::Rails => "Ruby on Rails",
        Framework::Rust => "Rust",
        Framework::Static => "static files",
        Framework::Unknown => "nothing that Stoa knows",
    }
}

fn tell(
    context: &Context,
    arguments: &Init,
    detected: &Detected,
    name: &SiteName,
    wants: Wants,
    complete: bool,
) {
    let screen = context.screen;
    let good = screen.style.sign(Mood::Good);
    let path = arguments.folder.join(FILE);
    let path = path.strip_prefix(".").unwrap_or(&path);
    screen.say(&format!("{good} found: {}", words(detected.framework)));
    for command in &detected.build {
        screen.say(&format!("    build   {command}"));
    }
    if let Some(run) = &detected.run {
        screen.say(&format!("    run     {run}"));
    }
    for (url, folder) in &detected.files {
        screen.say(&format!("    files   {url} from {folder}/"));
    }
    if wants.database {
        screen.say("    it seems to use MySQL or MariaDB: [database] is written");
    }
    if wants.cache {
        screen.say("    it seems to use a cache: [cache] is written");
    }
    screen.say(&format!(
        "{good} wrote {} for the site {}",
        path.display(),
        screen.style.bold(&name.to_string())
    ));
    let here = arguments.folder == Path::new(".");
    let argument =
        if here { String::new() } else { format!(" {}", word(&arguments.folder.to_string_lossy())) };
    let typed = Typed::bare();
    if !complete {
        screen.say(&format!(
            "\n{} It cannot be seen how the application is started: write it as [app] run first.",
            screen.style.sign(Mood::Bad)
        ));
    }
    screen.say(&format!("\nnext: read it, then: {}{argument}", typed.line("up")));
}

/// Should not happen: what was detected made a file that is refused.
fn unfit(errors: &[config::ConfigError]) -> Failure {
    let why = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Failure::failed(
        "no stoa.toml could be made for this folder",
        why,
        "write it by hand: see stoa.example.toml",
    )
}

#[cfg(test)]
mod tests;
