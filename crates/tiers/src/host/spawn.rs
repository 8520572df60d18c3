//! Starts one process: its own session, limits, user and sockets, and nothing else of the daemon's.
//!
//! The one place of this room that runs code between fork and exec, where only system calls are allowed:
//! no allocation, no lock, no environment.
#![allow(unsafe_code)]

use super::users::Identity;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::{Errno, FdFlags};
use rustix::process::{Resource, Rlimit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first inherited socket (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// Says that another thread took a number that an inherited socket was to get; nothing was started.
const RACED: Errno = Errno::DEADLK;

/// What is started.
pub(crate) struct Child<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    /// All of it; the names of inherited sockets are added.
    pub(crate) environment: &'a BTreeMap<OsString, OsString>,
    pub(crate) directory: &'a Path,
    /// Whose rights it gets; `None` keeps the daemon's.
    pub(crate) identity: Option<Identity>,
    pub(crate) open_files: u64,
    /// Its standard output and error, opened to append.
    pub(crate) log: &'a File,
    /// The process adds its line of `/proc/self/stat` here before it becomes the program.
    pub(crate) record: &'a File,
    /// `cgroup.procs` of the group it joins.
    pub(crate) cgroup: Option<&'a File>,
    /// Sockets it gets by name, from number 3 on.
    pub(crate) inherited: &'a [(String, OwnedFd)],
    /// A folder that it gets as the next number.
    pub(crate) held: Option<&'a OwnedFd>,
}

/// Has the kernel kill what `command` becomes when the calling thread is gone, and takes from it every way to
/// more rights. Its user, where one is set, is set before.
pub(crate) fn bind_to_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let in_child = move || -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // It may have died before the kernel was asked.
        if rustix::process::getppid() != Some(parent) {
            return Err(Errno::SRCH.into());
        }
        rustix::thread::set_no_new_privs(true)?;
        Ok(())
    };
    // SAFETY: the closure makes system calls on plain values and does nothing else: it neither allocates nor
    // locks nor touches the environment.
    unsafe { command.pre_exec(in_child) };
}

/// Starts it and returns its number. An error means that nothing runs.
pub(crate) fn spawn(child: &Child<'_>) -> io::Result<u32> {
    for _ in 0..16 {
        match try_spawn(child) {
            Err(error) if Errno::from_io_error(&error) == Some(RACED) => {}
            result => return result,
        }
    }
    Err(io::Error::other("the numbers of its sockets were taken by others again and again"))
}

fn try_spawn(child: &Child<'_>) -> io::Result<u32> {
    let given: Vec<&OwnedFd> = child.inherited.iter().map(|(_, socket)| socket).chain(child.held).collect();
    let given = Given::prepare(&given)?;
    let leaked = leaked();
    let (record, cgroup) = (child.record.as_raw_fd(), child.cgroup.map(File::as_raw_fd));
    let (identity, open_files) = (child.identity, child.open_files);
    let mut command = Command::new(child.program);
    command.args(child.arguments).env_clear().envs(child.environment).current_dir(child.directory);
    if !child.inherited.is_empty() {
        let names: Vec<&str> = child.inherited.iter().map(|(name, _)| name.as_str()).collect();
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    }
    command.stdin(Stdio::null()).stdout(child.log.try_clone()?).stderr(child.log.try_clone()?);
    let in_child = move || -> io::Result<()> {
        // SAFETY: the descriptors were open at the fork and nothing in the child has closed one since.
        let borrow = |fd: RawFd| unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::process::setsid()?;
        sign(borrow(record))?;
        if let Some(group) = cgroup {
            // A bonus; the parent looks whether it worked.
            let _ = rustix::io::write(borrow(group), b"0");
        }
        limit(open_files)?;
        if let Some(identity) = identity {
            become_user(identity)?;
        }
        rustix::thread::set_no_new_privs(true)?;
        for fd in &leaked {
            let _ = rustix::io::fcntl_setfd(borrow(*fd), FdFlags::CLOEXEC);
        }
        given.place(borrow)
    };
    // SAFETY: the closure makes system calls on values prepared before the fork and does nothing else:
    // it neither allocates nor locks nor touches the environment.
    unsafe { command.pre_exec(in_child) };
    // The handle of the standard library would only wait, which is done through a pidfd.
    command.spawn().map(|child| child.id())
}

/// Adds the line of `/proc/self/stat`, by which the next daemon finds this process even when the present
/// one dies this very moment.
fn sign(record: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut line = [0_u8; 1024];
    let length = rustix::io::read(&stat, &mut line)?;
    let line = line.get(..length).unwrap_or_default();
    if rustix::io::write(record, line)? < line.len() {
        return Err(Errno::NOSPC.into());
    }
    Ok(())
}

fn limit(open_files: u64) -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o027));
    let most = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let files = Some(open_files.min(most));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files })?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A daemon that protects itself from the out-of-memory killer does not protect what it starts.
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(score) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(&score, b"0");
    }
    Ok(())
}

/// In the child there is one thread, so that what is set for the thread is set for the process.
fn become_user(identity: Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Descriptors on their way to the numbers 3, 4, ….
///
/// Those numbers may be in use in the daemon, and between fork and exec the standard library holds a pipe
/// of its own that must not be overwritten. So all of them are occupied before the fork by descriptors
/// that are known, and the child overwrites nothing else.
struct Given {
    /// They themselves, above the numbers they are to get.
    sources: Vec<OwnedFd>,
    /// What stood at each of those numbers before the fork.
    known: Vec<(u64, u64)>,
    _fillers: Vec<OwnedFd>,
}

impl Given {
    fn prepare(given: &[&OwnedFd]) -> io::Result<Self> {
        let end = FIRST + RawFd::try_from(given.len()).unwrap_or(RawFd::MAX - FIRST);
        let above = |fd: &&OwnedFd| rustix::io::fcntl_dupfd_cloexec(*fd, end);
        let sources = given.iter().map(above).collect::<Result<_, _>>()?;
        let mut fillers = Vec::new();
        let null = OwnedFd::from(File::open("/dev/null")?);
        loop {
            let filler = rustix::io::fcntl_dupfd_cloexec(&null, FIRST)?;
            if filler.as_raw_fd() >= end {
                break;
            }
            fillers.push(filler);
        }
        // `null` itself may hold one of the numbers and has to stay as long.
        fillers.push(null);
        // SAFETY: only asked what they are; a number that is closed meanwhile yields an error.
        let look = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
        let known = (FIRST..end).map(|fd| identify(look(fd))).collect::<Result<_, _>>()?;
        Ok(Given { sources, known, _fillers: fillers })
    }

    /// Runs in the child.
    fn place<'fd>(&self, borrow: impl Fn(RawFd) -> BorrowedFd<'fd>) -> io::Result<()> {
        for (number, (source, known)) in (FIRST..).zip(self.sources.iter().zip(&self.known)) {
            if identify(borrow(number)) != Ok(*known) {
                return Err(RACED.into());
            }
            // SAFETY: the number is open, was ours before the fork, and is never closed by this value.
            let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
            rustix::io::dup2(source, &mut target)?;
        }
        Ok(())
    }
}

fn identify(fd: BorrowedFd<'_>) -> rustix::io::Result<(u64, u64)> {
    rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

/// Descriptors that the daemon itself inherited and that would be passed on.
fn leaked() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    let passed_on = |fd: &RawFd| {
        // SAFETY: only asked for its flags; a number that is closed meanwhile yields an error.
        let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
        rustix::io::fcntl_getfd(fd).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
    };
    numbers.filter(|fd| *fd >= FIRST).filter(passed_on).collect()
}
