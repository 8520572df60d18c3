use super::*;
use crate::host::programs;
use crate::nginx::render;
use crate::tool::Tool;

fn render(spec: &WebSpec, paths: &Paths) -> String {
    render::config(WEB, spec, paths).unwrap()
}

/// What is the same for every site stands in one snapshot only.
fn without_types(text: &str) -> String {
    let (before, rest) = text.split_once("  types {").unwrap();
    let (_, after) = rest.split_once("  }\n").unwrap();
    format!("{before}  types {{ … }}\n{after}")
}

#[test]
fn the_text_for_each_kind_of_site() {
    let paths = Paths::new("/var/lib/stoa/foobar");
    let http = spec(&paths, AppKind::Http, true, &[("/static", "static"), ("/uploads", "uploads")]);
    insta::assert_snapshot!("http", without_types(&render(&http, &paths)));
    let front = spec(&paths, AppKind::Http, true, &[("/", "public")]);
    let server =
        |text: &str| text[text.find("  upstream").unwrap_or(text.find("  server {").unwrap())..].to_owned();
    insta::assert_snapshot!("http_with_files_first", server(&render(&front, &paths)));
    let php = spec(&paths, AppKind::Php, true, &[("/", "public"), ("/uploads", "uploads")]);
    insta::assert_snapshot!("php", server(&render(&php, &paths)));
    let fixed = spec(&paths, AppKind::Http, false, &[("/", ".")]);
    insta::assert_snapshot!("static", server(&render(&fixed, &paths)));
}

#[tokio::test]
async fn nginx_accepts_the_text_for_each_kind_of_site() {
    let bench = Bench::new();
    let nginx = programs::find("nginx").unwrap();
    let folder = bench.paths.instance(WEB);
    let user = bench.users().tier(Tier::Web);
    for folder in [&folder, &bench.paths.log(WEB)] {
        files::ensure_folder(folder, 0o750, user).unwrap();
    }
    for (kind, upstream, files) in [
        (AppKind::Http, true, &[("/static", "static")] as &[_]),
        (AppKind::Http, true, &[("/", "public"), ("/a b;}{", "x y")]),
        (AppKind::Http, true, &[]),
        (AppKind::Php, true, &[("/", "."), ("/uploads", "uploads")]),
        (AppKind::Php, true, &[]),
        (AppKind::Http, false, &[("/", ".")]),
        (AppKind::Http, false, &[]),
    ] {
        let spec = spec(&bench.paths, kind, upstream, files);
        let launch = launch(WEB, &spec, &bench.paths).unwrap();
        std::fs::write(&launch.files[0].path, &launch.files[0].text).unwrap();
        let words = [vec!["-t".into()], launch.argv[1..].to_vec()].concat();
        let tool = Tool::new(&nginx, &folder).arguments(words).identity(user);
        let ended = tool.run().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{kind:?} {files:?}: {said}");
        assert!(!said.contains("[warn]"), "{said}");
    }
}

#[test]
fn what_would_break_out_of_the_file_is_refused() {
    let paths = Paths::new("/s");
    let good = spec(&paths, AppKind::Http, true, &[("/static", "static")]);
    let mut forged = good.clone();
    forged.names = vec![domain("x; } server {")];
    assert!(launch(WEB, &forged, &paths).unwrap_err().to_string().contains("x; } server {"));
    for files in [&[("/a", "../../etc")], &[("/a", "$document_root")], &[("/a\n", "x")], &[("/..", "x")]] {
        let forged = WebSpec { files: files_of(files), ..good.clone() };
        assert!(launch(WEB, &forged, &paths).is_err(), "{files:?}");
    }
    assert!(launch(WEB, &good, &Paths::new("/s$x")).is_err());
    let long = Paths::new(format!("/{}", "x".repeat(100)));
    let error = launch(WEB, &spec(&long, AppKind::Http, true, &[]), &long).unwrap_err().to_string();
    assert!(error.contains("choose a shorter state folder with --state"), "{error}");
}
