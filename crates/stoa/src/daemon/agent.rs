//! The agent: this host's eyes and hands.
//!
//! It tells the store what is here and carries out this host's steps of the plan in the store. It makes no
//! choices: what is done, where and in which order was decided before.

use super::hands::Hands;
use super::seen;
use crate::store::{NewEntry, Planned, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stoa_model::journal::Kind;
use stoa_model::observed::{HostObserved, StepFailure};
use stoa_model::{HostId, Step, StepKey};
use stoa_tiers::host::clock;
use tokio::sync::Notify;

/// This host's eyes and hands.
pub(crate) struct Agent<S> {
    host: HostId,
    store: Arc<S>,
    hands: Arc<Hands>,
    wake: Arc<Notify>,
    work: Arc<Mutex<Work>>,
}

/// Steps under way and steps that failed.
#[derive(Default)]
struct Work {
    busy: BTreeMap<StepKey, Step>,
    failures: BTreeMap<StepKey, StepFailure>,
    last: Option<HostObserved>,
    /// The number of the last plan: where no newer one could be kept, its steps are not taken twice.
    acted_on: u64,
}

impl<S: Store> Agent<S> {
    /// The agent of `host`.
    pub(crate) fn new(host: HostId, store: Arc<S>, hands: Arc<Hands>, wake: Arc<Notify>) -> Self {
        Agent { host, store, hands, wake, work: Arc::default() }
    }

    /// Looks at everything here and tells the store.
    pub(crate) async fn observe(&self) {
        // Busy steps are read before looking: a step that ends meanwhile is still called busy, and its
        // outcome is seen in the next look; never the other way round.
        let (busy, failures) = {
            let work = lock(&self.work);
            (work.busy.keys().cloned().collect(), work.failures.clone())
        };
        let look = self.hands.look().await;
        let seen = HostObserved {
            at: clock::now(),
            instances: look.instances,
            releases: look.releases,
            static_roots: look.static_roots,
            tasks: look.tasks,
            salvaged: look.salvaged,
            free_ports: look.free_ports,
            busy,
            failures,
        };
        let before = lock(&self.work).last.replace(seen.clone());
        if let Some(before) = before {
            self.append(&seen::changes(&before, &seen)).await;
        }
        if let Err(error) = self.store.put_observed(&self.host, seen).await {
            tracing::error!("{error}");
        }
    }

    /// Starts this host's steps of the plan that are not under way yet.
    pub(crate) async fn act(&self) {
        let Planned { number, intent, plan } = match self.store.plan().await {
            Ok(Some(planned)) => planned,
            Ok(None) => return,
            Err(error) => return tracing::error!("{error}"),
        };
        self.hands.publish(&intent, &plan.routes, &plan.roster);
        if std::mem::replace(&mut lock(&self.work).acted_on, number) == number {
            return;
        }
        for step in plan.steps.into_iter().filter(|step| step.host == self.host) {
            let key = step.action.key();
            // One step an instance at a time, whatever its verb.
            if lock(&self.work).busy.keys().any(|other| other.subject() == key.subject()) {
                continue;
            }
            lock(&self.work).busy.insert(key.clone(), step.clone());
            let text = format!("{} begins", key.verb());
            self.append(&[entry(Kind::Step, &key, text, step.because.clone())]).await;
            self.spawn(key, step);
        }
    }

    fn spawn(&self, key: StepKey, step: Step) {
        let (hands, store, wake, work) =
            (self.hands.clone(), self.store.clone(), self.wake.clone(), self.work.clone());
        tokio::spawn(async move {
            let outcome = hands.act(&step.action).await;
            let told = {
                let mut work = lock(&work);
                work.busy.remove(&key);
                match outcome {
                    Ok(text) => {
                        work.failures.remove(&key);
                        entry(Kind::Done, &key, text, step.because)
                    }
                    Err(error) => {
                        let attempts = work.failures.get(&key).map_or(0, |failure| failure.attempts) + 1;
                        let failure = StepFailure { at: clock::now(), attempts, error: error.clone() };
                        work.failures.insert(key.clone(), failure);
                        entry(Kind::Failed, &key, format!("{} failed", key.verb()), error)
                    }
                }
            };
            wake.notify_one();
            if let Err(error) = store.append(&[told]).await {
                tracing::error!("the journal cannot be written: {error}");
            }
        });
    }

    /// Forgets what failed: the operator has changed something, so it is tried at once.
    pub(crate) fn forgive(&self) {
        lock(&self.work).failures.clear();
        self.hands.processes().forgive_all();
    }

    async fn append(&self, entries: &[NewEntry]) {
        if let Err(error) = self.store.append(entries).await {
            tracing::error!("the journal cannot be written: {error}");
        }
    }
}

fn entry(kind: Kind, key: &StepKey, text: String, because: String) -> NewEntry {
    NewEntry { kind, subject: key.subject().to_owned(), text, because }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
