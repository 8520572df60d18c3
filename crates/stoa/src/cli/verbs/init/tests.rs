use super::*;
use std::collections::BTreeMap;
use stoa_tiers::app::detect::Listing;

/// Files by name.
struct Files(BTreeMap<&'static str, &'static str>);

impl Listing for Files {
    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
    fn text(&self, path: &str) -> String {
        self.0.get(path).copied().unwrap_or_default().to_owned()
    }
}

fn written(files: &[(&'static str, &'static str)]) -> String {
    let files = Files(files.iter().copied().collect());
    let name = "my-shop".parse().unwrap();
    let detected = detect(&files);
    template::text(&Suggestion { name: &name, detected: &detected, wants: Wants::of(&files) })
}

fn reads_back(text: &str) -> stoa_model::Site {
    config::parse(text, Path::new("/srv/my-shop")).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

#[test]
fn what_is_written_reads_well_and_is_read_back() {
    let flask = written(&[
        ("requirements.txt", "flask\nPyMySQL\nredis\n"),
        ("app.py", "app = Flask()"),
        ("static", ""),
    ]);
    insta::assert_snapshot!("init_flask", flask);
    let site = reads_back(&flask);
    assert!(site.database.is_some() && site.cache.is_some() && site.web.files.len() == 1);

    let php = written(&[("index.php", "")]);
    insta::assert_snapshot!("init_php", php);
    assert!(reads_back(&php).app.is_some_and(|app| app.run.is_none()));

    let pages = written(&[("index.html", "")]);
    insta::assert_snapshot!("init_static", pages);
    assert!(reads_back(&pages).app.is_none());

    for files in [
        &[("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')")][..],
        &[("package.json", r#"{"scripts":{"start":"node ."},"dependencies":{"mysql2":"3"}}"#)],
        &[("config/application.rb", ""), ("Gemfile", "gem 'mysql2'")],
        &[("Cargo.toml", "[package]\nname = \"shop\"\n")],
        &[("requirements.txt", "fastapi\n"), ("main.py", "")],
    ] {
        reads_back(&written(files));
    }
}

#[test]
fn an_application_that_cannot_be_told_leaves_only_run_open() {
    let text = written(&[("README", "")]);
    let errors = config::parse(&text, Path::new("/srv/my-shop")).unwrap_err();
    assert!(errors.iter().all(|error| error.key == "app.run"), "{errors:#?}");
}

#[test]
fn a_folder_names_its_site() {
    for (folder, name) in [
        ("/srv/foobar", Some("foobar")),
        ("/srv/My Shop (new)", Some("my-shop-new")),
        ("/srv/2nd_try", Some("site-2nd-try")),
        ("/srv/x; } server {", Some("x-server")),
        ("/srv/café", Some("caf")),
        ("/srv/магазин", None),
        ("/", None),
    ] {
        assert_eq!(site_name(Path::new(folder)).map(|name| name.to_string()).as_deref(), name, "{folder}");
    }
    let long = format!("/srv/{}", "very-".repeat(20));
    assert!(site_name(Path::new(&long)).is_some_and(|name| name.to_string().len() <= 32));
}

#[test]
fn a_file_that_is_there_is_never_overwritten_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    write(&file, "mine, and a longer text", false).unwrap();
    let refused = write(&file, "other", false).unwrap_err();
    assert!(refused.problem.next.contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine, and a longer text");
    write(&file, "other", true).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "other");
}
