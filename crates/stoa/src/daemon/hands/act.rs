//! What the hands do: one action of a plan each. They make no choice: everything stands in the action.

use super::Hands;
use crate::daemon::start::own_program;
use stoa_model::site::CommandLine;
use stoa_model::spec::AppSpec;
use stoa_model::{Action, InstanceId, Millis, Spec, TaskId, Tier};
use stoa_tiers::app::task::{self, Task};
use stoa_tiers::app::{self, Build};
use stoa_tiers::database::Certificate;
use stoa_tiers::host::launch::RunAs;
use stoa_tiers::host::{Secrets, files};
use stoa_tiers::{cache, database, nginx};

impl Hands {
    /// Does one thing; what was done, or why not, in one sentence.
    pub(crate) async fn act(&self, action: &Action) -> Result<String, String> {
        let done = match action {
            Action::Build { site, release, commands, persist, timeout } => {
                let user = self.users.of(RunAs::Tier(Tier::App));
                let commands = commands.as_deref();
                let job = Build { site, release, commands, persist, timeout: *timeout, user };
                app::build(&job, &self.paths).await.map_err(|error| error.to_string())?;
                format!("release {release} is built")
            }
            Action::Publish { releases } => {
                files::publish(&self.paths, releases).await.map_err(|error| error.to_string())?;
                let first = releases.first().map(ToString::to_string).unwrap_or_default();
                format!("static files come from release {first}")
            }
            Action::Run { task, command, spec, timeout } => {
                self.begin_task(*task, command, spec, *timeout).await?;
                format!("{task} has begun")
            }
            Action::Remove { release } => {
                app::release::remove(release, &self.paths).await.map_err(|error| error.to_string())?;
                format!("release {release} is removed")
            }
            Action::Start { instance, spec } => self.start(*instance, spec).await?,
            Action::Reload { instance, spec } => self.reload(*instance, spec).await?,
            Action::Stop { instance, grace } => {
                self.processes.stop(*instance, *grace).await.map_err(|error| error.to_string())?;
                format!("{instance} has stopped")
            }
            Action::Prepare { .. }
            | Action::Clone { .. }
            | Action::Fence { .. }
            | Action::Promote { .. }
            | Action::SemiSync { .. }
            | Action::Salvage { .. }
            | Action::Discard { .. }
            | Action::Follow { .. } => self.act_on_database(action).await?,
        };
        Ok(done)
    }

    async fn begin_task(
        &self,
        id: TaskId,
        command: &CommandLine,
        spec: &AppSpec,
        timeout: Millis,
    ) -> Result<(), String> {
        let secrets = match Secrets::open(&self.paths).values(&spec.secrets.names) {
            Ok(secrets) => secrets,
            Err(error) => {
                return task::refuse(id, &error.to_string(), &self.paths).map_err(|error| error.to_string());
            }
        };
        let user = self.users.of(RunAs::Tier(Tier::App));
        let wrapper = [own_program().into_os_string(), "role".into(), "task".into()];
        let task = Task { id, command, spec, timeout, user, wrapper: &wrapper };
        let begun = task::start(&task, &self.paths, &self.credentials, &secrets).await;
        begun.map_err(|error| error.to_string())
    }

    async fn start(&self, instance: InstanceId, spec: &Spec) -> Result<String, String> {
        let (paths, credentials) = (&self.paths, &self.credentials);
        let (launch, inherited) = match spec {
            Spec::Balancer(balancer) => self.balancer_launch(instance, balancer)?,
            Spec::Web(web) => (nginx::launch(instance, web, paths).map_err(|e| e.to_string())?, Vec::new()),
            Spec::Splitter(splitter) => self.splitter_launch(instance, splitter)?,
            Spec::App(app) => {
                let secrets = Secrets::open(paths).values(&app.secrets.names);
                let secrets = secrets.map_err(|e| e.to_string())?;
                let launch = app::run::launch(instance, app, paths, credentials, &secrets);
                (launch.map_err(|e| e.to_string())?, Vec::new())
            }
            Spec::Database(database) => {
                let certificate = database.tls.then(|| Certificate::load_or_create(paths)).transpose();
                let certificate = certificate.map_err(|e| e.to_string())?;
                let launch = database::launch(instance, database, paths, certificate.as_ref());
                (launch.map_err(|e| e.to_string())?, Vec::new())
            }
            Spec::Cache(cache) => {
                (cache::launch(instance, cache, paths, credentials).map_err(|e| e.to_string())?, Vec::new())
            }
        };
        let started = self.processes.start(launch, inherited).await.map_err(|error| error.to_string())?;
        Ok(format!("{instance} started as pid {}", started.pid))
    }

    async fn reload(&self, instance: InstanceId, spec: &Spec) -> Result<String, String> {
        let Spec::Web(web) = spec else {
            return Err(format!("{instance} cannot be reloaded, only restarted"));
        };
        nginx::reload(&self.processes, instance, web).await.map_err(|error| error.to_string())?;
        Ok(format!("{instance} has re-read its configuration"))
    }
}
