//! Which site is meant, which copy of it, and where its state lies: from what was typed, the folders above
//! this one and the sites that this machine has.
//!
//! The state of an environment that is not production lies beside production's, as `<site>@<environment>`;
//! a state folder that is named so is never taken for production's.

use super::args::Global;
use super::config_report::ConfigReport;
use super::failure::{Failure, Outcome};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use stoa_model::endpoint::UNIX_PATH_MAX;
use stoa_model::{EnvironmentName, InstanceId, Paths, Site, SiteName, Tier, config};

/// The name of a site's file.
pub(crate) const FILE: &str = "stoa.toml";

/// A site whose file was read and found good.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// What it says of the environment that is meant.
    pub(crate) site: Site,
    /// Where that environment's state lies.
    pub(crate) paths: Paths,
}

/// A site of which only the state folder is needed.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// Its name; unknown where only `--state` was given.
    pub(crate) name: Option<SiteName>,
    /// Its file, where one was found.
    pub(crate) file: Option<PathBuf>,
    /// Which copy of it.
    pub(crate) environment: EnvironmentName,
    /// Where that environment's state lies.
    pub(crate) paths: Paths,
    /// Where production's lies.
    base: PathBuf,
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
        let Meant { environment, state } = self.meant(global)?;
        known(&file, &text, &environment)?;
        let home = file.parent().unwrap_or(Path::new("/"));
        let site = config::parse_environment(&text, home, &environment);
        let site = site.map_err(|errors| Failure::config(ConfigReport::new(&file, &text, errors)))?;
        let paths = fitting(of_environment(&self.base(state, &site.name)?, &environment))?;
        Ok(Loaded { file, text, site, paths })
    }

    /// The site that is meant; its file may hold mistakes as long as its name can be told.
    pub(crate) fn locate(&self, global: &Global, folder: Option<&Path>) -> Outcome<Located> {
        let file = self.file(global, folder)?;
        let Meant { environment, state } = self.meant(global)?;
        let (name, environment, guessed) = match (&file, &state) {
            (Some(file), _) => (Some(name(file)?), environment, false),
            (None, Some(_)) => (None, environment, false),
            (None, None) => {
                let (name, environment) = self.only_site(global.environment.as_ref())?;
                (Some(name), environment, true)
            }
        };
        let base = match (state, &name) {
            (Some(state), _) => state,
            (None, Some(name)) => self.states()?.join(name.to_string()),
            (None, None) => return Err(no_file(&self.current)),
        };
        let paths = fitting(of_environment(&base, &environment))?;
        if let Some(file) = file.as_deref().filter(|_| !paths.root().exists()) {
            known(file, &read(file)?, &environment)?;
        }
        Ok(Located { name, file, environment, paths, base, guessed })
    }

    /// Which environment is meant, and production's state folder where one was given.
    fn meant(&self, global: &Global) -> Outcome<Meant> {
        let given = global.state.as_deref().map(|state| self.absolute(state));
        let (state, of_state) = match given {
            Some(given) => match split(&given) {
                Some((base, environment)) => (Some(base), Some(environment)),
                None => (Some(given), None),
            },
            None => (None, None),
        };
        match (&global.environment, of_state) {
            (Some(asked), Some(other)) if *asked != other => Err(Failure::usage(
                format!("--environment {asked} and a state folder of {other} do not go together"),
                "a folder named DIR@NAME holds the state of the environment NAME",
                "give production's state folder, or leave one of the two away",
            )),
            (Some(environment), _) => Ok(Meant { environment: environment.clone(), state }),
            (None, of_state) => Ok(Meant { environment: of_state.unwrap_or_default(), state }),
        }
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

    /// Where production's state of the site `name` lies, unless `state` was given.
    fn base(&self, state: Option<PathBuf>, name: &SiteName) -> Outcome<PathBuf> {
        state.map_or_else(|| Ok(self.states()?.join(name.to_string())), Ok)
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

    /// The one site of this machine (for this user), in the environment that was `asked` for; else in
    /// production, and in another one only where nothing is in production.
    fn only_site(&self, asked: Option<&EnvironmentName>) -> Outcome<(SiteName, EnvironmentName)> {
        let states = self.states()?;
        let mut all = states_in(&states);
        all.sort();
        let of = |wanted: &EnvironmentName| -> Vec<_> {
            all.iter().filter(|(_, environment)| environment == wanted).cloned().collect()
        };
        let production = of(&EnvironmentName::default());
        let found = match asked {
            Some(asked) => of(asked),
            None if production.is_empty() => all.clone(),
            None => production,
        };
        if let [only] = &found[..] {
            return Ok(only.clone());
        }
        let (Some(last), true) = (found.last().or(all.last()), !all.is_empty()) else {
            return Err(no_file(&self.current));
        };
        let name = |(name, environment): &(SiteName, EnvironmentName)| label(name, environment);
        let names = all.iter().map(name).collect::<Vec<_>>().join(", ");
        Err(Failure::usage(
            format!("no {FILE} in {} or a folder above it", self.current.display()),
            format!("this machine has several sites: {names}"),
            format!("say which: --config DIR, or --state {}", states.join(name(last)).display()),
        ))
    }

    /// `path` from the current folder, without `.` and, where its folder exists, without `..`.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        let joined = self.current.join(path);
        joined.canonicalize().unwrap_or_else(|_| joined.components().collect())
    }
}

/// Which environment is meant, and production's state folder where one was given.
struct Meant {
    environment: EnvironmentName,
    state: Option<PathBuf>,
}

impl Located {
    /// Where the state of another environment of the same site lies.
    pub(crate) fn beside(&self, environment: &EnvironmentName) -> Paths {
        of_environment(&self.base, environment)
    }

    /// The other environments of the same site that have a state, production among them.
    pub(crate) fn others(&self) -> Vec<EnvironmentName> {
        let (Some(folder), Some(name)) = (self.base.parent(), self.base.file_name()) else {
            return Vec::new();
        };
        let own = |entry: &Path| {
            let (base, environment) = split(entry).unwrap_or((entry.to_owned(), EnvironmentName::default()));
            (base.file_name() == Some(name) && environment != self.environment).then_some(environment)
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut others: Vec<_> =
            entries.filter(|entry| Paths::new(entry).database().is_file()).filter_map(|e| own(&e)).collect();
        others.sort();
        others
    }
}

/// A site's name as people tell its environments apart: `foobar`, `foobar@staging`.
pub(crate) fn label(name: &SiteName, environment: &EnvironmentName) -> String {
    if environment.is_production() { name.to_string() } else { format!("{name}@{environment}") }
}

/// The state folder of an environment of the site whose production's is `base`.
fn of_environment(base: &Path, environment: &EnvironmentName) -> Paths {
    if environment.is_production() {
        return Paths::new(base);
    }
    let mut root = base.as_os_str().to_owned();
    root.push(format!("@{environment}"));
    Paths::new(PathBuf::from(root))
}

/// A state folder's name taken apart: production's, and the environment. `None`: it is production's.
fn split(root: &Path) -> Option<(PathBuf, EnvironmentName)> {
    let (base, environment) = root.file_name()?.to_str()?.rsplit_once('@')?;
    let environment = environment.parse().ok()?;
    (!base.is_empty()).then(|| (root.with_file_name(base), environment))
}

/// The sites that have a state in `folder`.
fn states_in(folder: &Path) -> Vec<(SiteName, EnvironmentName)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let states = entries.map(|entry| entry.path()).filter(|path| Paths::new(path).database().exists());
    let site = |path: PathBuf| {
        let (base, environment) = split(&path).unwrap_or((path, EnvironmentName::default()));
        Some((base.file_name()?.to_str()?.parse().ok()?, environment))
    };
    states.filter_map(site).collect()
}

/// Refuses an environment that the file does not have.
fn known(file: &Path, text: &str, environment: &EnvironmentName) -> Outcome<()> {
    let all = config::environments(text);
    // What cannot be read as TOML tells nothing about environments.
    if environment.is_production() || all.contains(environment) || text.parse::<toml::Table>().is_err() {
        return Ok(());
    }
    let names = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let why = if names.is_empty() {
        "it describes production alone".to_owned()
    } else {
        format!("it has production and {names}")
    };
    Err(Failure::usage(
        format!("{} has no environment {environment}", file.display()),
        why,
        format!("name one of these, or add a table: [environments.{environment}]"),
    ))
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
