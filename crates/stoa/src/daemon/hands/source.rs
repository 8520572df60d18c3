//! Sources and releases as the operator asks for them: taken, looked at, taken over from another
//! environment.

use super::Hands;
use crate::api::types::{Environment, Problem};
use stoa_model::observed::ReleaseState;
use stoa_model::{Paths, ReleaseId, Site, Spec, Tier};
use stoa_tiers::app;
use stoa_tiers::host::launch::RunAs;
use stoa_tiers::host::listeners;

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
    pub(crate) async fn take_source(&self, site: &Site, anew: bool) -> Result<TakenRelease, Box<Problem>> {
        let releases = app::build::observe(&self.paths);
        let (known, number) = known_releases(&self.paths, anew);
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

    /// The release that `take_source` would name now; nothing is kept of it.
    pub(crate) async fn would_take(&self, site: &Site, anew: bool) -> Result<ReleaseId, Box<Problem>> {
        would_take(&self.paths, site, anew).await
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

/// The release that taking the source would name now; it is taken to a scratch folder.
pub(crate) async fn would_take(paths: &Paths, site: &Site, anew: bool) -> Result<ReleaseId, Box<Problem>> {
    let scratch = tempfile::tempdir().map_err(|error| {
        Box::new(Problem::from_text(
            "the source cannot be looked at",
            error.to_string(),
            "make room in the folder for temporary files",
        ))
    })?;
    let (known, number) = known_releases(paths, anew);
    let taken = app::take(&site.source, number, &known, &Paths::new(scratch.path())).await;
    Ok(taken.map_err(source_problem)?.release)
}

fn known_releases(paths: &Paths, anew: bool) -> (Vec<ReleaseId>, u32) {
    let releases = app::build::observe(paths);
    let number = releases.keys().map(ReleaseId::number).max().unwrap_or(0) + 1;
    (if anew { Vec::new() } else { releases.into_keys().collect() }, number)
}

fn source_problem(error: app::SourceError) -> Box<Problem> {
    let next = match &error {
        app::SourceError::Write(_) => "mend it, then run: stoa up",
        _ => "correct source or ref under [app] in stoa.toml, then run: stoa up",
    };
    Box::new(Problem::from_text("the source cannot be taken", error.to_string(), next))
}
