//! Starting a process so that it is never lost, whatever moment the daemon dies at.

use super::error::{FileError, HostError};
use super::files;
use super::launch::Launch;
use super::listeners;
use super::ports;
use super::processes::{Processes, Shared, Started};
use super::programs;
use super::record::{Identity, Record};
use super::spawn::{self, Child};
use super::stop;
use super::table::{Dead, Entry};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stoa_model::{Endpoint, InstanceId};

impl Processes {
    /// Starts an instance: writes its files, makes its folders, and refuses with a good error where its
    /// program is missing or somebody else listens at its endpoint. One that runs as the same spec already
    /// is left alone. `inherited` are listening sockets it gets by name (`LISTEN_FDS`).
    pub async fn start(
        &self,
        launch: Launch,
        inherited: Vec<(String, OwnedFd)>,
    ) -> Result<Started, HostError> {
        let shared = self.shared.clone();
        // Not to be cut short in the middle: a caller that stops waiting stops nothing.
        let work = tokio::task::spawn_blocking(move || start(&shared, &launch, &inherited));
        work.await.map_err(|_| HostError::Interrupted)?
    }
}

fn start(
    shared: &Arc<Shared>,
    launch: &Launch,
    inherited: &[(String, OwnedFd)],
) -> Result<Started, HostError> {
    let mut place = match Place::take(shared, launch)? {
        Ok(place) => place,
        Err(already) => return Ok(already),
    };
    let program = find_program(launch)?;
    if let Some(dead) = &place.before {
        // Children of a dead main process keep its port.
        stop::clear(&dead.record)?;
    }
    if inherited.is_empty() {
        check_endpoint(launch.spec.endpoint())?;
    }
    let log = prepare(shared, launch)?;
    let cgroup = shared.cgroups.make(launch.instance, launch.limits.memory);
    let before = place.before.as_ref().map(|dead| &dead.record);
    let mut record = Record::of(launch, before, cgroup);
    place.cgroup = record.cgroup.clone();
    record.store(&shared.paths)?;
    place.written = true;
    let identity = launch_into(shared, launch, &mut record, &program, &log, inherited)?;
    place.settled = true;
    if let Err(error) = shared.watch(record.clone(), identity) {
        // It is gone already, or cannot be watched: then it must not go on unseen.
        stop::clear(&record)?;
        record.end(super::clock::now(), format!("ended at once ({error})"));
        shared.write_down(&record);
        let last_lines = super::log::last_words(&shared.paths.log(launch.instance));
        let dead = Entry::Dead(Box::new(Dead { record, last_lines }));
        shared.table().insert(launch.instance, dead);
        shared.notify();
    }
    Ok(Started { pid: identity.pid, started: identity.started, already: false })
}

/// The right to start an instance, so that two starts of it never run side by side. Given up without a
/// started process, everything is as before.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    instance: InstanceId,
    before: Option<Box<Dead>>,
    /// The record of the new process stands.
    written: bool,
    cgroup: Option<PathBuf>,
    settled: bool,
}

impl<'a> Place<'a> {
    fn take(shared: &'a Arc<Shared>, launch: &Launch) -> Result<Result<Self, Started>, HostError> {
        let instance = launch.instance;
        let mut table = shared.table();
        match table.get(&instance) {
            Some(Entry::Starting(_)) => return Err(HostError::Busy { instance }),
            Some(Entry::Unreadable(why)) => {
                let path = shared.paths.process_record(instance);
                return Err(HostError::Record { instance, path, why: why.clone() });
            }
            Some(Entry::Alive(alive)) => {
                let Identity { pid, started } = alive.identity;
                if alive.record.digest == launch.spec.digest() && !alive.record.stopping {
                    return Ok(Err(Started { pid, started, already: true }));
                }
                return Err(HostError::RunsAlready { instance, pid });
            }
            Some(Entry::Dead(_)) | None => {}
        }
        let before = match table.remove(&instance) {
            Some(Entry::Dead(dead)) => Some(dead),
            _ => None,
        };
        let kept = before
            .as_ref()
            .map(|dead| Box::new(Dead { record: dead.record.clone(), last_lines: dead.last_lines.clone() }));
        table.insert(instance, Entry::Starting(kept));
        Ok(Ok(Place { shared, instance, before, written: false, cgroup: None, settled: false }))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Some(group) = &self.cgroup {
            super::cgroup::remove(group);
        }
        let mut table = self.shared.table();
        match self.before.take() {
            Some(dead) => {
                if self.written {
                    self.shared.write_down(&dead.record);
                }
                table.insert(self.instance, Entry::Dead(dead));
            }
            None => {
                if self.written {
                    let _ = files::remove_file(&self.shared.paths.process_record(self.instance));
                }
                table.remove(&self.instance);
            }
        }
    }
}

fn find_program(launch: &Launch) -> Result<PathBuf, HostError> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let path = launch.environment.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
    let shown = Path::new(&name).file_name().unwrap_or(&name).to_string_lossy().into_owned();
    let found = programs::find_on(&name.to_string_lossy(), &path);
    found.ok_or(HostError::ProgramMissing { program: shown })
}

fn check_endpoint(endpoint: &Endpoint) -> Result<(), HostError> {
    match endpoint {
        Endpoint::Unix(path) => {
            listeners::check_socket_path(path)?;
            listeners::free_socket(path)
        }
        Endpoint::Tcp(address) if ports::can_bind(*address) => Ok(()),
        Endpoint::Tcp(_) => Err(HostError::Taken {
            endpoint: endpoint.clone(),
            by: endpoint.port().and_then(ports::who_listens),
            advice: "stop it, or let another port be chosen",
        }),
    }
}

/// Makes the folders and files of a launch and opens its log.
fn prepare(shared: &Shared, launch: &Launch) -> Result<File, HostError> {
    let (paths, instance) = (&shared.paths, launch.instance);
    let user = shared.users.of(launch.user);
    let owner = user.or_else(|| shared.users.root_and_group());
    files::ensure_state(paths, &shared.users)?;
    files::ensure_folder(&paths.instance(instance), 0o750, owner)?;
    files::ensure_folder(&paths.log(instance), 0o700, user)?;
    for folder in &launch.folders {
        let mode = if folder.starts_with(paths.root().join("data")) { 0o700 } else { 0o750 };
        files::ensure_folder(folder, mode, user)?;
    }
    for file in &launch.files {
        let mode = if file.secret { 0o600 } else { 0o644 };
        files::write_atomic_owned(&file.path, file.text.as_bytes(), mode, user)?;
    }
    Ok(files::open_log(&super::log::current(&paths.log(instance)), user)?)
}

fn launch_into(
    shared: &Shared,
    launch: &Launch,
    record: &mut Record,
    program: &Path,
    log: &File,
    inherited: &[(String, OwnedFd)],
) -> Result<Identity, HostError> {
    let path = shared.paths.process_record(launch.instance);
    let signed = OpenOptions::new().append(true).open(&path).map_err(FileError::at("open", &path))?;
    let group = record.cgroup.as_ref().map(|group| group.join("cgroup.procs"));
    let group = group.and_then(|file| OpenOptions::new().write(true).open(file).ok());
    let held = launch.held.as_deref().map(open_folder).transpose()?;
    let child = Child {
        program,
        arguments: launch.argv.get(1..).unwrap_or_default(),
        environment: &launch.environment,
        directory: &launch.directory,
        identity: shared.users.of(launch.user),
        open_files: launch.limits.open_files,
        log,
        record: &signed,
        cgroup: group.as_ref(),
        inherited,
        held: held.as_ref(),
    };
    let pid = spawn::spawn(&child).map_err(|source| HostError::Spawn {
        instance: launch.instance,
        program: program.to_owned(),
        source: explain(source, launch),
    })?;
    let written = Record::load(&path).ok().and_then(|record| record.process);
    let seen = || super::proc::stat(pid).map(|stat| Identity { pid, started: stat.started });
    // Its own line is the better witness: it cannot be of another process.
    let identity = written.filter(|process| process.pid == pid).or_else(seen);
    let identity = identity.unwrap_or(Identity { pid, started: super::clock::now() });
    record.process = Some(identity);
    let joined = |group: &PathBuf| super::cgroup::members(group).contains(&pid);
    if !record.cgroup.as_ref().is_some_and(joined) && identity.is_alive() {
        record.cgroup = None;
    }
    // Should it fail, the process' own line still stands in the record.
    shared.write_down(record);
    Ok(identity)
}

/// A handle of a folder that may be passed through, not read.
fn open_folder(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| FileError::new("open", path, error))
}

/// "No such file" after the program itself was found has another cause, which the system does not name.
fn explain(error: std::io::Error, launch: &Launch) -> std::io::Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        let why = if launch.directory.is_dir() {
            "the interpreter that its first line names is missing".to_owned()
        } else {
            format!("the folder {} it is to start in is missing", launch.directory.display())
        };
        return std::io::Error::new(error.kind(), why);
    }
    error
}
