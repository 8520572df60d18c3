use super::*;

struct Files<'a>(&'a [(&'static str, &'static str)]);

impl Listing for Files<'_> {
    fn has(&self, path: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == path || name.starts_with(&format!("{path}/")))
    }

    fn text(&self, path: &str) -> String {
        self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()).unwrap_or_default()
    }
}

const PIP: [&str; 2] =
    ["python3 -m venv .venv", ".venv/bin/pip install --disable-pip-version-check -r requirements.txt"];

/// Files, framework, run, build, URL -> folder.
type Case = (
    &'static [(&'static str, &'static str)],
    Framework,
    Option<&'static str>,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    (
        &[
            ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')"),
            ("requirements.txt", "Django"),
        ],
        Framework::Django,
        Some("gunicorn mysite.wsgi --bind $HOST:$PORT"),
        &PIP,
        &[],
    ),
    (
        &[
            ("app.py", "app = Flask(__name__)"),
            ("requirements.txt", "Flask==3\ngunicorn"),
            ("static/a.css", ""),
        ],
        Framework::Wsgi,
        Some("gunicorn app:app --bind $HOST:$PORT"),
        &PIP,
        &[("/static", "static")],
    ),
    (
        &[("app.py", "def create_app():\n  return Flask(__name__)"), ("requirements.txt", "flask")],
        Framework::Wsgi,
        Some("gunicorn \"app:create_app()\" --bind $HOST:$PORT"),
        &PIP,
        &[],
    ),
    (
        &[("wsgi.py", "\napplication = x")],
        Framework::Wsgi,
        Some("gunicorn wsgi:application --bind $HOST:$PORT"),
        &[],
        &[],
    ),
    (
        &[("main.py", "app = FastAPI()"), ("requirements.txt", "fastapi\nuvicorn")],
        Framework::FastApi,
        Some("uvicorn main:app --host $HOST --port $PORT"),
        &PIP,
        &[],
    ),
    (
        &[("package.json", r#"{"scripts":{"start":"node ."}}"#), ("package-lock.json", "{}")],
        Framework::Node,
        Some("npm start"),
        &["npm ci --no-audit --no-fund", "npm run build --if-present"],
        &[],
    ),
    (
        &[("package.json", "{}"), ("server.js", "")],
        Framework::Node,
        Some("node server.js"),
        &["npm install --no-audit --no-fund", "npm run build --if-present"],
        &[],
    ),
    (&[("index.php", "")], Framework::Php, None, &[], &[("/", ".")]),
    (
        &[("public/index.php", ""), ("composer.json", "{}")],
        Framework::Php,
        None,
        &["composer install --no-dev --no-interaction --no-progress --optimize-autoloader"],
        &[("/", "public")],
    ),
    (
        &[("config/application.rb", ""), ("Gemfile", "")],
        Framework::Rails,
        Some("bundle exec puma --bind tcp://$HOST:$PORT"),
        &[
            "bundle config set --local path vendor/bundle",
            "bundle config set --local without development:test",
            "bundle install",
        ],
        &[("/", "public")],
    ),
    (
        &[("Cargo.toml", "[package]\nname = \"shop\"\n\n[dependencies]\n")],
        Framework::Rust,
        Some("target/release/shop"),
        &["cargo build --release"],
        &[],
    ),
    (&[("index.html", "")], Framework::Static, None, &[], &[("/", ".")]),
    (&[("public/index.html", "")], Framework::Static, None, &[], &[("/", "public")]),
    (&[("notes.txt", "")], Framework::Unknown, None, &[], &[]),
    (
        &[("package.json", "not json")],
        Framework::Node,
        None,
        &["npm install --no-audit --no-fund", "npm run build --if-present"],
        &[],
    ),
];

#[test]
fn the_files_tell_the_framework() {
    for (files, framework, run, build, served) in CASES {
        let detected = detect(&Files(files));
        assert_eq!(detected.framework, *framework, "{files:?}");
        assert_eq!(detected.run.as_deref(), *run, "{files:?}");
        assert_eq!(detected.build, *build, "{files:?}");
        let served = served.iter().map(|(url, path)| ((*url).to_owned(), (*path).to_owned())).collect();
        assert_eq!(detected.files, served, "{files:?}");
        assert_eq!(detected.commands().len(), detected.build.len(), "a suggested command cannot be parsed");
        if let Some(run) = &detected.run {
            assert!(CommandLine::parse(run).is_ok(), "{run}");
        }
    }
}

#[test]
fn text_out_of_the_files_cannot_become_a_command() {
    for files in [
        &[("manage.py", "DJANGO_SETTINGS_MODULE', 'x; rm -rf /.settings'")][..],
        &[("Cargo.toml", "[package]\nname = \"a b; c\"\n")],
    ] {
        assert_eq!(detect(&Files(files)).run, None, "{files:?}");
    }
}
