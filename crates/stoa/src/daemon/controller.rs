//! The controller: decides for the site from what the store holds, and puts the plan there.
//!
//! It judges through `decide` alone and touches nothing: acting is the agents' part.

use super::known::Known;
use super::told;
use crate::store::{NewEntry, Store, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stoa_model::intent::Power;
use stoa_model::journal::Kind;
use stoa_model::{Intent, Millis, Paths, Plan, Time};
use stoa_tiers::host::clock;

/// A command that starts a daemon asks something of it within this time.
const ASKED_WITHIN: Millis = Millis::from_secs(3);

/// Decides for the site.
pub(crate) struct Controller<S> {
    store: Arc<S>,
    paths: Paths,
    /// Set by the operator: this very daemon was asked to take the site down.
    down_asked: Arc<AtomicBool>,
    /// When this daemon began.
    began: Time,
    trouble: Trouble,
}

/// The last thing that kept the controller from deciding, empty when it can. The journal says it once and
/// not every cycle; `status` says it even where the journal cannot be written, as on a full disk.
pub(crate) type Trouble = Arc<Mutex<String>>;

/// How things stand after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nothing to do and nothing to wait for.
    Settled,
    /// Something is being done or waited for.
    UnderWay,
    /// The site was asked to be off, and nothing of it runs any more.
    Over,
}

impl<S: Store> Controller<S> {
    /// A controller of the site in `store`.
    pub(crate) fn new(store: Arc<S>, paths: Paths, down_asked: Arc<AtomicBool>) -> Self {
        Controller { store, paths, down_asked, began: clock::now(), trouble: Trouble::default() }
    }

    /// What keeps it from deciding, now and later.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// One decision, from everything the store holds now.
    pub(crate) async fn decide(&self) -> Outlook {
        match self.try_decide().await {
            Ok(outlook) => outlook,
            Err(error) => {
                // The agents go on with the last plan; a full disk must not take the site down.
                self.say_once(Kind::Failed, error.to_string()).await;
                Outlook::UnderWay
            }
        }
    }

    async fn try_decide(&self) -> Result<Outlook, StoreError> {
        let Some(intent) = self.store.intent().await? else {
            // Nothing was ever brought up here, so nothing has to be stopped first.
            let asked = self.down_asked.load(Ordering::Relaxed);
            return Ok(if asked { Outlook::Over } else { Outlook::Settled });
        };
        let known = Known::read(&*self.store).await?;
        let input = known.input(&intent, &self.paths);
        let mut plan = stoa_decide::plan(&input);
        if let Err(unsafe_entries) = stoa_decide::check(&input, &plan) {
            let reasons: Vec<String> = unsafe_entries.iter().map(ToString::to_string).collect();
            self.say_once(Kind::Refused, reasons.join("; ")).await;
            plan =
                Plan { roster: known.roster, routes: known.routes, steps: Vec::new(), waiting: plan.waiting };
            self.store.put_plan(&intent, &plan).await?;
            return Ok(Outlook::UnderWay);
        }
        self.store.put_plan(&intent, &plan).await?;
        self.store.append(&told::entries(&known, &plan)).await?;
        if let Some(outcome) = told::outcome(&known.roster, &plan.roster) {
            self.store.end_deployment(&outcome).await?;
        }
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(self.outlook(&intent, &plan))
    }

    fn outlook(&self, intent: &Intent, plan: &Plan) -> Outlook {
        // A daemon that was just started for a site that is off was started by a command that is about to
        // ask something of it.
        let asked = self.down_asked.load(Ordering::Relaxed);
        let just_began = !asked && clock::now().since(self.began) < ASKED_WITHIN;
        match (intent.power, plan.settled()) {
            (Power::Off, true) if !just_began => Outlook::Over,
            (_, true) => Outlook::Settled,
            _ => Outlook::UnderWay,
        }
    }

    async fn say_once(&self, kind: Kind, because: String) {
        {
            let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == because {
                return;
            }
            last.clone_from(&because);
        }
        tracing::error!("{because}");
        let text = match kind {
            Kind::Refused => "a plan was refused as unsafe; nothing of it was done".to_owned(),
            _ => "no decision could be kept; the site goes on as it stands".to_owned(),
        };
        let entry = NewEntry { kind, subject: "site".to_owned(), text, because };
        if let Err(error) = self.store.append(&[entry]).await {
            tracing::error!("the journal cannot be written: {error}");
        }
    }
}
