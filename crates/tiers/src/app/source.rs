//! Takes the code of a release from its source: resolves the reference to a commit and keeps that
//! commit's files as one tar.
//!
//! Builds nothing and runs nothing that the source contains. A folder inside a repository gives the
//! files of the commit, not of the work tree; a folder that git does not know is copied as it is.

use super::folder;
use super::git::Git;
use crate::host::error::FileError;
use crate::tool::{Ended, ToolError, printable};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stoa_model::site::{Source, SourceLocation};
use stoa_model::{Paths, ReleaseId};

/// A slow line may need it; a server that never answers must not hold `up` for ever.
const FETCH_TIMEOUT: Duration = Duration::from_secs(300);

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The release: a new one, or the newest known one that was made from the same commit.
    pub release: ReleaseId,
    /// The whole hash of the commit, or the digest of the folder's content.
    pub commit: String,
    /// Nothing new was taken.
    pub reused: bool,
    /// What the user may have expected in the release and will not find.
    pub warnings: Vec<String>,
}

/// The code could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A reference that is never given to git.
    #[error("[app] ref = {reference:?} is refused: {why}; name a branch, a tag or a commit")]
    BadReference {
        /// As written.
        reference: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A URL that is never given to git.
    #[error("[app] source = {url:?} is refused: {why}")]
    BadUrl {
        /// Without its credentials.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such folder, or not ours to read.
    #[error("[app] source: the folder {folder} cannot be read: {error}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{origin} has no branch, tag or commit {reference:?}{}", near_text(.near))]
    UnknownReference {
        /// The source, without credentials.
        origin: String,
        /// As written.
        reference: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// The folder is not part of the commit.
    #[error(
        "the folder {folder} is not part of {reference:?} in its repository; commit it there, or take \
         another ref"
    )]
    NotInCommit {
        /// Which.
        folder: PathBuf,
        /// As written.
        reference: String,
    },
    /// Git failed.
    #[error("{origin}: git could not {verb}: {said}{hint}")]
    Git {
        /// The source, without credentials.
        origin: String,
        /// What it was asked to do.
        verb: &'static str,
        /// Its own words, without credentials.
        said: String,
        /// What to do, where that is known.
        hint: &'static str,
    },
    /// Git could not be run to its end.
    #[error("{origin}: {error}")]
    Tool {
        /// The source, without credentials.
        origin: String,
        /// Why.
        error: ToolError,
    },
    /// The state folder could not be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// Takes the code of `source` as the release `number`, unless one of the `known` releases, whose sources
/// are there, is made from the same commit: then the newest of those is returned, even if its build failed
/// ([`super::build::forgive`]). A caller whose build settings changed since gives no `known` ones.
pub async fn take(
    source: &Source,
    number: u32,
    known: &[ReleaseId],
    paths: &Paths,
) -> Result<Taken, SourceError> {
    check_reference(&source.reference)?;
    let sources = paths.mirror().parent().map_or_else(|| paths.root().to_owned(), Path::to_owned);
    make_folder(&sources)?;
    let take = Take { source, number, known, paths, origin: name(&source.location) };
    match &source.location {
        SourceLocation::Folder(folder) => take.folder(folder).await,
        SourceLocation::Url(url) => take.url(url).await,
    }
}

/// The folder of sources, which is nobody else's to read.
pub(super) fn make_folder(sources: &Path) -> Result<(), FileError> {
    let made = fs::create_dir_all(sources)
        .and_then(|()| fs::set_permissions(sources, fs::Permissions::from_mode(0o700)));
    made.map_err(FileError::at("make the folder", sources))
}

struct Take<'a> {
    source: &'a Source,
    number: u32,
    known: &'a [ReleaseId],
    paths: &'a Paths,
    origin: String,
}

impl Take<'_> {
    async fn folder(&self, folder: &Path) -> Result<Taken, SourceError> {
        if let Err(error) = fs::read_dir(folder) {
            return Err(SourceError::Folder { folder: folder.to_owned(), error });
        }
        let Some(git) = Git::of_folder(folder) else { return self.copy(folder, None).await };
        let asked = ["rev-parse", "--is-bare-repository", "--show-prefix"];
        let place = self.ok("find the repository", git.run(asked).await)?;
        let text = place.text();
        let (bare, prefix) = text.split_once('\n').unwrap_or((&text, ""));
        let reference = &self.source.reference;
        let Some(commit) = git.commit(reference).await.map_err(|error| self.tool(error))? else {
            if reference == "HEAD" {
                let why = "its repository has no commit yet: the folder is taken as it is".to_owned();
                return self.copy(folder, Some(why)).await;
            }
            return Err(self.unknown(&git).await);
        };
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !git.holds(&commit, prefix).await.map_err(|error| self.tool(error))? {
            if reference != "HEAD" {
                let reference = reference.clone();
                return Err(SourceError::NotInCommit { folder: folder.to_owned(), reference });
            }
            let why = "no file of it is committed in the repository around it: the folder is taken as it is";
            return self.copy(folder, Some(why.to_owned())).await;
        }
        let mut warnings = self.submodules(&git, &commit).await?;
        let at_head = git.commit("HEAD").await.map_err(|error| self.tool(error))?.as_ref() == Some(&commit);
        if at_head && bare != "true" {
            warnings.extend(self.dirty(&git).await?);
        }
        // Of a folder inside a repository the last commit that changed it: what others do beside it makes
        // no new release.
        let commit = match prefix.is_empty() {
            true => commit,
            false => git.last_change(&commit).await.map_err(|error| self.tool(error))?.unwrap_or(commit),
        };
        self.archive(&git, &commit, warnings).await
    }

    async fn url(&self, url: &str) -> Result<Taken, SourceError> {
        check_url(url)?;
        let mirror = self.paths.mirror();
        let sources = mirror.parent().unwrap_or(self.paths.root());
        let made =
            Git::own(sources).run(["init", "--quiet", "--bare", "--template=", "--", "mirror.git"]).await;
        self.ok("make its mirror", made)?;
        let git = Git::own(&mirror);
        let head = self.source.reference == "HEAD";
        let mut arguments: Vec<OsString> = [
            "fetch",
            "--quiet",
            "--prune",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        ]
        .map(OsString::from)
        .into();
        if head {
            arguments.push("+HEAD:refs/stoa/head".into());
        }
        self.ok("fetch it", git.run_remote(arguments, FETCH_TIMEOUT).await)?;
        let revision = if head { "refs/stoa/head" } else { &self.source.reference };
        let Some(commit) = git.commit(revision).await.map_err(|error| self.tool(error))? else {
            return Err(self.unknown(&git).await);
        };
        let warnings = self.submodules(&git, &commit).await?;
        self.archive(&git, &commit, warnings).await
    }

    async fn archive(&self, git: &Git, commit: &str, warnings: Vec<String>) -> Result<Taken, SourceError> {
        if let Some(release) = self.same(commit) {
            return Ok(Taken { release, commit: commit.to_owned(), reused: true, warnings });
        }
        let (release, part) = self.part(commit)?;
        let file = File::create(&part).map_err(FileError::at("write", &part))?;
        let output = file.try_clone().map_err(FileError::at("write", &part))?;
        let done = git.run_to(output, ["archive", "--format=tar", commit]).await;
        if let Err(error) = self.ok("archive the commit", done) {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        self.keep(&part, &file, &release)?;
        Ok(Taken { release, commit: commit.to_owned(), reused: false, warnings })
    }

    /// A folder that git does not know, or knows nothing of.
    async fn copy(&self, folder: &Path, why: Option<String>) -> Result<Taken, SourceError> {
        let part = self.paths.mirror().with_file_name(format!("part-{}.tar", self.number));
        let file = File::create(&part).map_err(FileError::at("write", &part))?;
        let output = file.try_clone().map_err(FileError::at("write", &part))?;
        let (from, except) = (folder.to_owned(), self.paths.root().to_owned());
        let copied = tokio::task::spawn_blocking(move || folder::copy(&from, &except, output)).await;
        let copied = copied.map_err(|error| FileError::new("write", &part, error))?;
        let copied = copied.map_err(|(folder, error)| {
            let _ = fs::remove_file(&part);
            match error.kind() {
                // Nobody reads that from a disk.
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    FileError::new("write", &part, error).into()
                }
                _ => SourceError::Folder { folder, error },
            }
        })?;
        let warnings = why.into_iter().chain(copied.warnings).collect();
        if let Some(release) = self.same(&copied.digest) {
            fs::remove_file(&part).map_err(FileError::at("remove", &part))?;
            return Ok(Taken { release, commit: copied.digest, reused: true, warnings });
        }
        let (release, _) = self.part(&copied.digest)?;
        self.keep(&part, &file, &release)?;
        Ok(Taken { release, commit: copied.digest, reused: false, warnings })
    }

    /// The newest known release that is made from `commit`.
    fn same(&self, commit: &str) -> Option<ReleaseId> {
        let of_it = self.known.iter().filter(|release| commit.starts_with(release.commit()));
        of_it.max_by_key(|release| release.number()).cloned()
    }

    /// The new release and where its source is written before it is whole.
    fn part(&self, commit: &str) -> Result<(ReleaseId, PathBuf), SourceError> {
        let release = ReleaseId::new(self.number, commit).map_err(|error| SourceError::Git {
            origin: self.origin.clone(),
            verb: "name the commit",
            said: error.to_string(),
            hint: "",
        })?;
        Ok((release, self.paths.mirror().with_file_name(format!("part-{}.tar", self.number))))
    }

    fn keep(&self, part: &Path, file: &File, release: &ReleaseId) -> Result<(), SourceError> {
        let path = self.paths.source(release);
        let kept = file.sync_all().and_then(|()| fs::rename(part, &path)).and_then(|()| {
            let folder = path.parent().unwrap_or(self.paths.root());
            File::open(folder)?.sync_all()
        });
        Ok(kept.map_err(FileError::at("write", &path))?)
    }

    async fn submodules(&self, git: &Git, commit: &str) -> Result<Vec<String>, SourceError> {
        let has = git.holds(commit, ".gitmodules").await.map_err(|error| self.tool(error))?;
        let warning = "submodules are not part of the release; add their files to the repository".to_owned();
        Ok(has.then_some(warning).into_iter().collect())
    }

    async fn dirty(&self, git: &Git) -> Result<Option<String>, SourceError> {
        let asked = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames", "--", "."];
        let status = self.ok("compare the work tree", git.run(asked).await)?;
        let count = status.stdout.split(|b| *b == 0).filter(|entry| !entry.is_empty()).count();
        Ok((count > 0).then(|| match count {
            1 => "1 uncommitted change is not part of the release".to_owned(),
            n => format!("{n} uncommitted changes are not part of the release"),
        }))
    }

    async fn unknown(&self, git: &Git) -> SourceError {
        let asked = ["for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes"];
        let names = git.run(asked).await.map(|ended| ended.text()).unwrap_or_default();
        let near = near(&self.source.reference, names.lines());
        let reference = self.source.reference.clone();
        SourceError::UnknownReference { origin: self.origin.clone(), reference, near }
    }

    fn ok(&self, verb: &'static str, ended: Result<Ended, ToolError>) -> Result<Ended, SourceError> {
        let ended = ended.map_err(|error| self.tool(error))?;
        if ended.status.success() {
            return Ok(ended);
        }
        let said = match &self.source.location {
            SourceLocation::Url(url) => without_credentials(&ended.complaint(), url),
            SourceLocation::Folder(_) => ended.complaint(),
        };
        let hint = hint(&String::from_utf8_lossy(&ended.stderr));
        Err(SourceError::Git { origin: self.origin.clone(), verb, said, hint })
    }

    fn tool(&self, error: ToolError) -> SourceError {
        SourceError::Tool { origin: self.origin.clone(), error }
    }
}

/// Refuses what git could take for something else than a name. The configuration has refused it before;
/// a release may be asked for by other ways too.
fn check_reference(reference: &str) -> Result<(), SourceError> {
    let usual = |c: char| c.is_alphanumeric() || "._/+@=#,~^-".contains(c);
    let why = if reference.is_empty() || reference.len() > 250 {
        "it must have 1 to 250 characters"
    } else if reference.starts_with('-') {
        "git would take it for an option"
    } else if reference.contains("..") || reference.contains("@{") {
        "it names a range or a log entry, not one commit"
    } else if !reference.chars().all(usual) {
        "it holds a character that no branch should have"
    } else {
        return Ok(());
    };
    Err(SourceError::BadReference { reference: reference.to_owned(), why })
}

/// Refuses what would make git run something or read an option.
fn check_url(url: &str) -> Result<(), SourceError> {
    const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];
    let (host, known) = match url.split_once("://") {
        Some((scheme, rest)) => (rest, SCHEMES.contains(&scheme)),
        // user@host:path
        None => {
            (url, url.split_once(':').is_some_and(|(host, path)| !host.contains('/') && !path.is_empty()))
        }
    };
    let authority = host.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let why = if url.starts_with('-') || host.starts_with('-') {
        "git or ssh would take it for an option"
    } else if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "it holds a blank or a control character; write blanks as %20"
    } else if url.split('/').next().is_some_and(|start| start.contains("::")) {
        "it names a helper program for git to run"
    } else if !known {
        "its scheme is none of https, http, ssh, git, file, nor is it user@host:path"
    } else {
        return Ok(());
    };
    Err(SourceError::BadUrl { url: without_credentials(url, url), why })
}

/// The source as it may be shown and logged.
fn name(location: &SourceLocation) -> String {
    match location {
        SourceLocation::Folder(folder) => folder.display().to_string(),
        SourceLocation::Url(url) => printable(&without_credentials(url, url)),
    }
}

/// `text` with what stands before the `@` of `url` made unreadable, in all of its parts.
fn without_credentials(text: &str, url: &str) -> String {
    let Some((_, rest)) = url.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return text.to_owned() };
    let hidden = text.replace(user, "***");
    match user.split_once(':') {
        Some((_, password)) if !password.is_empty() => hidden.replace(password, "***"),
        _ => hidden,
    }
}

fn hint(said: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["could not read Username", "Authentication failed", "Permission denied", "terminal prompts"]) {
        "; it wants credentials: use an ssh deploy key or a URL with a token"
    } else if says(&["Could not resolve host", "Connection refused", "Connection timed out"]) {
        "; is the host name right, and the network up?"
    } else if says(&["not found", "does not appear to be a git repository", "does not exist"]) {
        "; is the address right?"
    } else if says(&["dubious ownership"]) {
        "; the repository belongs to another user: run stoa as that user, or change its owner"
    } else if says(&["Host key verification failed"]) {
        "; connect once with ssh by hand to accept the host's key"
    } else if says(&["No space left"]) {
        "; the disk is full"
    } else {
        ""
    }
}

/// Names like `wanted`, the likest first, else a few of those there are.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> = names
        .filter(|name| !name.ends_with("/HEAD") && *name != "origin")
        .map(|name| (strsim::levenshtein(wanted, name), name))
        .collect();
    ranked.sort_unstable();
    let alike = ranked.iter().filter(|(distance, _)| *distance <= wanted.len().div_ceil(2)).count();
    let shown = if alike > 0 { alike.min(3) } else { 5 };
    ranked.into_iter().take(shown).map(|(_, name)| printable(name)).collect()
}

fn near_text(near: &[String]) -> String {
    match near {
        [] => "; it has none at all yet".to_owned(),
        names => format!("; it has {}", names.join(", ")),
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
