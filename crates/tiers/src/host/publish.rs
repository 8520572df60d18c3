//! Which releases nginx looks for static files in: links that are swapped, never a configuration.
//!
//! nginx looks through them one after the other, so what it serves is what any of them holds. While they are
//! changed, a release that was looked through and will be is behind one of them at every moment; where they
//! only trade places, a spare link, the last that nginx knows, holds one of them meanwhile.

use super::error::FileError;
use super::files::{remove_file, swap_link};
use std::time::Duration;
use stoa_model::plan::STATIC_ROOTS;
use stoa_model::{Paths, ReleaseId};

/// nginx's look through the links, which takes microseconds, must not meet both ends of a move.
const LOOKED_THROUGH: Duration = Duration::from_millis(10);

/// Lets nginx look for static files in `releases`, in this order, and in nothing else; at most
/// [`STATIC_ROOTS`] of them.
pub async fn publish(paths: &Paths, releases: &[ReleaseId]) -> Result<(), FileError> {
    let wanted = releases.get(..STATIC_ROOTS).unwrap_or(releases);
    let mut moves = 0;
    while let Some((place, release)) = next(&links(paths), wanted) {
        if moves > 0 {
            tokio::time::sleep(LOOKED_THROUGH).await;
        }
        swap_link(&paths.static_root(place), &paths.release(&release))?;
        moves += 1;
    }
    if moves > 0 && links(paths).iter().skip(wanted.len()).any(Option::is_some) {
        tokio::time::sleep(LOOKED_THROUGH).await;
    }
    for place in wanted.len()..=STATIC_ROOTS {
        remove_file(&paths.static_root(place))?;
    }
    Ok(())
}

/// The releases that nginx looks for static files in, in this order.
pub fn published(paths: &Paths) -> Vec<ReleaseId> {
    links(paths).into_iter().take(STATIC_ROOTS).map_while(|release| release).collect()
}

/// What each link leads to, the spare one last.
fn links(paths: &Paths) -> Vec<Option<ReleaseId>> {
    let at = |place| std::fs::read_link(paths.static_root(place)).ok()?.file_name()?.to_str()?.parse().ok();
    (0..=STATIC_ROOTS).map(at).collect()
}

/// The next link to swap, and to what; `None` when all that are wanted are right.
fn next(now: &[Option<ReleaseId>], wanted: &[ReleaseId]) -> Option<(usize, ReleaseId)> {
    let holds = |place: usize| now.get(place).and_then(Option::as_ref);
    let wrong: Vec<usize> = (0..wanted.len()).filter(|place| holds(*place) != wanted.get(*place)).collect();
    let elsewhere = |place: usize, release: &ReleaseId| {
        now.iter().enumerate().any(|(other, found)| other != place && found.as_ref() == Some(release))
    };
    // What it leads to now is not wanted, or can be found behind another one too. The last ones first: then a
    // release that moves down is behind two of them for a while, and nowhere is the front missing.
    let free = |place: &&usize| {
        holds(**place).is_none_or(|release| !wanted.contains(release) || elsewhere(**place, release))
    };
    match wrong.iter().rev().find(free) {
        Some(place) => Some((*place, wanted.get(*place)?.clone())),
        // They trade places: one of them waits behind the spare link.
        None => Some((STATIC_ROOTS, holds(*wrong.first()?)?.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(letter: char) -> ReleaseId {
        ReleaseId::new(u32::from(letter), "aaaaaaa").unwrap()
    }

    fn releases(text: &str) -> Vec<ReleaseId> {
        text.chars().map(release).collect()
    }

    /// Every list of up to four of six releases.
    fn all() -> Vec<Vec<ReleaseId>> {
        let mut lists = vec![String::new()];
        let mut from = 0;
        for _ in 0..STATIC_ROOTS {
            let to = lists.len();
            for at in from..to {
                let short = lists[at].clone();
                let more = "abcdef".chars().filter(|letter| !short.contains(*letter));
                lists.extend(more.map(|letter| format!("{short}{letter}")));
            }
            from = to;
        }
        lists.iter().map(|text| releases(text)).collect()
    }

    #[test]
    fn no_release_that_stays_is_missing_at_any_moment_of_any_change() {
        let lists = all();
        let mut changes = 0;
        for from in &lists {
            for to in lists.iter().filter(|to| !to.is_empty()) {
                let mut now: Vec<Option<ReleaseId>> = from.iter().cloned().map(Some).collect();
                now.resize(STATIC_ROOTS + 1, None);
                let stay: Vec<_> = from.iter().filter(|release| to.contains(release)).collect();
                let mut moves = 0;
                while let Some((place, release)) = next(&now, to) {
                    now[place] = Some(release);
                    moves += 1;
                    assert!(
                        stay.iter().all(|one| now.contains(&Some((*one).clone()))),
                        "{from:?} {to:?} {now:?}"
                    );
                    assert!(moves <= STATIC_ROOTS + 2, "{from:?} {to:?}");
                }
                let front: Vec<_> = now.iter().take(to.len()).flatten().cloned().collect();
                assert_eq!(&front, to);
                changes += 1;
            }
        }
        assert!(changes > 200_000);
    }

    #[tokio::test]
    async fn links_are_set_read_back_and_removed_beyond_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        std::fs::create_dir(paths.run()).unwrap();
        assert_eq!(published(&paths), []);
        for list in ["a", "ba", "cba", "dcba", "edcb", "dceb", "a", "ab"] {
            let list = releases(list);
            publish(&paths, &list).await.unwrap();
            assert_eq!(published(&paths), list);
            let links = std::fs::read_dir(paths.run()).unwrap().count();
            assert_eq!(links, list.len(), "neither spare nor old ones are left");
        }
        // A publishing that was killed in the middle is finished by the next.
        swap_link(&paths.static_root(STATIC_ROOTS), &paths.release(&release('z'))).unwrap();
        swap_link(&paths.static_root(0), &paths.release(&release('b'))).unwrap();
        assert_eq!(published(&paths), releases("bb"));
        publish(&paths, &releases("ab")).await.unwrap();
        assert_eq!(published(&paths), releases("ab"));
        assert!(std::fs::read_link(paths.static_root(STATIC_ROOTS)).is_err());
        // More than there is room for.
        publish(&paths, &releases("abcdef")).await.unwrap();
        assert_eq!(published(&paths), releases("abcd"));
    }
}
