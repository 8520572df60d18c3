//! What the operator may ask of secrets: set one, take one away, list their names. A value is kept
//! encrypted and goes nowhere else from here.

use super::{Operator, kept_not};
use crate::api::types::{Accepted, Problem, SecretRequest, SecretStatus};
use crate::store::Store;
use std::collections::BTreeSet;
use stoa_model::Site;
use stoa_model::site::VariableName;
use stoa_tiers::host::secrets::{Secrets, SecretsError};

impl<S: Store> Operator<S> {
    /// Keeps a secret, or forgets it; instances that are given it are replaced.
    pub(crate) async fn set_secret(&self, request: SecretRequest) -> Result<Accepted, Problem> {
        let _turn = self.turn.lock().await;
        let SecretRequest { name, value } = request;
        let secrets = Secrets::open(&self.paths);
        let verb = if value.is_some() { "set" } else { "taken away" };
        let intent = self.store.intent().await.map_err(kept_not)?;
        let used = intent.as_ref().is_some_and(|intent| uses(&intent.site, &name));
        match &value {
            Some(value) => secrets.set(&name, value).map_err(not_kept)?,
            None if used => {
                return Err(Problem {
                    what: format!("the secret {name} is in use"),
                    why: "[app] secrets names it, and an instance could not start without it".to_owned(),
                    next: format!("take {name} out of [app] secrets and run stoa up first"),
                });
            }
            None => {
                if !secrets.unset(&name).map_err(not_kept)? {
                    return Err(Problem {
                        what: format!("there is no secret {name}"),
                        why: "nothing of this name is set".to_owned(),
                        next: "see the names: stoa secrets list".to_owned(),
                    });
                }
            }
        }
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        if let Some(mut intent) = intent
            && used
        {
            intent.secrets += 1;
            self.store.put_intent(&intent, None).await.map_err(kept_not)?;
        }
        let text = match (used, value.is_some()) {
            (true, _) => format!("{name} is {verb}; the instances that use it are replaced"),
            (false, true) => {
                format!("{name} is {verb}; nothing uses it before [app] secrets names it")
            }
            (false, false) => format!("{name} is {verb}"),
        };
        self.asked(text.clone(), format!("stoa secrets {}", if value.is_some() { "set" } else { "unset" }))
            .await?;
        Ok(Accepted { text, journal })
    }

    /// The names of all secrets that are set or asked for.
    pub(crate) async fn secrets(&self) -> Result<Vec<SecretStatus>, Problem> {
        let secrets = Secrets::open(&self.paths);
        let set: BTreeSet<VariableName> = secrets.names().map_err(not_kept)?.into_iter().collect();
        let intent = self.store.intent().await.map_err(kept_not)?;
        let app = intent.and_then(|intent| intent.site.app);
        let used: BTreeSet<VariableName> =
            app.map(|app| app.secrets).unwrap_or_default().into_iter().collect();
        let one = |name: &VariableName| SecretStatus {
            name: name.clone(),
            set: set.contains(name),
            used: used.contains(name),
        };
        Ok(set.union(&used).map(one).collect())
    }

    /// A site whose application would not start is not begun with.
    pub(super) fn refuse_missing_secrets(&self, site: &Site) -> Result<(), Problem> {
        let Some(app) = site.app.as_ref().filter(|app| !app.secrets.is_empty()) else { return Ok(()) };
        let set = Secrets::open(&self.paths).names().map_err(not_kept)?;
        let missing: Vec<&str> =
            app.secrets.iter().filter(|name| !set.contains(name)).map(VariableName::as_str).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let option = match site.environment.is_production() {
            true => String::new(),
            false => format!("-e {} ", site.environment),
        };
        Err(Problem {
            what: format!("[app] secrets: {} has no value in {}", missing.join(", "), site.environment),
            why: "the application could not start without it; nothing was changed".to_owned(),
            next: format!("give it one: stoa {option}secrets set {first}"),
        })
    }
}

fn uses(site: &Site, name: &VariableName) -> bool {
    site.app.as_ref().is_some_and(|app| app.secrets.contains(name))
}

fn not_kept(error: SecretsError) -> Problem {
    Problem::from_text(
        "the secrets of this site cannot be read or written",
        error.to_string(),
        "mend that, then try again; what runs goes on with the values it has",
    )
}
