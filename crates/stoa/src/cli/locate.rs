//! Which site is meant and where its state lies: from what was typed, the folders above this one and the
//! sites that this machine has.

use super::args::Global;
use super::config_report::ConfigReport;
use super::failure::{Failure, Outcome};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use stoa_model::endpoint::UNIX_PATH_MAX;
use stoa_model::{InstanceId, Paths, Site, SiteName, Tier, config};

/// The name of a site's file.
pub(crate) const FILE: &str = "stoa.toml";

/// A site whose file was read and found good.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) site: Site,
    /// Where its state lies.
    pub(crate) paths: Paths,
}

/// A site of which only the state folder is needed.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// Its name; unknown where only `--state` was given.
    pub(crate) name: Option<SiteName>,
    /// Its file, where one was found.
    pub(crate) file: Option<PathBuf>,
    /// Where its state lies.
    pub(crate) paths: Paths,
    /// Neither a file nor an option named it: it is the only one of this machine.
    pub(crate) guessed: bool,
}

/// What the process was started with: an argument, so that tests can choose it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The current folder.
    pub(crate) current: PathBuf,
    /// Root.
    pub(crate) root: bool,
    /// `XDG_STATE_HOME`.
    pub(crate) state_home: Option<OsString>,
    /// `HOME`.
    pub(crate) home: Option<OsString>,
}

impl Place {
    /// This process's.
    pub(crate) fn here() -> Outcome<Self> {
        let current = std::env::current_dir().map_err(|error| {
            Failure::failed(
                "the current folder cannot be used",
                error.to_string(),
                "change to another folder: cd",
            )
        })?;
        Ok(Place {
            current,
            root: rustix::process::geteuid().is_root(),
            state_home: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
        })
    }

    /// The site that is meant, its file read and checked. `folder` is the verb's own argument.
    pub(crate) fn load(&self, global: &Global, folder: Option<&Path>) -> Outcome<Loaded> {
        let file = self.file(global, folder)?.ok_or_else(|| no_file(&self.current))?;
        let text = read(&file)?;
        let home = file.parent().unwrap_or(Path::new("/"));
        let site = config::parse(&text, home)
            .map_err(|errors| Failure::config(ConfigReport::new(&file, &text, errors)))?;
        let paths = self.paths(global, &site.name)?;
        Ok(Loaded { file, text, site, paths })
    }

    /// The site that is meant; its file may hold mistakes as long as its name can be told.
    pub(crate) fn locate(&self, global: &Global, folder: Option<&Path>) -> Outcome<Located> {
        let file = self.file(global, folder)?;
        let name = match &file {
            Some(file) => Some(name(file)?),
            None => None,
        };
        if let (Some(state), None) = (&global.state, &name) {
            let paths = fitting(Paths::new(self.absolute(state)))?;
            return Ok(Located { name: None, file, paths, guessed: false });
        }
        if let Some(name) = name {
            let paths = self.paths(global, &name)?;
            return Ok(Located { name: Some(name), file, paths, guessed: false });
        }
        let name = self.only_site()?;
        let paths = self.paths(global, &name)?;
        Ok(Located { name: Some(name), file: None, paths, guessed: true })
    }

    /// The file that is meant. `None`: none was named, and none was found on the way up.
    fn file(&self, global: &Global, folder: Option<&Path>) -> Outcome<Option<PathBuf>> {
        match (global.config.as_deref(), folder) {
            (Some(_), Some(folder)) => Err(Failure::usage(
                format!("both --config and {} name a site", folder.display()),
                "only one site is meant at a time",
                "leave one of them away",
            )),
            (Some(path), None) => self.named(path).map(Some),
            (None, Some(folder)) => self.named(folder).map(Some),
            (None, None) => Ok(self.nearest()),
        }
    }

    /// The file of this folder or the nearest one above that has one.
    pub(crate) fn nearest(&self) -> Option<PathBuf> {
        self.current.ancestors().map(|up| up.join(FILE)).find(|file| file.is_file())
    }

    /// The file that `path` names: itself, or the one in the folder that it is.
    fn named(&self, path: &Path) -> Outcome<PathBuf> {
        let path = self.absolute(path);
        let file = if path.is_dir() { path.join(FILE) } else { path };
        if file.is_file() {
            return Ok(file);
        }
        let what = format!("{} is not there", file.display());
        let folder = file.parent().unwrap_or(Path::new("."));
        if folder.is_dir() {
            let next = format!("write one with: stoa init {}", folder.display());
            return Err(Failure::usage(what, format!("the folder has no {FILE}"), next));
        }
        Err(Failure::usage(what, format!("there is no folder {}", folder.display()), "check the path"))
    }

    /// Where the state of the site `name` lies.
    fn paths(&self, global: &Global, name: &SiteName) -> Outcome<Paths> {
        let root = match &global.state {
            Some(state) => self.absolute(state),
            None => self.states()?.join(name.to_string()),
        };
        fitting(Paths::new(root))
    }

    /// The folder that holds the states of all sites.
    fn states(&self) -> Outcome<PathBuf> {
        if self.root {
            return Ok(PathBuf::from("/var/lib/stoa"));
        }
        // A relative one is to be ignored (XDG Base Directory Specification).
        let absolute = |value: &OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
        if let Some(home) = self.state_home.as_ref().and_then(absolute) {
            return Ok(home.join("stoa"));
        }
        let home = self.home.as_ref().and_then(absolute).ok_or_else(|| {
            Failure::usage(
                "there is no place for the site's state",
                "neither HOME nor XDG_STATE_HOME is set to an absolute path",
                "give one: --state DIR",
            )
        })?;
        Ok(home.join(".local/state/stoa"))
    }

    /// The one site of this machine (for this user).
    fn only_site(&self) -> Outcome<SiteName> {
        let states = self.states()?;
        let entries = std::fs::read_dir(&states).into_iter().flatten().flatten();
        let mut names: Vec<SiteName> = entries
            .filter(|entry| Paths::new(entry.path()).database().exists())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        names.sort();
        match (names.len(), names.pop()) {
            (1, Some(name)) => Ok(name),
            (0, _) | (_, None) => Err(no_file(&self.current)),
            (_, Some(last)) => {
                names.push(last.clone());
                let all = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Err(Failure::usage(
                    format!("no {FILE} in {} or a folder above it", self.current.display()),
                    format!("this machine has several sites: {all}"),
                    format!(
                        "say which: --config DIR, or --state {}",
                        states.join(last.to_string()).display()
                    ),
                ))
            }
        }
    }

    /// `path` from the current folder, without `.` and, where its folder exists, without `..`.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        let joined = self.current.join(path);
        joined.canonicalize().unwrap_or_else(|_| joined.components().collect())
    }
}

/// The text of a site's file.
fn read(file: &Path) -> Outcome<String> {
    let unreadable = |why: String| {
        Failure::usage(format!("{} cannot be read", file.display()), why, "check the path and its rights")
    };
    let size = file.metadata().map_err(|error| unreadable(error.to_string()))?.len();
    if size > config::FILE_MAX as u64 {
        return Err(unreadable(format!("it has {size} bytes; a {FILE} has at most {}", config::FILE_MAX)));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("byte {} is not UTF-8; a {FILE} is text", error.utf8_error().valid_up_to()))
    })
}

/// The site's name alone, from a file that may hold mistakes elsewhere: someone who is just editing it
/// can still look at the site.
fn name(file: &Path) -> Outcome<SiteName> {
    let text = read(file)?;
    let table: Option<toml::Table> = text.parse().ok();
    let written = table.as_ref().and_then(|table| table.get("site")?.get("name")?.as_str());
    if let Some(name) = written.and_then(|name| name.parse().ok()) {
        return Ok(name);
    }
    match config::parse(&text, file.parent().unwrap_or(Path::new("/"))) {
        Ok(site) => Ok(site.name),
        Err(errors) => Err(Failure::config(ConfigReport::new(file, &text, errors))),
    }
}

/// Refuses a state folder whose sockets would have names the kernel does not take.
fn fitting(paths: Paths) -> Outcome<Paths> {
    let longest = paths.instance(InstanceId::new(Tier::Balancer, 100)).join("control");
    let length = longest.as_os_str().len();
    if length <= UNIX_PATH_MAX {
        return Ok(paths);
    }
    let root = paths.root().as_os_str().len();
    let most = UNIX_PATH_MAX.saturating_sub(length - root);
    Err(Failure::usage(
        format!("the state folder {} has a path of {root} bytes", paths.root().display()),
        format!(
            "sockets lie in it, and the kernel takes {UNIX_PATH_MAX} bytes for a socket's path: {most} for the folder"
        ),
        "give a folder with a shorter path, for example: --state /tmp/my-site",
    ))
}

fn no_file(current: &Path) -> Failure {
    Failure::usage(
        format!("no {FILE} in {} or a folder above it", current.display()),
        "a site is described by this file",
        "write one with: stoa init; or say where it is: --config DIR",
    )
}
