//! Where a site's state lies on a host (DESIGN: "State"). Pure joins; nothing is touched.

use crate::Endpoint;
use crate::ids::{InstanceId, ReleaseId, Term};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The folders and files below one site's state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The layout below `root`, which should be absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Paths { root: root.into() }
    }

    /// The state folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// SQLite: generations of config, releases, journal.
    pub fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Sockets, pid records, rendered configs.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Held (`flock`) by the daemon of this site as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.run().join("daemon.lock")
    }

    /// The socket the command line talks to, mode 0600.
    pub fn api_socket(&self) -> PathBuf {
        self.run().join("stoa.sock")
    }

    /// The balancer's app face: the one upstream that nginx knows.
    pub fn app_face(&self) -> PathBuf {
        self.run().join("app.sock")
    }

    /// The Unix socket that applications may reach the database through: the splitters'.
    pub fn sql_face(&self) -> PathBuf {
        self.run().join("sql.sock")
    }

    /// The Unix socket an instance listens on, where its tier uses one.
    pub fn socket(&self, instance: InstanceId) -> PathBuf {
        self.instance(instance).join("sock")
    }

    /// An instance's own folder of rendered configs and sockets.
    pub fn instance(&self, instance: InstanceId) -> PathBuf {
        self.run().join(instance.to_string())
    }

    /// The record of an instance's process: pid, start time, spec.
    pub fn process_record(&self, instance: InstanceId) -> PathBuf {
        self.run().join("pid").join(format!("{instance}.json"))
    }

    /// A role's control socket, on which it takes routes and gives back listening sockets.
    pub fn control(&self, instance: InstanceId) -> Endpoint {
        Endpoint::Unix(self.instance(instance).join("control"))
    }

    /// The links that nginx serves static files through, the first one first; swapped to publish releases.
    pub fn static_root(&self, place: usize) -> PathBuf {
        match place {
            0 => self.run().join("current"),
            n => self.run().join(format!("earlier-{n}")),
        }
    }

    /// What became of a task of a deployment.
    pub fn task(&self, task: crate::plan::TaskId) -> PathBuf {
        self.root.join("tasks").join(format!("{task}.json"))
    }

    /// What a task of a deployment printed.
    pub fn task_log(&self, task: crate::plan::TaskId) -> PathBuf {
        self.root.join("log").join("deploy").join(format!("{task}.log"))
    }

    /// The certificate that database servers show, and who connects to them believes.
    pub fn database_certificate(&self) -> PathBuf {
        self.root.join("database.pem")
    }

    /// Its key, mode 0600.
    pub fn database_key(&self) -> PathBuf {
        self.root.join("database.key")
    }

    /// The encrypted secrets.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets.age")
    }

    /// The key they are encrypted with, mode 0600.
    pub fn secrets_key(&self) -> PathBuf {
        self.root.join("secrets.key")
    }

    /// The source of a release as it was taken, before it was built.
    pub fn source(&self, release: &ReleaseId) -> PathBuf {
        self.root.join("sources").join(format!("{release}.tar"))
    }

    /// The bare mirror of a source that is fetched from a URL.
    pub fn mirror(&self) -> PathBuf {
        self.root.join("sources").join("mirror.git")
    }

    /// All built releases.
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// One built release.
    pub fn release(&self, release: &ReleaseId) -> PathBuf {
        self.releases().join(release.to_string())
    }

    /// An instance's data folder.
    pub fn data(&self, instance: InstanceId) -> PathBuf {
        self.root.join("data").join(instance.to_string())
    }

    /// What a former primary had that its successor of `term` has not, as SQL, mode 0600.
    pub fn salvaged(&self, instance: InstanceId, term: Term) -> PathBuf {
        self.root.join("lost").join(format!("{instance}-{term}.sql"))
    }

    /// An instance's folder of logs.
    pub fn log(&self, instance: InstanceId) -> PathBuf {
        self.root.join("log").join(instance.to_string())
    }

    /// What the daemon itself has to say.
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("log").join("daemon.log")
    }

    /// What building a release printed.
    pub fn build_log(&self, release: &ReleaseId) -> PathBuf {
        self.root.join("log").join("build").join(format!("{release}.log"))
    }

    /// Folders of the application that outlive a release.
    pub fn persist(&self) -> PathBuf {
        self.root.join("persist")
    }

    /// Generated credentials, mode 0600.
    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials.json")
    }
}
