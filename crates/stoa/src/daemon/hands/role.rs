//! How a role of our own is started: with the daemon's listening sockets and a control socket of its own.

use super::Hands;
use crate::daemon::start::own_program;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use stoa_model::control::socket_names;
use stoa_model::spec::{BalancerSpec, SplitterSpec};
use stoa_model::{Endpoint, InstanceId, Spec};
use stoa_tiers::database::{Certificate, accounts};
use stoa_tiers::host::launch::{Launch, Limits, RenderedFile, RunAs, StopSignal};
use stoa_tiers::host::{HostError, listeners, programs};

/// What starts a role, and the sockets it inherits by their names.
type RoleLaunch = (Launch, Vec<(String, OwnedFd)>);

impl Hands {
    /// How a balancer is started.
    pub(super) fn balancer_launch(
        &self,
        instance: InstanceId,
        spec: &BalancerSpec,
    ) -> Result<RoleLaunch, String> {
        let web = self.faces.web(spec.web_face).map_err(told)?;
        let app = self.faces.app(&self.paths.app_face(), &self.users).map_err(told)?;
        let sockets = vec![(socket_names::WEB_FACE, web), (socket_names::APP_FACE, app)];
        self.role_launch(instance, Spec::Balancer(spec.clone()), &spec.control, sockets)
    }

    /// How a splitter is started. What it may not show anybody, the passwords of the accounts that it answers
    /// to, stands in a file that only the daemon's user may read, which it reads before it gives up its rights.
    pub(super) fn splitter_launch(
        &self,
        instance: InstanceId,
        spec: &SplitterSpec,
    ) -> Result<RoleLaunch, String> {
        let Endpoint::Unix(socket) = &spec.socket else {
            return Err("a splitter needs a Unix socket".to_owned());
        };
        let (tcp, unix) = self.faces.sql(spec.address, socket, &self.users).map_err(told)?;
        let sockets = vec![(socket_names::SQL_TCP, tcp), (socket_names::SQL_UNIX, unix)];
        let (mut launch, sockets) =
            self.role_launch(instance, Spec::Splitter(spec.clone()), &spec.control, sockets)?;
        let path = self.paths.instance(instance).join("splitter.json");
        let account = |user, password| serde_json::json!({ "user": user, "password": password });
        let app = account(accounts::APP, self.credentials.app());
        let monitor = account(accounts::MONITOR, self.credentials.monitor());
        let authority = Certificate::load_or_create(&self.paths).map_err(|error| error.to_string())?;
        let authority = authority.certificate();
        let text = serde_json::json!({
            "accounts": [app], "observer": monitor, "authority": authority, "rules": spec.rules
        });
        let text = text.to_string();
        launch.argv.extend(["--settings".into(), path.clone().into_os_string()]);
        launch.files.push(RenderedFile { path, text, secret: true });
        Ok((launch, sockets))
    }

    fn role_launch(
        &self,
        instance: InstanceId,
        spec: Spec,
        control: &Endpoint,
        sockets: Vec<(&str, OwnedFd)>,
    ) -> Result<RoleLaunch, String> {
        let Endpoint::Unix(control) = control else {
            return Err("a role needs a control socket".to_owned());
        };
        let folder = self.paths.instance(instance);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let control = listeners::unix_listener(control, 0o600, &self.users).map_err(told)?;
        let launch = Launch {
            instance,
            argv: self.role_arguments(instance),
            environment: programs::environment(),
            directory: "/".into(),
            user: RunAs::Daemon,
            limits: Limits::default(),
            stop_signal: StopSignal::Term,
            spec,
            release: None,
            files: Vec::new(),
            folders: Vec::new(),
            held: None,
        };
        let sockets = sockets.into_iter().chain([(socket_names::CONTROL, control)]);
        Ok((launch, sockets.map(|(name, socket)| (name.to_owned(), socket)).collect()))
    }

    fn role_arguments(&self, instance: InstanceId) -> Vec<OsString> {
        let mut argv = vec![own_program().into_os_string(), "role".into(), instance.tier.word().into()];
        argv.extend(["--name".into(), instance.to_string().into()]);
        let user: Option<_> = self.users.of(RunAs::Tier(instance.tier));
        if let Some(user) = user {
            argv.extend(["--user".into(), format!("{}:{}", user.uid, user.gid).into()]);
        }
        argv
    }
}

fn told(error: HostError) -> String {
    error.to_string()
}
