use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;
use stoa_model::site::SourceLocation;
use tempfile::TempDir;

/// A folder of code and a state folder; as root the commands run as `nobody`.
struct World {
    root: TempDir,
    paths: Paths,
    site: SiteName,
    next: std::cell::Cell<u32>,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.path().join("code")).unwrap();
        let paths = Paths::new(root.path().join("state"));
        ensure_folder(paths.root(), 0o711, None).unwrap();
        World { root, paths, site: "shop".parse().unwrap(), next: std::cell::Cell::new(1) }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join("code").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn taken(&self) -> ReleaseId {
        let number = self.next.replace(self.next.get() + 1);
        let source = stoa_model::site::Source {
            location: SourceLocation::Folder(self.root.path().join("code")),
            reference: "HEAD".to_owned(),
            build: None,
            build_timeout: Millis::from_secs(60),
        };
        crate::app::take(&source, number, &[], &self.paths).await.unwrap().release
    }

    async fn build(
        &self,
        commands: &[&str],
        persist: &[&str],
        timeout: Millis,
    ) -> (ReleaseId, Result<(), BuildError>) {
        let release = self.taken().await;
        let done = self.build_release(&release, commands, persist, timeout).await;
        (release, done)
    }

    async fn build_release(
        &self,
        release: &ReleaseId,
        commands: &[&str],
        persist: &[&str],
        timeout: Millis,
    ) -> Result<(), BuildError> {
        let commands: Vec<_> = commands.iter().map(|text| CommandLine::parse(text).unwrap()).collect();
        let persist: Vec<_> = persist.iter().map(|text| InnerPath::parse(text).unwrap()).collect();
        let user = rustix::process::geteuid().is_root().then_some(Identity { uid: 65534, gid: 65534 });
        let job =
            Build { site: &self.site, release, commands: Some(&commands), persist: &persist, timeout, user };
        build(&job, &self.paths).await
    }

    fn read(&self, release: &ReleaseId, path: &str) -> String {
        fs::read_to_string(self.paths.release(release).join(path)).unwrap()
    }

    fn left(&self) -> Vec<String> {
        let mut left = names(&self.paths.releases());
        left.sort();
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A sealed release is read-only for its owner too.
        let _ = remove_tree(self.paths.root());
    }
}

const LONG: Millis = Millis::from_secs(60);

/// Runs one line of Python.
fn python(line: &str) -> String {
    format!("python3 -c \"{line}\"")
}

#[tokio::test]
async fn a_release_is_built_sealed_and_seen() {
    let world = World::new();
    world.write("bin/tool", "#!/usr/bin/python3\nopen('made', 'w').write('by the tool')\n");
    let tool = world.root.path().join("code/bin/tool");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let script =
        "import os; open('env', 'w').write(repr(sorted(os.environ.items()))); print('hello', os.getuid())";
    let (release, done) = world.build(&["tool", &python(script), "mkdir -p a/b"], &[], LONG).await;
    done.unwrap();
    assert_eq!(world.read(&release, "made"), "by the tool");
    let environment = world.read(&release, "env");
    for part in ["('STOA_SITE', 'shop')", &format!("('STOA_RELEASE', '{release}')"), "('LANG', 'C.UTF-8')"] {
        assert!(environment.contains(part), "{part} in {environment}");
    }
    assert!(!environment.contains("CARGO") && !environment.contains("DATABASE"), "{environment}");
    let folder = world.paths.release(&release);
    for (path, mode) in [("", 0o555), ("a/b", 0o555), ("made", 0o444), ("bin/tool", 0o555), (MARKER, 0o444)] {
        let found = fs::symlink_metadata(folder.join(path)).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
        assert_eq!(found.uid(), rustix::process::geteuid().as_raw(), "{path}");
    }
    let log = fs::read_to_string(world.paths.build_log(&release)).unwrap();
    assert!(log.starts_with("$ tool\n$ python3 -c import os;"), "{log}");
    if rustix::process::geteuid().is_root() {
        assert!(log.contains("hello 65534"), "{log}");
    }
    assert_eq!(observe(&world.paths), BTreeMap::from([(release.clone(), ReleaseState::Built)]));
    // Again: nothing is done.
    world.build_release(&release, &["false"], &[], LONG).await.unwrap();
    remove_tree(&folder).unwrap();
    assert_eq!(observe(&world.paths), BTreeMap::from([(release, ReleaseState::Taken)]));
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing_but_why() {
    let world = World::new();
    world.write("index.html", "x");
    let script = "import sys; print('\\x1b[31mline one', flush=True); print('the reason', file=sys.stderr); sys.exit(3)";
    let command = python(script);
    let (release, done) = world.build(&["touch made", &command, "touch never"], &[], LONG).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("ended with exit status 3: the reason; all of it is in"), "{error}");
    assert_eq!(world.left(), [format!("{release}.failed")]);
    let states = observe(&world.paths);
    let Some(ReleaseState::Failed { why, last_lines }) = states.get(&release) else { panic!("{states:?}") };
    assert!(why.ends_with("ended with exit status 3"), "{why}");
    assert_eq!(last_lines.last().unwrap(), "the reason");
    assert!(!last_lines.concat().contains('\x1b'));
    forgive(&release, &world.paths).unwrap();
    assert_eq!(observe(&world.paths)[&release], ReleaseState::Taken);
    // Asked for again, it is tried again; the note goes away with a success.
    world.build_release(&release, &["touch made"], &[], LONG).await.unwrap();
    assert_eq!(observe(&world.paths)[&release], ReleaseState::Built);
    assert_eq!(world.left(), [release.to_string()]);
}

#[tokio::test]
async fn a_program_or_a_variable_that_is_not_there_is_named() {
    let world = World::new();
    let (release, done) = world.build(&["gunicron --version"], &[], LONG).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("there is no program \"gunicron\"") && error.contains("vendor/bin"), "{error}");
    assert_eq!(world.left(), [format!("{release}.failed")]);
    let (_, done) = world.build(&["echo $DATABASE_URL"], &[], LONG).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("uses $DATABASE_URL, which nothing sets"), "{error}");
}

#[tokio::test]
async fn a_build_that_hangs_is_killed_with_all_its_children() {
    let world = World::new();
    // A child with a session of its own that ignores SIGTERM and holds the output open.
    let child = "import signal, time, os; os.setsid(); signal.signal(15, signal.SIG_IGN); open('up', 'w').close(); time.sleep(600)";
    // And one that is forked twice, so that nobody's child list names it.
    let parent = format!(
        "import os, subprocess, sys, time\nprint('waiting', flush=True)\nsubprocess.Popen([sys.executable, '-c', '''{child}'''])\n\
         if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    os.execv(sys.executable, [sys.executable, '-c', '''{child}'''])\n  os._exit(0)\n\
         time.sleep(600)\n"
    );
    world.write("hang.py", &parent);
    let started = std::time::Instant::now();
    let (release, done) = world.build(&["python3 hang.py"], &[], Millis(1500)).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("was killed: the build took longer than 1.5 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(world.left(), [format!("{release}.failed")]);
    let mark = format!("{}:{release}", world.paths.root().display());
    let alive = names(Path::new("/proc")).into_iter().any(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&mark)
    });
    assert!(!alive, "a process of the build survived it");
}

/// A build is over when its command is, even where a child has shed everything it could be known by and holds
/// the output open.
#[tokio::test]
async fn a_child_that_cannot_be_known_holds_nothing_up() {
    let world = World::new();
    let escape = world.root.path().join("escaped").display().to_string();
    let child = format!("import time; open('up', 'w').close(); time.sleep(60)  # {escape}");
    let script = format!(
        "import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    os.execve(sys.executable, [sys.executable, '-c', {child:?}], {{}})\n  os._exit(0)\n\
         while not os.path.exists('up'):\n  time.sleep(0.01)\n"
    );
    world.write("leave.py", &script);
    let started = std::time::Instant::now();
    let (release, done) = world.build(&["python3 leave.py"], &[], LONG).await;
    for pid in names(Path::new("/proc")) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&escape) {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    done.unwrap();
    assert!(started.elapsed() < Duration::from_secs(40));
    let log = fs::read_to_string(world.paths.build_log(&release)).unwrap();
    assert!(log.contains("[a process that the command left behind is not waited for]"), "{log}");
}

#[tokio::test]
async fn a_build_that_leaves_a_child_behind_is_rid_of_it() {
    let world = World::new();
    let script = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)";
    let started = std::time::Instant::now();
    world.build(&[&python(script)], &[], LONG).await.1.unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn what_a_killed_daemon_left_behind_is_removed() {
    let world = World::new();
    let release = world.taken().await;
    let folder = world.paths.release(&release);
    fs::create_dir_all(folder.join("half")).unwrap();
    assert_eq!(observe(&world.paths)[&release], ReleaseState::Taken);
    world.build_release(&release, &[], &[], LONG).await.unwrap();
    assert!(!folder.join("half").exists());
}

#[tokio::test]
async fn persistent_folders_outlive_a_release() {
    let world = World::new();
    world.write("uploads/welcome.txt", "first");
    world.write("a/b/kept", "1");
    let persist = ["uploads", "a/b", "new/one"];
    let (first, done) =
        world.build(&[&python("open('uploads/built', 'w').write('x')")], &persist, LONG).await;
    done.unwrap();
    assert_eq!(world.read(&first, "uploads/welcome.txt"), "first");
    // The running application writes; the next release brings its own copy, which does not count.
    fs::write(world.paths.persist().join("uploads/photo"), "visitor's").unwrap();
    world.write("uploads/welcome.txt", "second");
    let (second, done) = world.build(&[], &persist, LONG).await;
    done.unwrap();
    for release in [&first, &second] {
        assert_eq!(world.read(release, "uploads/photo"), "visitor's");
        assert_eq!(world.read(release, "uploads/welcome.txt"), "first");
        assert_eq!(world.read(release, "uploads/built"), "x");
        assert_eq!(world.read(release, "a/b/kept"), "1");
        let link = fs::read_link(world.paths.release(release).join("new/one")).unwrap();
        assert_eq!(link, world.paths.persist().join("new/one"));
        let kept = fs::metadata(&link).unwrap();
        assert_eq!(kept.permissions().mode() & 0o700, 0o700);
        if rustix::process::geteuid().is_root() {
            assert_eq!(kept.uid(), 65534);
        }
    }
    // Sealing a release leaves what it shares writable.
    let shared = fs::metadata(world.paths.persist().join("uploads/photo")).unwrap();
    assert_ne!(shared.permissions().mode() & 0o200, 0);
    remove_tree(&world.paths.release(&first)).unwrap();
    assert!(world.paths.persist().join("uploads/photo").exists());
}

#[tokio::test]
async fn a_persistent_folder_is_never_made_behind_a_link() {
    let world = World::new();
    let (_, done) = world.build(&[], &["data"], LONG).await;
    done.unwrap();
    // The application has put a link where a later configuration wants a folder.
    let outside = world.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, world.paths.persist().join("data/x")).unwrap();
    let (_, done) = world.build(&[], &["data/x/y"], LONG).await;
    let error = done.unwrap_err().to_string();
    assert!(error.contains("lies behind something that is no folder"), "{error}");
    assert!(!outside.join("y").exists());
}

#[tokio::test]
async fn a_disk_that_is_full_reads_well_and_is_not_the_releases_fault() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let trouble = trouble_of(ArchiveError::Io { path: "/state/x".into(), error: full }, Path::new("/source"));
    let Trouble::Host(error) = trouble else { panic!("blamed on the release") };
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

/// A file system of a few megabytes, for root only.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn below(folder: &Path) -> Option<Self> {
        let mount = |arguments: &[&std::ffi::OsStr]| {
            let done = std::process::Command::new("mount")
                .args(arguments)
                .stderr(std::process::Stdio::null())
                .status();
            done.is_ok_and(|status| status.success())
        };
        let options = ["-t", "tmpfs", "-o", "size=4m,mode=711", "none"].map(std::ffi::OsStr::new);
        mount(&[&options[..], &[folder.as_os_str()]].concat()).then(|| SmallDisk(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_during_the_build_is_the_machines_fault_and_leaves_room_again() {
    let world = World::new();
    // Without root there is no disk to fill; the reading of its error is tested above.
    let Some(_disk) = SmallDisk::below(world.paths.root()) else { return };
    world.write("index.html", "x");
    world.write("fill.py", "open('big', 'wb').write(b'x' * (8 << 20))");
    let release = world.taken().await;
    let error = world.build_release(&release, &["python3 fill.py"], &[], LONG).await.unwrap_err();
    assert!(matches!(error, BuildError::Host { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full") && error.to_string().contains("df -h"), "{error}");
    // Nothing half-built is left, the release is not blamed, and with room it is built.
    assert_eq!((world.left(), observe(&world.paths)[&release].clone()), (Vec::new(), ReleaseState::Taken));
    world.build_release(&release, &["touch fits"], &[], LONG).await.unwrap();
    // The source alone fits, and what is unpacked of it does not.
    world.write("large", &"x".repeat(5 << 19));
    let large = world.taken().await;
    let error = world.build_release(&large, &[], &[], LONG).await.unwrap_err();
    assert!(
        matches!(error, BuildError::Host { .. }) && error.to_string().contains("the disk is full"),
        "{error}"
    );
    assert_eq!(world.left(), [release.to_string()]);
}

/// One entry written by hand: the builder refuses what an attacker would not.
fn hostile(path: &str, kind: tar::EntryType, link: &str, twice: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut one = |path: &str, kind: tar::EntryType, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
    };
    if twice {
        one("link", tar::EntryType::Symlink, "sub");
    }
    one(path, kind, link);
    bytes.extend([0; 1024]);
    bytes
}

#[tokio::test]
async fn an_archive_writes_nowhere_but_into_the_release() {
    use tar::EntryType as Kind;
    let cases = [
        ("../outside", Kind::Regular, "", false),
        ("a/../../outside", Kind::Regular, "", false),
        ("/tmp/stoa-outside", Kind::Regular, "", false),
        ("link", Kind::Symlink, "/etc/passwd", false),
        ("link2", Kind::Symlink, "../outside", false),
        ("a/link", Kind::Symlink, "../../outside", false),
        ("link2", Kind::Symlink, "x/../../outside", false),
        ("link2", Kind::Symlink, "", false),
        ("hard", Kind::Link, "/etc/passwd", false),
        ("device", Kind::Char, "", false),
        ("device", Kind::Block, "", false),
        ("pipe", Kind::Fifo, "", false),
        ("link/inside", Kind::Regular, "", true),
        ("link", Kind::Regular, "", true),
        ("link", Kind::Directory, "", true),
    ];
    for (path, kind, link, twice) in cases {
        let world = World::new();
        let release = world.taken().await;
        fs::write(world.paths.source(&release), hostile(path, kind, link, twice)).unwrap();
        let error = world.build_release(&release, &[], &[], LONG).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BuildError::Failed { .. }), "{path} {kind:?} {link}: {text}");
        assert!(text.contains("cannot be unpacked") && text.contains("is refused"), "{text}");
        assert_eq!(world.left(), [format!("{release}.failed")]);
        assert!(
            !world.paths.releases().join("outside").exists() && !world.paths.root().join("outside").exists()
        );
    }
}

#[tokio::test]
async fn an_archive_that_is_cut_short_is_the_machines_fault() {
    let world = World::new();
    world.write("big", &"x".repeat(100_000));
    let release = world.taken().await;
    let source = world.paths.source(&release);
    let whole = fs::read(&source).unwrap();
    fs::write(&source, &whole[..50_000]).unwrap();
    let error = world.build_release(&release, &[], &[], LONG).await.unwrap_err();
    assert!(matches!(error, BuildError::Host { .. }), "{error}");
    assert_eq!(world.left(), Vec::<String>::new());
}

#[test]
fn links_stay_inside_by_their_form_alone() {
    for (inner, target, inside) in [
        ("a", "b", true),
        ("a", ".", true),
        ("d/a", "../b", true),
        ("d/e/a", "../../b/c", true),
        ("d/a", "../../b", false),
        ("a", "..", false),
        ("d/a", "x/../../..", false),
        // `y` may itself be a link to the top.
        ("x", "d/e/y/..", false),
        ("a", "/b", false),
        ("a", "", false),
    ] {
        assert_eq!(archive::stays_inside(Path::new(inner), Path::new(target)), inside, "{inner} -> {target}");
    }
}
