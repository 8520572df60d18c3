//! Sources and releases as the operator asks for them: taken, looked at, taken over from another
//! environment.

use super::Hands;
use crate::api::types::{Environment, Problem};
use stoa_model::observed::ReleaseState;
use stoa_model::{Paths, ReleaseId, Site, Spec, Tier};
use stoa_tiers::app;
use stoa_tiers::host::launch::RunAs;
use stoa_tiers::host::listeners;

/// How releases are numbered, and which of them are as good as new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbering {
    /// The least number of a new release; used ones are known from the list of deployments.
    pub(crate) next: u32,
    /// Releases with a lower number were built in another way.
    pub(crate) same_from: u32,
}

/// A source as it was taken for a release.
pub(crate) struct TakenRelease {
    /// Which.
    pub(crate) release: ReleaseId,
    /// What the user may miss in it.
    pub(crate) warnings: Vec<String>,
}

impl Hands {
    /// Listens where visitors are to connect, before anything else is asked of the machine.
    pub(crate) async fn claim_faces(&self, site: &Site) -> Result<(), String> {
        listeners::check_socket_path(&self.paths.app_face()).map_err(|error| error.to_string())?;
        self.faces.web(site.balancer.listen).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Takes the source as it is now.
    pub(crate) async fn take_source(
        &self,
        site: &Site,
        numbering: Numbering,
    ) -> Result<TakenRelease, Box<Problem>> {
        let releases = app::build::observe(&self.paths);
        let (known, number) = numbering.among(&self.paths);
        let taken = app::take(&site.source, number, &known, &self.paths).await.map_err(source_problem)?;
        // The operator asks again: a build that failed is tried again.
        if matches!(releases.get(&taken.release), Some(ReleaseState::Failed { .. })) {
            app::build::forgive(&taken.release, &self.paths).map_err(|error| {
                Box::new(Problem::from_text(
                    "the failed build cannot be removed",
                    error.to_string(),
                    "see that the state folder can be written",
                ))
            })?;
        }
        Ok(TakenRelease { release: taken.release, warnings: taken.warnings })
    }

    /// What `take_source` would take now; nothing is kept of it.
    pub(crate) async fn would_take(
        &self,
        site: &Site,
        numbering: Numbering,
    ) -> Result<TakenRelease, Box<Problem>> {
        would_take(&self.paths, site, numbering).await
    }

    /// Takes over the source of another environment's release; what it is called here.
    pub(crate) async fn adopt(
        &self,
        other: &Paths,
        theirs: &ReleaseId,
        numbering: Numbering,
    ) -> Result<ReleaseId, String> {
        let (_, number) = numbering.among(&self.paths);
        let (from, to, release) = (other.clone(), self.paths.clone(), theirs.clone());
        let work = tokio::task::spawn_blocking(move || app::promote::adopt(&from, &release, number, &to));
        let adopted = work.await.map_err(|error| error.to_string())?;
        adopted.map_err(|error| error.to_string())
    }

    /// The variables, folder and user of a command beside the application.
    pub(crate) fn environment(
        &self,
        spec: Option<&Spec>,
        release: &ReleaseId,
    ) -> Result<Environment, String> {
        let Some(Spec::App(spec)) = spec else {
            return Err("no instance of its application has a place yet".to_owned());
        };
        let user = self.users.of(RunAs::Tier(Tier::App)).map(|user| (user.uid, user.gid));
        Ok(Environment { spec: spec.clone(), directory: self.paths.release(release), user })
    }
}

/// What taking the source would take now; it is taken to a scratch folder.
pub(crate) async fn would_take(
    paths: &Paths,
    site: &Site,
    numbering: Numbering,
) -> Result<TakenRelease, Box<Problem>> {
    let scratch = tempfile::tempdir().map_err(|error| {
        Box::new(Problem::from_text(
            "the source cannot be looked at",
            error.to_string(),
            "make room in the folder for temporary files",
        ))
    })?;
    let (known, number) = numbering.among(paths);
    let taken = app::take(&site.source, number, &known, &Paths::new(scratch.path())).await;
    let taken = taken.map_err(source_problem)?;
    Ok(TakenRelease { release: taken.release, warnings: taken.warnings })
}

impl Numbering {
    /// No release that there is now was built as one would be from now on.
    pub(crate) fn anew(self) -> Self {
        Numbering { same_from: self.next, ..self }
    }

    /// The releases that may be used again, and the number of the next new one.
    fn among(self, paths: &Paths) -> (Vec<ReleaseId>, u32) {
        let releases = app::build::observe(paths);
        let last = releases.keys().map(ReleaseId::number).max().unwrap_or(0);
        let same = releases.into_keys().filter(|release| release.number() >= self.same_from).collect();
        (same, self.next.max(last + 1))
    }
}

fn source_problem(error: app::SourceError) -> Box<Problem> {
    let next = match &error {
        app::SourceError::Write(_) => "mend it, then run: stoa up",
        _ => "correct source or ref under [app] in stoa.toml, then run: stoa up",
    };
    Box::new(Problem::from_text("the source cannot be taken", error.to_string(), next))
}
