use super::*;
use std::os::unix::fs::symlink;
use std::process::Command;
use stoa_model::Millis;
use tempfile::TempDir;

/// A folder with a repository, and a state folder beside it.
struct World {
    root: TempDir,
    paths: Paths,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let paths = Paths::new(root.path().join("state"));
        fs::create_dir_all(root.path().join("repo")).unwrap();
        World { root, paths }
    }

    fn committed() -> Self {
        let world = World::new();
        world.git(&["init", "-q", "-b", "main"]);
        world.write("app.py", "print(1)\n");
        world.write("shop/index.html", "<h1>shop</h1>\n");
        world.commit();
        world
    }

    fn repo(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.repo().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.repo())
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn take(
        &self,
        folder: &str,
        reference: &str,
        number: u32,
        known: &[ReleaseId],
    ) -> Result<Taken, SourceError> {
        take(&source(SourceLocation::Folder(self.repo().join(folder)), reference), number, known, &self.paths)
            .await
    }

    async fn url(&self, url: &str, reference: &str) -> Result<Taken, SourceError> {
        take(&source(SourceLocation::Url(url.to_owned()), reference), 1, &[], &self.paths).await
    }

    /// The files of a release and what is in them; a link as `-> target`.
    fn files(&self, release: &ReleaseId) -> Vec<(String, String)> {
        let mut tar = tar::Archive::new(File::open(self.paths.source(release)).unwrap());
        let mut files = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            if let Some(target) = entry.link_name().unwrap() {
                text = format!("-> {}", target.display());
            } else if entry.header().entry_type() == tar::EntryType::Regular {
                std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            } else {
                continue;
            }
            files.push((path, text));
        }
        files.sort();
        files
    }

    fn names(&self, release: &ReleaseId) -> Vec<String> {
        self.files(release).into_iter().map(|(name, _)| name).collect()
    }
}

fn source(location: SourceLocation, reference: &str) -> Source {
    Source { location, reference: reference.to_owned(), build: None, build_timeout: Millis::from_secs(60) }
}

#[tokio::test]
async fn a_repository_gives_the_files_of_the_commit() {
    let world = World::committed();
    let first = world.git(&["rev-parse", "HEAD"]);
    let taken = world.take("", "HEAD", 1, &[]).await.unwrap();
    assert_eq!(taken.release.to_string(), format!("1-{}", &first[..7]));
    assert_eq!((taken.commit.as_str(), taken.reused), (first.as_str(), false));
    assert_eq!(taken.warnings, Vec::<String>::new());
    assert_eq!(world.names(&taken.release), ["app.py", "shop/index.html"]);

    world.write("app.py", "print(2)\n");
    world.git(&["tag", "v1"]);
    world.commit();
    for reference in ["v1", &first, &first[..10], "HEAD~1"] {
        let old = world.take("", reference, 2, &[]).await.unwrap();
        assert_eq!(old.commit, first, "{reference}");
        assert_eq!(world.files(&old.release)[0].1, "print(1)\n");
    }
    let new = world.take("", "main", 3, &[]).await.unwrap();
    assert_eq!(world.files(&new.release)[0].1, "print(2)\n");
}

#[tokio::test]
async fn a_folder_inside_a_repository_gives_its_sub_tree() {
    let world = World::committed();
    let taken = world.take("shop", "HEAD", 1, &[]).await.unwrap();
    assert_eq!(world.files(&taken.release), [("index.html".to_owned(), "<h1>shop</h1>\n".to_owned())]);
    // An untracked one beside it: nothing of it is in any commit.
    world.write("new/index.php", "<?php");
    let taken = world.take("new", "HEAD", 2, &[]).await.unwrap();
    assert_eq!(world.names(&taken.release), ["index.php"]);
    assert!(taken.warnings[0].contains("no file of it is committed"), "{:?}", taken.warnings);
    let error = world.take("new", "main", 3, &[]).await.unwrap_err().to_string();
    assert!(error.contains("new is not part of \"main\""), "{error}");
}

#[tokio::test]
async fn uncommitted_changes_are_counted_and_left_out() {
    let world = World::committed();
    world.write("app.py", "print('draft')\n");
    world.write("a", "");
    world.write("b", "");
    let taken = world.take("", "HEAD", 1, &[]).await.unwrap();
    assert_eq!(taken.warnings, ["3 uncommitted changes are not part of the release"]);
    assert_eq!(world.files(&taken.release)[0].1, "print(1)\n");
    // Only what concerns the folder.
    let taken = world.take("shop", "HEAD", 2, &[]).await.unwrap();
    assert_eq!(taken.warnings, Vec::<String>::new());
    world.write("shop/c", "");
    let taken = world.take("shop", "HEAD", 3, &[]).await.unwrap();
    assert_eq!(taken.warnings, ["1 uncommitted change is not part of the release"]);
    world.write(".gitmodules", "");
    world.commit();
    let taken = world.take("", "HEAD", 4, &[]).await.unwrap();
    assert!(taken.warnings[0].starts_with("submodules"), "{:?}", taken.warnings);
}

#[tokio::test]
async fn what_git_does_not_know_is_copied_and_told_by_its_content() {
    let world = World::new();
    for (path, text) in [
        ("app.py", "x"),
        ("package.json", "{}"),
        ("node_modules/a/index.js", "y"),
        ("lib/__pycache__/m.pyc", "y"),
        (".venv/pyvenv.cfg", "y"),
        ("target/kept", "x"),
        (".env", "x"),
    ] {
        world.write(path, text);
    }
    symlink("../app.py", world.repo().join("lib/link")).unwrap();
    symlink("/etc/passwd", world.repo().join("out")).unwrap();
    symlink("lib/../../state", world.repo().join("climbs")).unwrap();
    let first = world.take("", "HEAD", 1, &[]).await.unwrap();
    assert_eq!(world.names(&first.release), [".env", "app.py", "lib/link", "package.json", "target/kept"]);
    assert_eq!(first.warnings.len(), 2, "{:?}", first.warnings);
    assert!(first.warnings[1].contains("out is not part of the release: it is a link"));

    // The same content at another time is the same release; another content is not.
    world.write("app.py", "x");
    let again = world.take("", "HEAD", 2, std::slice::from_ref(&first.release)).await.unwrap();
    assert_eq!((again.release, again.reused), (first.release.clone(), true));
    world.write("app.py", "z");
    let other = world.take("", "HEAD", 2, std::slice::from_ref(&first.release)).await.unwrap();
    assert!(!other.reused && other.release.number() == 2 && other.commit != first.commit);

    // A repository without any commit is such a folder too; the state folder is never part of it.
    world.git(&["init", "-q"]);
    let paths = Paths::new(world.repo().join("state"));
    let here = source(SourceLocation::Folder(world.repo()), "HEAD");
    let unborn = take(&here, 3, &[], &paths).await.unwrap();
    assert_eq!(unborn.commit, other.commit);
    assert!(unborn.warnings[0].contains("no commit yet"), "{:?}", unborn.warnings);
}

#[tokio::test]
async fn the_same_commit_is_taken_once() {
    let world = World::committed();
    let first = world.take("", "HEAD", 1, &[]).await.unwrap();
    let known = [first.release.clone()];
    let again = world.take("", "HEAD", 2, &known).await.unwrap();
    assert_eq!((again.release, again.reused), (first.release.clone(), true));
    assert!(!world.paths.mirror().with_file_name("part-2.tar").exists());
    // Looked at from elsewhere, as a preview does, it is the same.
    let scratch = Paths::new(world.root.path().join("scratch"));
    let here = source(SourceLocation::Folder(world.repo()), "HEAD");
    let seen = take(&here, 2, &known, &scratch).await.unwrap();
    assert_eq!((&seen.release, seen.reused), (&first.release, true));
    world.write("app.py", "print(2)\n");
    world.commit();
    assert_eq!(world.take("", "HEAD", 2, &known).await.unwrap().release.number(), 2);
}

#[tokio::test]
async fn a_url_is_mirrored() {
    let world = World::committed();
    let url = format!("file://{}", world.repo().display());
    let first = world.url(&url, "HEAD").await.unwrap();
    assert_eq!(world.names(&first.release), ["app.py", "shop/index.html"]);
    world.git(&["checkout", "-q", "-b", "feature"]);
    world.write("app.py", "print(2)\n");
    let commit = world.commit();
    world.git(&["checkout", "-q", "main"]);
    assert_eq!(world.url(&url, "feature").await.unwrap().commit, commit);
    assert_eq!(world.url(&url, "HEAD").await.unwrap().commit, first.commit);
    world.git(&["branch", "-q", "-D", "feature"]);
    let error = world.url(&url, "feature").await.unwrap_err().to_string();
    assert!(error.ends_with("has no branch, tag or commit \"feature\"; it has main"), "{error}");
    let error = world.url("file:///nowhere/at/all", "HEAD").await.unwrap_err().to_string();
    assert!(
        error.contains("git could not fetch it: fatal:") && error.ends_with("is the address right?"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reference_that_git_could_misread_is_never_given_to_it() {
    let world = World::committed();
    let long = "a".repeat(251);
    for reference in [
        "--upload-pack=touch pwned",
        "-x",
        "",
        "a b;rm",
        "a..b",
        "main@{1}",
        "$(id)",
        "`id`",
        "a\nb",
        "a\0b",
        "main:app.py",
        "*",
        "a|b",
        "a>b",
        "refs/../x",
        "'",
        "\"",
        "\\",
        "a\u{7f}",
        &long,
    ] {
        let error = world.take("", reference, 1, &[]).await.unwrap_err();
        assert!(matches!(error, SourceError::BadReference { .. }), "{reference:?}: {error}");
        let error = world.url("file:///x", reference).await.unwrap_err();
        assert!(matches!(error, SourceError::BadReference { .. }), "{reference:?}: {error}");
    }
    let error = world.take("", "mian", 1, &[]).await.unwrap_err();
    assert!(error.to_string().ends_with("has no branch, tag or commit \"mian\"; it has main"), "{error}");
}

#[tokio::test]
async fn a_url_that_could_run_something_is_never_given_to_git() {
    let world = World::new();
    let touch = world.root.path().join("pwned");
    let script = format!("ext::sh -c touch% {}", touch.display());
    for url in [
        script.as_str(),
        "ext::x",
        "--upload-pack=x",
        "-x",
        "a b;rm",
        "ftp://host/x",
        "host",
        "/folder",
        "ssh://-oProxyCommand=x/y",
        "ssh://user@-oProxyCommand=x/y",
        "-oProxyCommand=x:y",
        "user@-o:y",
        "https://host/a\nb",
        "https://host/a\0b",
        "fd::17",
        "",
    ] {
        let error = world.url(url, "HEAD").await.unwrap_err();
        assert!(matches!(error, SourceError::BadUrl { .. }), "{url:?}: {error}");
    }
    assert!(!touch.exists());
    for url in ["https://h/p@v-1", "ssh://git@h:22/p", "git@h:p/q.git", "file:///a/b", "h:p"] {
        assert!(check_url(url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn nothing_that_a_repository_names_is_run() {
    let world = World::committed();
    let touched = world.root.path().join("pwned");
    let program = world.root.path().join("program");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", touched.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.display().to_string();
    fs::create_dir_all(world.repo().join(".git/hooks")).unwrap();
    for hook in ["post-checkout", "post-index-change", "reference-transaction"] {
        symlink(&program, world.repo().join(".git/hooks").join(hook)).unwrap();
    }
    world.git(&["config", "core.fsmonitor", &program]);
    world.git(&["config", "uploadpack.packObjectsHook", &program]);
    let _ = fs::remove_file(&touched);
    world.take("", "HEAD", 1, &[]).await.unwrap();
    world.url(&format!("file://{}", world.repo().display()), "HEAD").await.unwrap();
    assert!(!touched.exists());
}

#[test]
fn credentials_of_a_url_are_shown_nowhere() {
    let url = "https://jo:s3cret@host.example/x.git";
    assert_eq!(name(&SourceLocation::Url(url.to_owned())), "https://***@host.example/x.git");
    let said = "fatal: Authentication failed for 'https://jo:s3cret@host.example/x.git/' (s3cret)";
    let shown = without_credentials(said, url);
    assert_eq!(shown, "fatal: Authentication failed for 'https://***@host.example/x.git/' (***)");
    assert_eq!(without_credentials("x", "git@host:path"), "x");
}

#[tokio::test]
async fn a_missing_folder_says_so() {
    let world = World::new();
    let error = world.take("nowhere", "HEAD", 1, &[]).await.unwrap_err().to_string();
    assert!(error.contains("repo/nowhere cannot be read: No such file or directory"), "{error}");
}

/// As root, another user's repository is read with that user's rights.
#[tokio::test]
async fn a_repository_of_another_user_is_read_as_that_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::committed();
    fs::set_permissions(world.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new("chown").args(["-R", "65534:65534"]).arg(world.repo()).status().unwrap();
    assert!(status.success());
    let taken = world.take("shop", "HEAD", 1, &[]).await.unwrap();
    assert_eq!(world.names(&taken.release), ["index.html"]);
}
