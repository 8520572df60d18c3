//! What the operator may ask of a running daemon: up, scale, restart, down, releases, secrets. Each changes the intent and
//! wakes the cycle; none of them does anything to the site itself.

mod deploy;
mod engine;
mod secrets;
mod switchover;

use super::agent::Agent;
use super::hands::{Hands, Numbering};
use super::known::Known;
use crate::api::types::database::{SwitchoverAccepted, SwitchoverRequest};
use crate::api::types::{
    Accepted, Environment, Problem, RestartRequest, ScaleRequest, UpAccepted, UpRequest,
};
use crate::store::{NewEntry, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stoa_model::cluster::SwitchoverOrder;
use stoa_model::deployment::{DeployKind, DeployOrder, Phase};
use stoa_model::intent::Power;
use stoa_model::journal::Kind;
use stoa_model::{Intent, Paths, Plan, ReleaseId, Tier};
use stoa_tiers::host::clock;
use tokio::sync::{Mutex, Notify};

/// The most instances of a tier.
const INSTANCES_MAX: u16 = 100;

/// What the operator may ask.
pub(crate) struct Operator<S> {
    paths: Paths,
    store: Arc<S>,
    hands: Arc<Hands>,
    agent: Arc<Agent<S>>,
    wake: Arc<Notify>,
    /// Tells the controller that `down` was asked of this very daemon.
    down_asked: Arc<AtomicBool>,
    /// One change of the intent at a time: taking a source can take minutes.
    turn: Mutex<()>,
}

impl<S: Store> Operator<S> {
    /// For the site in `store`.
    pub(crate) fn new(
        paths: Paths,
        store: Arc<S>,
        hands: Arc<Hands>,
        agent: Arc<Agent<S>>,
        wake: Arc<Notify>,
        down_asked: Arc<AtomicBool>,
    ) -> Self {
        Operator { paths, store, hands, agent, wake, down_asked, turn: Mutex::new(()) }
    }

    /// Takes the source as it is now and asks for the site as the file says.
    pub(crate) async fn up(&self, request: UpRequest) -> Result<UpAccepted, Problem> {
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let before = self.store.intent().await.map_err(kept_not)?;
        if let Some(other) = before.as_ref().filter(|intent| intent.site.name != request.site.name) {
            return Err(Problem {
                what: format!(
                    "{} holds the site {}, not {}",
                    self.paths.root().display(),
                    other.site.name,
                    request.site.name
                ),
                why: "a state folder belongs to one site".to_owned(),
                next: "give each site its own folder with --state DIR, or leave --state away".to_owned(),
            });
        }
        if let Some(before) = &before {
            engine::refuse(&before.site, &request.site)?;
        }
        self.hands.claim_faces(&request.site).await.map_err(|why| Problem {
            what: format!("[balancer] listen = \"{}\" cannot be listened on", request.site.balancer.listen),
            why,
            next: "stop what holds it, or choose another address in [balancer] listen".to_owned(),
        })?;
        self.refuse_missing_secrets(&request.site)?;
        let numbering = self.up_numbering(before.as_ref(), &request.site).await?;
        let taken = self.hands.take_source(&request.site, numbering).await.map_err(|problem| *problem)?;
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        if let Some(before) = before.as_ref().filter(|before| before.power == Power::On) {
            self.refuse_while_deploying(before, Some(&taken.release)).await?;
        }
        let reference = request.site.source.reference.clone();
        let mut intent = next_intent(before, request.site, taken.release.clone(), numbering);
        if self.is_new_order(&intent).await? {
            let number = intent.deploy.number.next();
            intent.deploy =
                DeployOrder { number, kind: DeployKind::Up, by: request.by, at_unix_ms: clock::unix_ms() };
            self.keep_order(&intent, reference).await?;
        }
        self.down_asked.store(false, Ordering::Relaxed);
        self.store.put_intent(&intent, Some(&request.text)).await.map_err(kept_not)?;
        let text = format!("up with release {}", taken.release);
        self.asked(text, format!("stoa up with {}", request.file.display())).await?;
        Ok(UpAccepted { release: taken.release, warnings: taken.warnings, journal })
    }

    /// What `up` would do now; changes nothing.
    pub(crate) async fn plan(&self, request: UpRequest) -> Result<Plan, Problem> {
        let before = self.store.intent().await.map_err(kept_not)?;
        if let Some(before) = &before {
            engine::refuse(&before.site, &request.site)?;
        }
        let numbering = self.up_numbering(before.as_ref(), &request.site).await?;
        let taken = self.hands.would_take(&request.site, numbering).await.map_err(|problem| *problem)?;
        let release = taken.release;
        let mut known = Known::read(&*self.store).await.map_err(kept_not)?;
        for host in known.observed.hosts.values_mut() {
            host.releases.entry(release.clone()).or_insert(stoa_model::observed::ReleaseState::Taken);
        }
        let intent = next_intent(before, request.site, release, numbering);
        Ok(stoa_decide::plan(&known.input(&intent, &self.paths)))
    }

    /// Another count of a tier, until the file's count changes.
    pub(crate) async fn scale(&self, request: ScaleRequest) -> Result<Accepted, Problem> {
        let ScaleRequest { tier, instances } = request;
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let mut intent = self.intent().await?;
        if !matches!(tier, Tier::App | Tier::Web | Tier::Balancer | Tier::Splitter) {
            return Err(Problem {
                what: format!("{tier} cannot be scaled by count"),
                why: "this version scales app, web, balancer and splitter".to_owned(),
                next: if tier == Tier::Database {
                    "set [database] replicas in stoa.toml and run: stoa up".to_owned()
                } else {
                    "type for example: stoa scale app=4".to_owned()
                },
            });
        }
        refuse_absent(&intent, tier)?;
        if instances == 0 || instances > INSTANCES_MAX {
            return Err(Problem {
                what: format!("{tier}={instances} is not a count of instances"),
                why: format!("a tier has 1 to {INSTANCES_MAX}"),
                next: "to stop the whole site type: stoa down".to_owned(),
            });
        }
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        intent.scale.insert(tier, instances);
        self.store.put_intent(&intent, None).await.map_err(kept_not)?;
        let text = format!("{tier} to {instances} instance{}", if instances == 1 { "" } else { "s" });
        self.asked(text.clone(), format!("stoa scale {tier}={instances}")).await?;
        Ok(Accepted { text, journal })
    }

    /// Every instance of a tier anew, without a request lost.
    pub(crate) async fn restart(&self, request: RestartRequest) -> Result<Accepted, Problem> {
        let tier = request.tier;
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let mut intent = self.intent().await?;
        refuse_absent(&intent, tier)?;
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        *intent.restarts.entry(tier).or_default() += 1;
        self.store.put_intent(&intent, None).await.map_err(kept_not)?;
        let text = format!("every instance of {tier} is replaced");
        self.asked(text.clone(), format!("stoa restart {tier}")).await?;
        Ok(Accepted { text, journal })
    }

    /// Another database server takes the primary's place, planned.
    pub(crate) async fn switchover(&self, request: SwitchoverRequest) -> Result<SwitchoverAccepted, Problem> {
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let mut intent = self.intent().await?;
        refuse_absent(&intent, Tier::Database)?;
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        switchover::refuse(&request, &known.roster)?;
        let number = intent.switchover.as_ref().map_or(0, |order| order.number) + 1;
        let SwitchoverRequest { to, by } = request;
        intent.switchover = Some(SwitchoverOrder { number, to, by });
        self.store.put_intent(&intent, None).await.map_err(kept_not)?;
        let whom = to.map_or_else(|| "the replica that is furthest".to_owned(), |id| id.to_string());
        let text = format!("{whom} is to be the primary");
        let typed =
            to.map_or_else(|| "stoa db switchover".to_owned(), |id| format!("stoa db switchover {id}"));
        self.asked(text.clone(), typed).await?;
        Ok(SwitchoverAccepted { number, text })
    }

    /// Everything off, in order; data stays.
    pub(crate) async fn down(&self) -> Result<Accepted, Problem> {
        // Not `try_lock`: `down` in the middle of an `up` waits for the source to be taken, then undoes it.
        let _turn = self.turn.lock().await;
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        self.down_asked.store(true, Ordering::Relaxed);
        if let Some(mut intent) = self.store.intent().await.map_err(kept_not)? {
            intent.power = Power::Off;
            self.store.put_intent(&intent, None).await.map_err(kept_not)?;
        }
        self.hands.stop_tasks().await;
        let text = "every tier is stopped, from the visitor's side inwards".to_owned();
        self.asked(text.clone(), "stoa down".to_owned()).await?;
        Ok(Accepted { text, journal })
    }

    /// Ends the daemon where it has no site to keep: it was started for a request that was then refused. An
    /// `up` under way is waited for, and if that one brings a site, the daemon stays.
    pub(crate) async fn dismiss(&self) -> Result<Accepted, Problem> {
        let _turn = self.turn.lock().await;
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        let unused = self.store.intent().await.map_err(kept_not)?.is_none();
        if unused {
            self.down_asked.store(true, Ordering::Relaxed);
            self.wake.notify_one();
        }
        let text = if unused { "the daemon ends" } else { "the daemon stays: it has a site" };
        Ok(Accepted { text: text.to_owned(), journal })
    }

    /// What `stoa run` runs with: the environment of the release that serves.
    pub(crate) async fn environment(&self) -> Result<Environment, Problem> {
        let intent = self.intent().await?;
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        let running = known.roster.live.clone().unwrap_or_else(|| intent.release.clone());
        let spec = stoa_decide::app_spec(&known.input(&intent, &self.paths));
        self.hands.environment(spec.as_ref(), &running).map_err(|why| Problem {
            what: format!("release {running} cannot be run in"),
            why,
            next: "see that the site is up: stoa status".to_owned(),
        })
    }

    /// As [`Operator::numbering`], where the site's file may have changed how releases are built.
    async fn up_numbering(
        &self,
        before: Option<&Intent>,
        site: &stoa_model::Site,
    ) -> Result<Numbering, Problem> {
        let Some(before) = before else { return Ok(Numbering::default()) };
        let numbering = self.numbering(before).await?;
        Ok(if builds_otherwise(before, site) { numbering.anew() } else { numbering })
    }

    /// Whether `intent`, whose release was just taken, asks for another release than is served or tried.
    async fn is_new_order(&self, intent: &Intent) -> Result<bool, Problem> {
        let (roster, _) = self.store.decided().await.map_err(kept_not)?;
        let Some(last) = roster.deployment else { return Ok(true) };
        // One that failed is tried again: the operator asks for it again.
        Ok(last.to != intent.release || matches!(last.phase, Phase::Failed(_)))
    }

    async fn intent(&self) -> Result<Intent, Problem> {
        let intent = self.store.intent().await.map_err(kept_not)?;
        intent.filter(|intent| intent.power == Power::On).ok_or_else(|| Problem {
            what: "this site is not up".to_owned(),
            why: "nothing was brought up in this state folder, or it was taken down".to_owned(),
            next: "bring it up first: stoa up".to_owned(),
        })
    }

    async fn asked(&self, text: String, because: String) -> Result<(), Problem> {
        self.agent.forgive();
        let entry = NewEntry { kind: Kind::Asked, subject: "site".to_owned(), text, because };
        let kept = self.store.append(&[entry]).await.map_err(kept_not);
        self.wake.notify_one();
        kept
    }
}

/// Whether the same code would make another release, because it is built in another way.
pub(super) fn builds_otherwise(before: &Intent, site: &stoa_model::Site) -> bool {
    let persist = |site: &stoa_model::Site| site.app.as_ref().map(|app| app.persist.clone());
    before.site.source.build != site.source.build || persist(&before.site) != persist(site)
}

/// The intent after `up`: counts that were typed stay until the file's count changes.
pub(super) fn next_intent(
    before: Option<Intent>,
    site: stoa_model::Site,
    release: ReleaseId,
    numbering: Numbering,
) -> Intent {
    let (mut scale, restarts) = match &before {
        Some(before) => (before.scale.clone(), before.restarts.clone()),
        None => (BTreeMap::new(), BTreeMap::new()),
    };
    let (deploy, secrets) = before.as_ref().map_or_else(Default::default, |b| (b.deploy.clone(), b.secrets));
    if let Some(before) = &before {
        scale.retain(|tier, _| before.site.count(*tier) == site.count(*tier));
    }
    let built_from = numbering.same_from;
    let switchover = before.and_then(|before| before.switchover);
    Intent { site, release, scale, restarts, power: Power::On, deploy, secrets, switchover, built_from }
}

fn refuse_absent(intent: &Intent, tier: Tier) -> Result<(), Problem> {
    if intent.site.count(tier).max > 0 {
        return Ok(());
    }
    Err(Problem {
        what: format!("the site {} has no {tier} tier", intent.site.name),
        why: format!("its stoa.toml has no [{tier}] table"),
        next: format!("add a [{tier}] table and run: stoa up"),
    })
}

fn busy() -> Problem {
    Problem {
        what: "another command is changing this site".to_owned(),
        why: "one change is taken at a time, and the other one is still taking the source".to_owned(),
        next: "wait for it, or look: stoa status".to_owned(),
    }
}

fn kept_not(error: StoreError) -> Problem {
    Problem {
        what: "the site's state cannot be kept".to_owned(),
        why: error.to_string(),
        next: "make room or mend the rights of the state folder; the site goes on as it stands".to_owned(),
    }
}

impl Problem {
    /// For callers that have one sentence only.
    pub(crate) fn from_text(
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Problem { what: what.into(), why: why.into(), next: next.into() }
    }
}
