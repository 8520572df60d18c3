//! Starting nginx and letting it re-read its configuration.

use super::render;
use crate::host::files;
use crate::host::launch::{Launch, Limits, RenderedFile, RunAs, StopSignal};
use crate::host::{HostError, Processes, log, proc, programs};
use crate::tool::Tool;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use stoa_model::spec::WebSpec;
use stoa_model::{InstanceId, Paths, Spec, Tier};

/// How long the master may take to start new workers; it does so at once.
const RELOADED_WITHIN: Duration = Duration::from_secs(10);

/// How an nginx is to be started: wholly as the web user, its master too. Pure.
pub fn launch(instance: InstanceId, spec: &WebSpec, paths: &Paths) -> Result<Launch, HostError> {
    let text = render::config(instance, spec, paths).map_err(|why| HostError::Config { instance, why })?;
    let folder = paths.instance(instance);
    let file = RenderedFile { path: folder.join("nginx.conf"), text, secret: false };
    let mut argv = vec!["nginx".into()];
    argv.extend(arguments(&folder, &file.path));
    Ok(Launch {
        instance,
        argv,
        environment: programs::environment(),
        directory: folder.clone(),
        user: RunAs::Tier(Tier::Web),
        limits: Limits::default(),
        stop_signal: StopSignal::Quit,
        spec: Spec::Web(spec.clone()),
        release: None,
        files: vec![file],
        folders: render::TEMPORARY.map(|name| folder.join(name)).into(),
        held: None,
    })
}

/// Lets a running nginx serve by another spec without dropping a request. A configuration that nginx does
/// not accept is refused with its reason, and the old one stays.
pub async fn reload(processes: &Processes, instance: InstanceId, spec: &WebSpec) -> Result<(), HostError> {
    let paths = processes.paths();
    let launch = launch(instance, spec, paths)?;
    let master = processes.subject(instance).ok_or(HostError::NotRunning { instance })?.pid;
    let Some(file) = launch.files.first() else { return Ok(()) };
    let owner = processes.users().tier(Tier::Web);
    let candidate = file.path.with_extension("conf.new");
    files::write_atomic_owned(&candidate, file.text.as_bytes(), 0o644, owner)?;
    let accepted = accept(processes, instance, &candidate).await;
    files::remove_file(&candidate)?;
    accepted?;
    files::write_atomic_owned(&file.path, file.text.as_bytes(), 0o644, owner)?;
    let old = workers(master);
    processes.signal(instance, Signal::HUP)?;
    wait_for_new_workers(instance, master, &old).await?;
    processes.reloaded(instance, &launch.spec)
}

/// `nginx -t`, as the user it will run as: as root it would leave files that the user cannot write.
async fn accept(processes: &Processes, instance: InstanceId, config: &Path) -> Result<(), HostError> {
    let program =
        programs::find("nginx").ok_or_else(|| HostError::ProgramMissing { program: "nginx".to_owned() })?;
    let folder = processes.paths().instance(instance);
    let mut words = vec!["-t".into(), "-q".into()];
    words.extend(arguments(&folder, config));
    let tool = Tool::new(program, &folder).arguments(words).environment(programs::environment());
    let tool = tool.identity(processes.users().tier(Tier::Web)).timeout(Duration::from_secs(20));
    let ended = tool.run().await.map_err(|error| refused(instance, &error.to_string()))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    // `2026/01/31 12:00:00 [emerg] 1#1: what is wrong`; warnings may stand before it.
    let why = said.lines().find_map(|line| line.split_once("[emerg]")?.1.split_once(": "));
    Err(refused(instance, &why.map_or_else(|| ended.complaint(), |(_, why)| log::printable(why))))
}

fn refused(instance: InstanceId, why: &str) -> HostError {
    HostError::Config { instance, why: format!("nginx does not accept the new configuration: {why}") }
}

fn arguments(folder: &Path, config: &Path) -> Vec<std::ffi::OsString> {
    vec!["-e".into(), "stderr".into(), "-p".into(), folder.into(), "-c".into(), config.into()]
}

/// The master starts new workers only after it has taken over the new configuration.
async fn wait_for_new_workers(
    instance: InstanceId,
    master: u32,
    old: &BTreeSet<u32>,
) -> Result<(), HostError> {
    let work = async {
        while workers(master).is_subset(old) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let late = |_| HostError::Late {
        instance,
        what: format!(
            "did not take over its new configuration within {} s; its log says why",
            RELOADED_WITHIN.as_secs()
        ),
    };
    tokio::time::timeout(RELOADED_WITHIN, work).await.map_err(late)
}

fn workers(master: u32) -> BTreeSet<u32> {
    let children = proc::all().into_iter().filter(|stat| stat.parent == master && !stat.is_dead());
    children.map(|stat| stat.pid).collect()
}
