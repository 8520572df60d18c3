//! What the hands do to database servers. They make no choice: everything stands in the action.

use super::Hands;
use stoa_model::observed::ProcessState;
use stoa_model::spec::DatabaseSpec;
use stoa_model::{Action, InstanceId, Millis, Spec, Tier};
use stoa_tiers::database;
use stoa_tiers::host::launch::RunAs;
use stoa_tiers::host::users::Identity;

impl Hands {
    /// Does one thing to a database server; what was done, or why not, in one sentence.
    pub(super) async fn act_on_database(&self, action: &Action) -> Result<String, String> {
        let told = |error: database::DatabaseError| error.to_string();
        let done = match action {
            Action::Prepare { instance, spec } => {
                let server = self.server(*instance, database_spec(spec)?);
                database::prepare(&server, self.database_user()).await.map_err(told)?;
                format!("{instance} has a data folder")
            }
            Action::Clone { instance, spec, from, endpoint: _, term } => {
                let donor = self.running_spec(*from)?;
                let (server, donor) =
                    (self.server(*instance, database_spec(spec)?), self.server(*from, &donor));
                database::clone(&server, self.database_user(), &donor, *term).await.map_err(told)?;
                format!("{instance} has the data of {from}")
            }
            Action::Fence { instance } => self.fence(*instance).await?,
            Action::Promote { instance, term, wait } => {
                let spec = self.running_spec(*instance)?;
                database::promote(&self.server(*instance, &spec), *term, *wait).await.map_err(told)?;
                let waits = if *wait { ", each once a replica has it" } else { "" };
                format!("{instance} takes writes in term {term}{waits}")
            }
            Action::SemiSync { instance, term, wait } => {
                let spec = self.running_spec(*instance)?;
                database::semi_sync(&self.server(*instance, &spec), *term, *wait).await.map_err(told)?;
                match wait {
                    true => format!("commits of {instance} wait until a replica has them"),
                    false => format!(
                        "{instance} goes on without its replicas: what it acknowledges is on it alone"
                    ),
                }
            }
            Action::Salvage { instance, beyond, term } => {
                self.must_be_down(*instance)?;
                let user = self.database_user();
                let found =
                    database::salvage(*instance, &self.paths, user, beyond, *term).await.map_err(told)?;
                let file = self.paths.salvaged(*instance, *term);
                match found {
                    0 => format!("{instance} has nothing of its own"),
                    1 => format!("1 transaction that only {instance} has is saved in {}", file.display()),
                    n => format!("{n} transactions that only {instance} has are saved in {}", file.display()),
                }
            }
            Action::Discard { instance } => {
                self.must_be_down(*instance)?;
                database::discard(*instance, &self.paths).await.map_err(told)?;
                self.processes.forgive(*instance);
                format!("the data folder of {instance} is removed")
            }
            Action::Follow { instance, primary, endpoint, tls, term } => {
                let spec = self.running_spec(*instance)?;
                let source = database::Source { endpoint, tls: *tls };
                database::follow(&self.server(*instance, &spec), source, *term).await.map_err(told)?;
                format!("{instance} replicates from {primary}")
            }
            other => return Err(format!("{} is nothing that is done to a database", other.key())),
        };
        if let Some(instance) = action.instance() {
            self.checks.ask_now(instance).await;
        }
        Ok(done)
    }

    /// A server that cannot be asked to refuse writes takes none when it is dead.
    async fn fence(&self, instance: InstanceId) -> Result<String, String> {
        if self.must_be_down(instance).is_ok() {
            return Ok(format!("{instance} does not run, and takes no writes"));
        }
        let why = match self.running_spec(instance) {
            Ok(spec) => match database::fence(&self.server(instance, &spec)).await {
                Ok(()) => return Ok(format!("{instance} refuses writes")),
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        self.processes.stop(instance, Millis(0)).await.map_err(|error| format!("{why}; {error}"))?;
        Ok(format!("the process of {instance} is ended: {why}"))
    }

    /// Nothing is done to a data folder on which a server may run.
    fn must_be_down(&self, instance: InstanceId) -> Result<(), String> {
        match self.processes.observe().remove(&instance) {
            None | Some(ProcessState::Absent | ProcessState::Exited(_)) => Ok(()),
            Some(ProcessState::Running(running)) => {
                Err(format!("{instance} runs as pid {}; its data is left alone", running.pid))
            }
            Some(ProcessState::Unknown) => {
                Err(format!("whether {instance} runs is not known; its data is left alone"))
            }
        }
    }

    fn server<'a>(&'a self, instance: InstanceId, spec: &'a DatabaseSpec) -> database::Server<'a> {
        database::Server { instance, spec, paths: &self.paths, credentials: &self.credentials }
    }

    fn running_spec(&self, instance: InstanceId) -> Result<DatabaseSpec, String> {
        match self.processes.subject(instance).and_then(|subject| subject.spec) {
            Some(Spec::Database(spec)) => Ok(spec),
            _ => Err(format!("{instance} does not run as a database")),
        }
    }

    fn database_user(&self) -> Option<Identity> {
        self.users.of(RunAs::Tier(Tier::Database))
    }
}

fn database_spec(spec: &Spec) -> Result<&DatabaseSpec, String> {
    match spec {
        Spec::Database(spec) => Ok(spec),
        _ => Err("it is to be no database".to_owned()),
    }
}
