//! What the operator may ask of releases: deploy one, go back to one, promote one, list them. Each changes
//! the intent and wakes the cycle; how a release takes over is decided elsewhere.

use super::{Operator, builds_otherwise, busy, kept_not};
use crate::api::types::{
    DeployAccepted, DeployPreview, DeployRequest, Problem, PromoteRequest, ReleaseStanding, ReleaseStatus,
    RollbackRequest,
};
use crate::daemon::hands::{Numbering, TakenRelease};
use crate::daemon::known::Known;
use crate::store::{DeployRecord, SqliteStore, Store};
use std::collections::BTreeMap;
use stoa_model::deployment::{DeployKind, DeployOrder, Deployment, Phase};
use stoa_model::observed::ReleaseState;
use stoa_model::{Intent, Paths, ReleaseId};
use stoa_tiers::host::clock;

/// Who asks for which release, and how.
struct Wish {
    release: ReleaseId,
    kind: DeployKind,
    by: String,
    reference: String,
    warnings: Vec<String>,
}

impl<S: Store> Operator<S> {
    /// Another release of the site as it stands.
    pub(crate) async fn deploy(&self, request: DeployRequest) -> Result<DeployAccepted, Problem> {
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let intent = self.intent().await?;
        self.refuse_while_deploying(&intent, None).await?;
        self.refuse_missing_secrets(&intent.site)?;
        let mut site = intent.site.clone();
        if let Some(reference) = &request.reference {
            site.source.reference = checked(reference)?;
        }
        let TakenRelease { release, warnings } = self
            .hands
            .take_source(&site, self.numbering(&intent).await?)
            .await
            .map_err(|problem| *problem)?;
        let (kind, by, reference) = (DeployKind::Deploy, request.by, site.source.reference);
        self.order(intent, Wish { release, kind, by, reference, warnings }).await
    }

    /// What `deploy` would do; changes nothing.
    pub(crate) async fn preview_deploy(&self, request: DeployRequest) -> Result<DeployPreview, Problem> {
        let mut intent = self.intent().await?;
        self.refuse_while_deploying(&intent, None).await?;
        self.refuse_missing_secrets(&intent.site)?;
        let mut site = intent.site.clone();
        if let Some(reference) = &request.reference {
            site.source.reference = checked(reference)?;
        }
        let numbering = self.numbering(&intent).await?;
        let TakenRelease { release, warnings } =
            self.hands.would_take(&site, numbering).await.map_err(|problem| *problem)?;
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        let built = state_of(&known, &release) == Some(&ReleaseState::Built);
        intent.release = release.clone();
        intent.deploy.kind = DeployKind::Deploy;
        intent.deploy.number = intent.deploy.number.next();
        let steps = stoa_decide::course(&known.input(&intent, &self.paths));
        Ok(DeployPreview { from: known.roster.live.clone(), to: release, built, steps, warnings })
    }

    /// Back to a release that is built already.
    pub(crate) async fn rollback(&self, request: RollbackRequest) -> Result<DeployAccepted, Problem> {
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let intent = self.intent().await?;
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        let release = match request.release {
            Some(release) => release,
            None => self.last_good(&known).await?,
        };
        if state_of(&known, &release) != Some(&ReleaseState::Built) {
            return Err(Problem {
                what: format!("{release} cannot be gone back to"),
                why: "it is not built here (any more)".to_owned(),
                next: "choose one that is marked built: stoa releases".to_owned(),
            });
        }
        let reference = release.to_string();
        let (kind, by) = (DeployKind::Rollback, request.by);
        self.order(intent, Wish { release, kind, by, reference, warnings: Vec::new() }).await
    }

    /// The very release that another environment of this site runs.
    pub(crate) async fn promote(&self, request: PromoteRequest) -> Result<DeployAccepted, Problem> {
        let Ok(_turn) = self.turn.try_lock() else { return Err(busy()) };
        let intent = self.intent().await?;
        self.refuse_while_deploying(&intent, None).await?;
        self.refuse_missing_secrets(&intent.site)?;
        let other = Paths::new(&request.state);
        let theirs = self.runs_in(&other, &request, &intent).await?;
        let numbering = self.numbering(&intent).await?;
        let adopted = self.hands.adopt(&other, &theirs, numbering).await.map_err(|why| Problem {
            what: format!("{theirs} of {} cannot be taken over", request.environment),
            why,
            next: "see that both state folders can be read and written, then try again".to_owned(),
        })?;
        let reference = format!("{} {theirs}", request.environment);
        let (kind, by) = (DeployKind::Promote, request.by);
        self.order(intent, Wish { release: adopted, kind, by, reference, warnings: Vec::new() }).await
    }

    /// Every release there is a trace of, the newest first.
    pub(crate) async fn releases(&self) -> Result<Vec<ReleaseStatus>, Problem> {
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        let mut records: BTreeMap<ReleaseId, DeployRecord> = BTreeMap::new();
        for record in self.store.deployments().await.map_err(kept_not)? {
            // The newest comes first.
            records.entry(record.release.clone()).or_insert(record);
        }
        let mut all: Vec<ReleaseId> = records.keys().cloned().collect();
        all.extend(known.observed.hosts.values().flat_map(|host| host.releases.keys().cloned()));
        all.sort_by_key(|release| std::cmp::Reverse(release.number()));
        all.dedup();
        let one = |release: ReleaseId| {
            let record = records.get(&release);
            ReleaseStatus {
                state: standing(&known, &release, record),
                number: record.map(|record| record.number),
                kind: record.map(|record| record.kind),
                by: record.map(|record| record.by.clone()).unwrap_or_default(),
                at_unix_ms: record.map(|record| record.at_unix_ms),
                reference: record.map(|record| record.reference.clone()).unwrap_or_default(),
                failed: record.and_then(|record| record.failed.clone()),
                release,
            }
        };
        Ok(all.into_iter().map(one).collect())
    }

    /// Which number a new release gets, and which ones were built as one would be now.
    pub(super) async fn numbering(&self, intent: &Intent) -> Result<Numbering, Problem> {
        let records = self.store.deployments().await.map_err(kept_not)?;
        let last = records.iter().map(|record| record.release.number()).max().unwrap_or(0);
        Ok(Numbering { next: last.max(intent.release.number()) + 1, same_from: intent.built_from })
    }

    /// Keeps the order for a release, unless it serves already.
    async fn order(&self, mut intent: Intent, wish: Wish) -> Result<DeployAccepted, Problem> {
        let journal = self.store.last_entry().await.map_err(kept_not)?;
        let known = Known::read(&*self.store).await.map_err(kept_not)?;
        let under_way = known.roster.deployment.as_ref().is_some_and(|deployment| !deployment.is_over());
        let serves = known.roster.live.as_ref() == Some(&wish.release) && !under_way;
        let Wish { release, kind, by, reference, warnings } = wish;
        let number = if serves { intent.deploy.number } else { intent.deploy.number.next() };
        if !serves {
            intent.deploy = DeployOrder { number, kind, by: by.clone(), at_unix_ms: clock::unix_ms() };
            intent.release = release.clone();
            self.keep_order(&intent, reference.clone()).await?;
            self.store.put_intent(&intent, None).await.map_err(kept_not)?;
            let verb = match kind {
                DeployKind::Rollback => "rollback",
                DeployKind::Promote => "promote",
                DeployKind::Up | DeployKind::Deploy => "deploy",
            };
            let text = format!("deployment {number}: release {release}");
            self.asked(text, format!("stoa {verb} {reference}, by {by}")).await?;
        }
        Ok(DeployAccepted { number, release, unchanged: serves, warnings, journal })
    }

    /// Keeps that `intent.deploy` was asked for.
    pub(super) async fn keep_order(&self, intent: &Intent, reference: String) -> Result<(), Problem> {
        let DeployOrder { number, kind, by, at_unix_ms } = intent.deploy.clone();
        let release = intent.release.clone();
        let record =
            DeployRecord { number, release, kind, by, reference, at_unix_ms, ended: false, failed: None };
        self.store.put_deployment(&record).await.map_err(kept_not)
    }

    /// One deployment at a time; the same release again is not another one.
    pub(super) async fn refuse_while_deploying(
        &self,
        intent: &Intent,
        same: Option<&ReleaseId>,
    ) -> Result<(), Problem> {
        let (roster, _) = self.store.decided().await.map_err(kept_not)?;
        let order = &intent.deploy;
        let of_it = roster.deployment.as_ref().filter(|deployment| deployment.number == order.number);
        // An order that no decision was made about yet is under way too.
        let begun = of_it.is_some() || order.number.0 == 0;
        let over = begun && of_it.is_none_or(Deployment::is_over);
        if over || same == Some(&intent.release) {
            return Ok(());
        }
        let stage = of_it.map_or("just asked for", |deployment| deployment.phase.word());
        let ago = stoa_model::Millis(clock::unix_ms().saturating_sub(order.at_unix_ms));
        Err(Problem {
            what: format!("deployment {} of release {} is under way", order.number, intent.release),
            why: format!("{} asked for it {ago} ago, and it is {stage}; one is done at a time", order.by),
            next: "follow it: stoa status, or take it back: stoa rollback".to_owned(),
        })
    }

    /// What served before: of a deployment under way its old release, else the last good one before.
    async fn last_good(&self, known: &Known) -> Result<ReleaseId, Problem> {
        let built = |release: &ReleaseId| state_of(known, release) == Some(&ReleaseState::Built);
        let live = known.roster.live.as_ref();
        if let Some(deployment) = &known.roster.deployment
            && !matches!(deployment.phase, Phase::Failed(_))
            && let Some(from) = deployment.from.clone().filter(|from| *from != deployment.to)
            && built(&from)
        {
            return Ok(from);
        }
        let records = self.store.deployments().await.map_err(kept_not)?;
        let good = records.into_iter().filter(|record| record.ended && record.failed.is_none());
        let mut candidates = good.map(|record| record.release);
        candidates.find(|release| live != Some(release) && built(release)).ok_or_else(|| Problem {
            what: "there is nothing to go back to".to_owned(),
            why: "no other release has served and is still built".to_owned(),
            next: "see what there is: stoa releases".to_owned(),
        })
    }

    /// The release that serves in another environment's state folder.
    async fn runs_in(
        &self,
        other: &Paths,
        request: &PromoteRequest,
        intent: &Intent,
    ) -> Result<ReleaseId, Problem> {
        let name = &request.environment;
        let nothing = |why: String| Problem {
            what: format!("{name} runs nothing that could be promoted"),
            why,
            next: format!("bring it up first: stoa -e {name} up"),
        };
        if !other.database().exists() {
            return Err(nothing(format!("{} holds no site", other.root().display())));
        }
        let store = SqliteStore::open(&other.database()).map_err(kept_not)?;
        let theirs = store.intent().await.map_err(kept_not)?;
        let Some(theirs) = theirs.filter(|theirs| theirs.site.name == intent.site.name) else {
            return Err(nothing(format!(
                "{} is not of the site {}",
                other.root().display(),
                intent.site.name
            )));
        };
        if builds_otherwise(intent, &theirs.site) {
            return Err(Problem {
                what: format!("{name} builds its releases in another way than {}", intent.site.environment),
                why: "[app] build or persist differ, so that it would not be the same release".to_owned(),
                next: "give both environments the same build and persist in stoa.toml".to_owned(),
            });
        }
        let (roster, _) = store.decided().await.map_err(kept_not)?;
        if roster.deployment.as_ref().is_some_and(|deployment| !deployment.is_over()) {
            return Err(Problem {
                what: format!("a deployment is under way in {name}"),
                why: "what it runs is about to change".to_owned(),
                next: format!("wait for its end: stoa -e {name} status"),
            });
        }
        roster.live.ok_or_else(|| nothing("no release has served there yet".to_owned()))
    }
}

/// A reference from the command line, as strict as one of the file.
fn checked(reference: &str) -> Result<String, Problem> {
    stoa_model::config::reference(reference).map_err(|refusal| Problem {
        what: format!("{reference:?} names no code"),
        why: refusal.reason,
        next: refusal.fix,
    })
}

fn state_of<'a>(known: &'a Known, release: &ReleaseId) -> Option<&'a ReleaseState> {
    known.observed.hosts.values().find_map(|host| host.releases.get(release))
}

fn standing(known: &Known, release: &ReleaseId, record: Option<&DeployRecord>) -> ReleaseStanding {
    let deploying = known.roster.deployment.as_ref().filter(|deployment| !deployment.is_over());
    if deploying.is_some_and(|deployment| deployment.to == *release) {
        return ReleaseStanding::Deploying;
    }
    if known.roster.live.as_ref() == Some(release) {
        return ReleaseStanding::Live;
    }
    let failed = record.is_some_and(|record| record.failed.is_some());
    match state_of(known, release) {
        Some(ReleaseState::Built) if failed => ReleaseStanding::Failed,
        Some(ReleaseState::Built) => ReleaseStanding::Built,
        Some(ReleaseState::Taken) => ReleaseStanding::Taken,
        Some(ReleaseState::Failed { .. }) => ReleaseStanding::Failed,
        None => ReleaseStanding::Removed,
    }
}
