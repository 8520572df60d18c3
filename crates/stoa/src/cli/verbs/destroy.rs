//! Removes a site's state folder and the users that were made for it, and never anything else.

use crate::cli::failure::{Failure, Outcome};
use crate::cli::provide::interrupted;
use crate::cli::session::Session;
use std::path::Path;
use std::time::{Duration, Instant};
use stoa_model::{Paths, Tier};
use stoa_tiers::app::remove_tree;
use stoa_tiers::host::users;

/// How long the daemon may take to be gone after its last answer.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Refuses what does not look like a site's state, before anything is stopped for its sake.
pub(super) fn check(paths: &Paths, name: &str, file: Option<&Path>) -> Outcome<()> {
    let root = paths.root();
    if !root.exists() {
        return Ok(());
    }
    let refuse = |why: &str| {
        let next = "look at the folder, and remove by hand what you do not need";
        Err(Failure::failed(format!("{} is not removed", root.display()), why, next))
    };
    if !paths.database().is_file() {
        return refuse("it holds no state.db, so it may be no site's state");
    }
    if root.is_symlink() || root.parent().is_none() {
        return refuse("it is a link or the root of the file system");
    }
    // A state folder given by hand could hold the code itself.
    let inside = |path: &Path| path.starts_with(root);
    if file.is_some_and(inside) || std::env::current_dir().is_ok_and(|current| inside(&current)) {
        return refuse(&format!("the file of {name}, or the current folder, lies in it"));
    }
    Ok(())
}

/// Removes the folder, once no daemon holds it.
pub(super) fn destroy(paths: &Paths) -> Outcome<()> {
    let root = paths.root();
    wait_until_free(paths)?;
    let not_wholly = |error: String| {
        let next = "mend it and type the same again, or remove the folder by hand";
        Failure::failed(format!("{} could not be removed wholly", root.display()), error, next)
    };
    // Their names stand in the folder that goes.
    let names = users::Names::of(paths).map_err(|error| not_wholly(error.to_string()))?;
    remove_tree(root).map_err(|error| not_wholly(error.to_string()))?;
    remove_users(&names)
}

/// What has ended may still wait to be reaped, and belongs to its user until then.
fn remove_users(names: &users::Names) -> Outcome<()> {
    let mut session = Session::new()?;
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        match session.wait(users::remove(names)).map_err(|_| interrupted())? {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => {
                let all = Tier::ALL.map(|tier| format!("userdel {}", names.user(tier))).join("; ");
                return Err(Failure::failed(
                    "the state is removed, and not all users of the site",
                    error.to_string(),
                    format!("remove them by hand: {all}; groupdel {}", names.group()),
                ));
            }
        }
    }
}

fn wait_until_free(paths: &Paths) -> Outcome<()> {
    let Ok(lock) = std::fs::File::open(paths.lock()) else { return Ok(()) };
    let deadline = Instant::now() + GONE_WITHIN;
    while lock.try_lock().is_err() {
        if Instant::now() > deadline {
            let why = format!("its daemon still holds {}", paths.lock().display());
            return Err(Failure::failed(
                "the state is not removed",
                why,
                "see what it does: stoa logs daemon",
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
