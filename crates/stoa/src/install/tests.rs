use super::apt::{outdated, stale, step};
use super::policy::Policy;
use super::services::{Service, Services, Undo, of_ours, undo, unit_files};
use super::*;
use std::path::Path;
use std::time::{Duration, SystemTime};
use stoa_model::{Site, config};

fn site(text: &str) -> Site {
    let text = format!("[site]\nname = \"shop\"\ndomain = \"shop.example\"\n{text}");
    config::parse(&text, Path::new("/srv/shop")).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn wanted(text: &str, hints: Hints) -> String {
    packages(&needs(&site(text), hints)).join(" ")
}

#[test]
fn each_site_needs_its_own_packages_and_no_others() {
    let none = Hints::default();
    let http = "[app]\nrun = \"x $PORT\"\n";
    assert_eq!(wanted("[app]\nkind = \"static\"\n", none), "git nginx");
    assert_eq!(wanted(http, none), "git nginx");
    assert_eq!(
        wanted(&format!("{http}[database]\n[cache]\n"), Hints { python: true, ..none }),
        "git mariadb-backup mariadb-client mariadb-client-core mariadb-server-core nginx python3 python3-venv redis-server"
    );
    assert_eq!(
        wanted(&format!("{http}[cache]\nengine = \"memcached\"\n"), Hints { node: true, ..none }),
        "git memcached nginx nodejs npm"
    );
    assert_eq!(
        wanted("[app]\nkind = \"php\"\n[database]\n[cache]\n", none),
        "git mariadb-backup mariadb-client mariadb-client-core mariadb-server-core nginx php-fpm php-mysql php-redis redis-server"
    );
    let mysql = format!("{http}[database]\nengine = \"mysql\"\n");
    assert_eq!(wanted(&mysql, none), "git nginx", "Debian's stable release has no MySQL");
    let needs = needs(&site(&mysql), none);
    let elsewhere = needs.iter().filter(|need| need.package.is_none());
    assert!(
        elsewhere.clone().count() == 2 && elsewhere.clone().all(|need| need.source().contains("STOA_MYSQLD"))
    );
}

#[test]
fn a_site_that_names_its_build_brings_its_own_tools() {
    let text = "[app]\nrun = \"x $PORT\"\nbuild = [\"make\"]\n";
    assert_eq!(wanted(text, Hints { python: true, node: true, ..Hints::default() }), "git nginx");
}

#[test]
fn the_line_by_hand_is_exact() {
    let install = Install::new(packages(&needs(&site("[app]\nkind = \"static\"\n"), Hints::default())));
    assert_eq!(install.line(false), "sudo apt-get install -y --no-install-recommends git nginx");
    assert_eq!(install.line(true), "apt-get install -y --no-install-recommends git nginx");
}

fn services(list: &[(&str, bool, bool)]) -> Services {
    list.iter()
        .map(|(name, active, enabled)| ((*name).to_owned(), Service { active: *active, enabled: *enabled }))
        .collect()
}

#[test]
fn only_what_the_installation_started_is_stopped() {
    let before = services(&[("nginx", true, true), ("memcached", false, false), ("mysql", false, true)]);
    let after = services(&[
        ("nginx", true, true),
        ("memcached", false, true),
        ("mysql", true, true),
        ("redis-server", true, true),
        ("php8.2-fpm", false, false),
    ]);
    let one = |name: &str, stop, disable| Undo { name: name.to_owned(), stop, disable };
    let expected =
        [one("memcached", false, true), one("mysql", true, false), one("redis-server", true, true)];
    assert_eq!(undo(&before, &after), expected);
    assert!(undo(&after, &after).is_empty());
    // One that was stopped meanwhile by somebody else is nobody's business.
    assert!(undo(&after, &before).is_empty());
}

#[test]
fn units_of_other_software_are_not_looked_at() {
    let text = "nginx.service  enabled enabled\nredis-server.service disabled enabled\nssh.service enabled enabled\n\
                redis-server@.service disabled enabled\nphp8.2-fpm.service enabled enabled\nbroken\n";
    let found = unit_files(text);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["nginx", "php8.2-fpm", "redis-server"]);
    assert!(found["nginx"].enabled && !found["redis-server"].enabled);
    for (name, ours) in
        [("php-fpm", true), ("phpsessionclean", false), ("php8.2-fpm@x", false), ("apache2", false)]
    {
        assert_eq!(of_ours(name), ours, "{name}");
    }
}

#[test]
fn the_policy_is_put_in_place_only_where_none_is_and_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("policy-rc.d");
    let program = Path::new("/opt/stoa");
    drop(Policy::hold_at(&link, program));
    assert!(!link.is_symlink(), "taken away");

    let held = Policy::hold_at(&link, program);
    assert!(link.is_symlink());
    std::mem::forget(held);
    drop(Policy::hold_at(&link, program));
    assert!(!link.is_symlink(), "one left behind by a kill is taken over and away");

    std::fs::write(&link, "theirs").unwrap();
    drop(Policy::hold_at(&link, program));
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "theirs");
}

#[test]
fn apt_get_is_understood() {
    let line = "Unpacking nginx-common (1.22.1-9+deb12u3) ...";
    assert_eq!(step(line).as_deref(), Some("unpacking nginx-common"));
    assert_eq!(step("Setting up redis-tools (5:7.0.15-1) ...").as_deref(), Some("setting up redis-tools"));
    assert_eq!(step("Setting up libaio1:amd64 (0.3) ...").as_deref(), Some("setting up libaio1"));
    assert_eq!(step("Reading package lists..."), None);
    assert!(outdated(&["E: Unable to locate package nginx".to_owned()]));
    assert!(!outdated(&["E: dpkg was interrupted".to_owned()]));
}

#[test]
fn old_or_absent_lists_are_fetched_first() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    assert!(stale(folder.path(), now) && stale(Path::new("/nowhere"), now));
    std::fs::write(folder.path().join("deb_main_binary-amd64_Packages.lz4"), "x").unwrap();
    assert!(!stale(folder.path(), now));
    assert!(stale(folder.path(), now + Duration::from_secs(8 * 24 * 3600)));
}
