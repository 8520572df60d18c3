//! `stoa logs`: what servers, daemon and build printed. Reads the files themselves, so that it works
//! when nothing runs.

use crate::cli::Context;
use crate::cli::args::{LogTarget, Logs};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::style::{Mood, harmless, pad};
use crate::cli::typed::Typed;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use stoa_model::{InstanceId, Paths, ReleaseId, TaskId, Tier};
use stoa_tiers::host::log::{self, Followed, Follower};

/// Between two looks for logs that are new.
const LOOK: Duration = Duration::from_secs(1);
/// How many of the last lines are shown of one log, and of each of several.
const LINES: (usize, usize) = (100, 20);
/// The names of an instance's logs.
const FILES: [&str; 2] = ["current.log", "access.log"];

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    /// Whose.
    name: String,
    /// Where.
    file: PathBuf,
}

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Logs) -> Outcome<ExitCode> {
    let located = context.place.locate(&context.global, None)?;
    let typed = Typed::located(context, &located);
    let paths = &located.paths;
    let sources = sources(paths, arguments.target);
    if sources.is_empty() && !arguments.follow {
        return Err(nothing(paths, arguments.target, &typed));
    }
    let lines = arguments.lines.unwrap_or(if sources.len() > 1 { LINES.1 } else { LINES.0 });
    // Before the last lines are read: one that is written meanwhile is then shown twice rather than never.
    let follower = arguments.follow.then(|| Follower::from_end(sources.iter().map(Source::followed)));
    let width = sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
    for source in &sources {
        for line in log::tail(&source.file, lines) {
            show(context, source, width, &line);
        }
    }
    match follower {
        Some(follower) => follow(context, paths, arguments.target, follower),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Goes on until ctrl-C ends the process.
fn follow(
    context: &Context,
    paths: &Paths,
    target: Option<LogTarget>,
    mut follower: Follower,
) -> Outcome<ExitCode> {
    let mut session = Session::new()?;
    loop {
        // Instances that came meanwhile are shown from their first line.
        let sources = sources(paths, target);
        for source in &sources {
            let (name, file) = source.followed();
            follower.add(name, file);
        }
        let width = sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
        let looked = Instant::now();
        while looked.elapsed() < LOOK {
            let next = session.wait(async { tokio::time::timeout(LOOK, follower.next()).await });
            let Ok(Ok(Followed { source, line })) = next else { continue };
            if let Some(source) = Source::of(&source) {
                show(context, &source, width, &line);
            }
        }
    }
}

impl Source {
    /// As the follower names it: whose, and which file.
    fn followed(&self) -> (String, PathBuf) {
        (format!("{} {}", self.name, self.file.display()), self.file.clone())
    }

    fn of(followed: &str) -> Option<Self> {
        let (name, file) = followed.split_once(' ')?;
        Some(Source { name: name.to_owned(), file: PathBuf::from(file) })
    }
}

fn show(context: &Context, source: &Source, width: usize, line: &str) {
    let screen = context.screen;
    if screen.json {
        let file = source.file.file_name().map(|name| name.to_string_lossy().into_owned());
        screen.answer(&json!({ "instance": source.name, "file": file, "line": line }));
        return;
    }
    let name = screen.style.mood(mood(&source.name), &pad(&source.name, width));
    screen.say(&format!("{name} | {}", harmless(line)));
}

/// A colour that tells neighbours apart.
fn mood(name: &str) -> Mood {
    match name.parse::<InstanceId>().map(|id| id.tier) {
        Ok(Tier::App | Tier::Cache) => Mood::Good,
        Ok(Tier::Web) => Mood::Moving,
        _ => Mood::Quiet,
    }
}

/// The logs that are there of what was asked for.
fn sources(paths: &Paths, target: Option<LogTarget>) -> Vec<Source> {
    match target {
        Some(LogTarget::Daemon) => vec![Source { name: "daemon".to_owned(), file: paths.daemon_log() }],
        Some(LogTarget::Build) => last_build(paths).into_iter().collect(),
        Some(LogTarget::Deploy) => last_tasks(paths),
        Some(LogTarget::Instance(id)) => instance(paths, id),
        Some(LogTarget::Tier(tier)) => instances(paths)
            .into_iter()
            .filter(|id| id.tier == tier)
            .flat_map(|id| instance(paths, id))
            .collect(),
        None => instances(paths).into_iter().flat_map(|id| instance(paths, id)).collect(),
    }
    .into_iter()
    .filter(|source: &Source| source.file.is_file())
    .collect()
}

fn instance(paths: &Paths, id: InstanceId) -> Vec<Source> {
    let folder = paths.log(id);
    FILES.iter().map(|file| Source { name: id.to_string(), file: folder.join(file) }).collect()
}

/// Every instance that has a folder of logs.
fn instances(paths: &Paths) -> Vec<InstanceId> {
    let folder = paths.root().join("log");
    let mut ids: Vec<InstanceId> = names(&folder).iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort();
    ids
}

fn last_build(paths: &Paths) -> Option<Source> {
    let folder = paths.root().join("log").join("build");
    let releases =
        names(&folder).into_iter().filter_map(|name| name.strip_suffix(".log")?.parse::<ReleaseId>().ok());
    let last = releases.max_by_key(ReleaseId::number)?;
    Some(Source { name: last.to_string(), file: paths.build_log(&last) })
}

/// The logs of the tasks of the last deployment that had any, in the order in which they run.
fn last_tasks(paths: &Paths) -> Vec<Source> {
    let folder = paths.root().join("log").join("deploy");
    let all = names(&folder).into_iter().filter_map(|name| name.strip_suffix(".log")?.parse::<TaskId>().ok());
    let mut tasks: Vec<TaskId> = all.collect();
    let last = tasks.iter().map(|task| task.deploy).max();
    tasks.retain(|task| Some(task.deploy) == last);
    tasks.sort();
    tasks.into_iter().map(|task| Source { name: task.to_string(), file: paths.task_log(task) }).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn nothing(paths: &Paths, target: Option<LogTarget>, typed: &Typed) -> Failure {
    let all = instances(paths);
    if all.is_empty() && !paths.daemon_log().is_file() {
        let why = format!("nothing was ever brought up in {}", paths.root().display());
        return Failure::failed("there are no logs", why, typed.folder_line("up"));
    }
    let names =
        all.iter().map(ToString::to_string).chain(["daemon".to_owned()]).collect::<Vec<_>>().join(", ");
    let what = match target {
        Some(LogTarget::Instance(id)) => format!("{id} has no log"),
        Some(LogTarget::Tier(tier)) => format!("the tier {tier} has no log"),
        Some(LogTarget::Build) => "there is no log of a build".to_owned(),
        Some(LogTarget::Deploy) => "there is no log of a migration or a hook".to_owned(),
        Some(LogTarget::Daemon) | None => "there are no logs of instances".to_owned(),
    };
    Failure::failed(what, format!("logs are there of: {names}"), typed.line("logs daemon"))
}
