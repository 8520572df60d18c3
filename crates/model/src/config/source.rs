//! Where code comes from: folders, URLs and git refs. They become arguments of `git`, so nothing is
//! accepted that git or ssh could take for an option or for a command.

use super::{Refusal, refuse};
use crate::site::SourceLocation;
use std::path::{Path, PathBuf};

const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// Reads a branch, a tag or a commit.
pub fn reference(text: &str) -> Result<String, Refusal> {
    let fix = "write a branch, a tag or a commit, such as \"main\" or \"v1.2\"";
    if text.is_empty() || text.len() > 200 {
        return Err(refuse("a ref has 1 to 200 characters", fix));
    }
    if text.starts_with('-') {
        return Err(refuse("it begins with -, so that git would take it for an option", fix));
    }
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | '@' | '#' | '=');
    if let Some(odd) = text.chars().find(|c| !plain(*c)) {
        return Err(refuse(format!("a ref cannot contain {odd:?}"), fix));
    }
    let misplaced =
        text.contains("..") || text.contains("//") || text.contains("/.") || text.contains(".lock/");
    if misplaced || text.starts_with(['/', '.']) || text.ends_with(['/', '.']) || text.ends_with(".lock") {
        return Err(refuse("git allows no such name (git-check-ref-format(1))", fix));
    }
    Ok(text.to_owned())
}

/// Reads a folder, relative to `folder`, or a URL.
pub fn location(text: &str, folder: &Path) -> Result<SourceLocation, Refusal> {
    let fix = "write a folder such as \".\", or a URL such as \"https://github.com/you/app.git\"";
    if text.is_empty() || text.len() > 1000 {
        return Err(refuse("it has 1 to 1000 characters", fix));
    }
    if text.starts_with('-') {
        return Err(refuse("it begins with -, so that git would take it for an option", fix));
    }
    if let Some(odd) = text.chars().find(|c| c.is_control()) {
        return Err(refuse(format!("it contains {odd:?}"), fix));
    }
    let is_helper = |helper: &str| helper.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if let Some((helper, _)) = text.split_once("::").filter(|(helper, _)| is_helper(helper)) {
        return Err(refuse(format!("`{helper}::` makes git run another program"), fix));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return url(text, scheme, rest);
    }
    // As git tells them apart: a colon before any slash makes `host:path`.
    if let Some((host, path)) = text.split_once(':').filter(|(host, _)| !host.contains('/')) {
        return scp_like(text, host, path);
    }
    if text.starts_with('~') {
        return Err(refuse("`~` is not expanded", "write the folder in full or relative to this file"));
    }
    Ok(SourceLocation::Folder(join(folder, Path::new(text))))
}

fn url(text: &str, scheme: &str, rest: &str) -> Result<SourceLocation, Refusal> {
    if !SCHEMES.contains(&scheme) {
        let fix = format!("the schemes are {}", SCHEMES.join(", "));
        return Err(refuse(
            format!("{:?} is no scheme that code is fetched by", super::excerpt(scheme)),
            fix,
        ));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme == "file" {
        if !authority.is_empty() || path.is_empty() {
            return Err(refuse("a file URL has three slashes", "write \"file:///srv/git/app.git\""));
        }
        return plain_address(text).map(SourceLocation::Url);
    }
    if let Some((user, host)) = authority.rsplit_once('@') {
        if user.contains(':') {
            let fix =
                "take the password out: use an ssh URL, or a credential helper of git (gitcredentials(7))";
            return Err(refuse("a password in it would be seen by everyone who reads this file", fix));
        }
        check_host(user, host)?;
    } else {
        check_host("git", authority)?;
    }
    plain_address(text).map(SourceLocation::Url)
}

fn scp_like(text: &str, authority: &str, path: &str) -> Result<SourceLocation, Refusal> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("git", authority));
    check_host(user, host)?;
    if path.is_empty() || path.starts_with('-') {
        return Err(refuse("there is no plain path after the colon", "write \"git@host:path/app.git\""));
    }
    plain_address(text).map(SourceLocation::Url)
}

/// ssh takes a user or a host that begins with `-` for an option.
fn check_host(user: &str, host: &str) -> Result<(), Refusal> {
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c) || more.contains(c))
    };
    if plain(user, "+") && plain(host, ":[]") {
        return Ok(());
    }
    Err(refuse(
        "its host is not a plain one",
        "write a host such as github.com, after user@ where it needs one",
    ))
}

fn plain_address(text: &str) -> Result<String, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@%+=,[]".contains(c);
    match text.chars().find(|c| !plain(*c)) {
        None => Ok(text.to_owned()),
        Some(odd) => {
            let fix = "write other characters percent-encoded, as in %20";
            Err(refuse(format!("a URL of a repository cannot contain {odd:?}"), fix))
        }
    }
}

/// `path` below `folder`, without the `.` in it. A `..` stays: only the file system knows where it
/// leads when a folder is a link.
fn join(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}
