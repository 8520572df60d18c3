//! What the files of an application suggest: how it is built, run and checked. Used by `stoa init` and
//! where the file names no build commands. Reads names and a few small files, runs nothing.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use stoa_model::site::CommandLine;

/// More than any file that is looked into should have.
const READ_MAX: u64 = 1 << 20;

/// What kind of thing lies in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// `manage.py`.
    Django,
    /// FastAPI or Starlette: ASGI.
    FastApi,
    /// Flask or another WSGI application.
    Wsgi,
    /// `package.json`.
    Node,
    /// `index.php` or `composer.json`.
    Php,
    /// `config/application.rb`.
    Rails,
    /// `Cargo.toml`.
    Rust,
    /// `index.html` and no application.
    Static,
    /// Nothing that is known.
    Unknown,
}

/// `[app] kind` as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A server of its own.
    Http,
    /// php-fpm.
    Php,
    /// Files only.
    Static,
}

/// What the files suggest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// What it is.
    pub framework: Framework,
    /// `[app] kind`.
    pub kind: Kind,
    /// `[app] build`.
    pub build: Vec<String>,
    /// `[app] run`; `None` where nothing is started, or where nobody can tell how.
    pub run: Option<String>,
    /// `[app] health`, where the files name a path.
    pub health: Option<String>,
    /// `[web] files`: URL path -> folder.
    pub files: BTreeMap<String, String>,
}

/// The names in a folder and the text of its files.
pub trait Listing {
    /// Whether there is such a file or folder.
    fn has(&self, path: &str) -> bool;
    /// The text of a file, empty where there is none.
    fn text(&self, path: &str) -> String;
}

impl Listing for Path {
    fn has(&self, path: &str) -> bool {
        self.join(path).exists()
    }

    fn text(&self, path: &str) -> String {
        let mut text = Vec::new();
        if let Ok(file) = std::fs::File::open(self.join(path)) {
            let _ = file.take(READ_MAX).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Framework {
    /// Its name, as it is said to the user.
    pub const fn name(self) -> &'static str {
        match self {
            Framework::Django => "Django",
            Framework::FastApi => "FastAPI",
            Framework::Wsgi => "Flask or another WSGI application",
            Framework::Node => "Node",
            Framework::Php => "PHP",
            Framework::Rails => "Rails",
            Framework::Rust => "Rust",
            Framework::Static => "a site of static files",
            Framework::Unknown => "nothing that is known",
        }
    }
}

impl Kind {
    /// As it is written in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Php => "php",
            Kind::Static => "static",
        }
    }
}

impl Detected {
    /// The build commands, ready to run.
    pub fn commands(&self) -> Vec<CommandLine> {
        // What is suggested here is plain words, which the tests hold.
        self.build.iter().filter_map(|command| CommandLine::parse(command).ok()).collect()
    }
}

/// Looks at an application.
pub fn detect<L: Listing + ?Sized>(folder: &L) -> Detected {
    let framework = framework(folder);
    let kind = match framework {
        Framework::Php => Kind::Php,
        Framework::Static => Kind::Static,
        _ => Kind::Http,
    };
    let run = run(framework, folder);
    Detected {
        framework,
        kind,
        build: build(folder),
        run,
        health: health(framework),
        files: files(framework, folder),
    }
}

fn framework<L: Listing + ?Sized>(folder: &L) -> Framework {
    let python = python_needs(folder);
    let wants = |name: &str| python.contains(name);
    if folder.has("manage.py") {
        Framework::Django
    } else if folder.has("config/application.rb") {
        Framework::Rails
    } else if wants("fastapi") || wants("starlette") {
        Framework::FastApi
    } else if wants("flask") || wants("gunicorn") || folder.has("wsgi.py") || flask_app(folder) {
        Framework::Wsgi
    } else if folder.has("index.php") || folder.has("public/index.php") || folder.has("composer.json") {
        Framework::Php
    } else if folder.has("package.json") && (starts(folder) || !folder.has("index.html")) {
        Framework::Node
    } else if folder.has("Cargo.toml") {
        Framework::Rust
    } else if folder.has("index.html") || folder.has("public/index.html") {
        Framework::Static
    } else {
        Framework::Unknown
    }
}

fn build<L: Listing + ?Sized>(folder: &L) -> Vec<String> {
    let mut commands: Vec<&str> = Vec::new();
    if folder.has("requirements.txt") {
        commands.push("python3 -m venv .venv");
        commands.push(".venv/bin/pip install --disable-pip-version-check -r requirements.txt");
    } else if folder.has("pyproject.toml") && folder.text("pyproject.toml").contains("[project]") {
        commands.push("python3 -m venv .venv");
        commands.push(".venv/bin/pip install --disable-pip-version-check .");
    }
    if folder.has("composer.json") {
        commands.push("composer install --no-dev --no-interaction --no-progress --optimize-autoloader");
    }
    if folder.has("Gemfile") {
        commands.push("bundle config set --local path vendor/bundle");
        commands.push("bundle config set --local without development:test");
        commands.push("bundle install");
    }
    if folder.has("package.json") {
        let locked = folder.has("package-lock.json") || folder.has("npm-shrinkwrap.json");
        commands.push(if locked {
            "npm ci --no-audit --no-fund"
        } else {
            "npm install --no-audit --no-fund"
        });
        commands.push("npm run build --if-present");
    }
    if folder.has("Cargo.toml") {
        commands.push("cargo build --release");
    }
    commands.into_iter().map(str::to_owned).collect()
}

fn run<L: Listing + ?Sized>(framework: Framework, folder: &L) -> Option<String> {
    match framework {
        Framework::Django => {
            let manage = folder.text("manage.py");
            let settings = between(&manage, "DJANGO_SETTINGS_MODULE", ".settings")?;
            let package = settings.rsplit(['"', '\'']).next().filter(|name| is_module(name))?;
            Some(format!("gunicorn {package}.wsgi --bind $HOST:$PORT"))
        }
        Framework::FastApi => {
            let module = ["main", "app", "app.main", "src.main"].into_iter();
            let module =
                module.map(|m| (m, m.replace('.', "/"))).find(|(_, file)| folder.has(&format!("{file}.py")));
            Some(format!(
                "uvicorn {}:app --host $HOST --port $PORT",
                module.map_or("main", |(module, _)| module)
            ))
        }
        Framework::Wsgi => {
            let (module, text) = ["wsgi", "app", "main", "application"]
                .into_iter()
                .find(|module| folder.has(&format!("{module}.py")))
                .map(|module| (module, folder.text(&format!("{module}.py"))))?;
            let factory = text.contains("def create_app(") && !text.contains("\napp =");
            let object = match () {
                () if factory => "create_app()",
                () if text.contains("\napplication =") => "application",
                () => "app",
            };
            let target =
                if factory { format!("\"{module}:{object}\"") } else { format!("{module}:{object}") };
            Some(format!("gunicorn {target} --bind $HOST:$PORT"))
        }
        Framework::Node if starts(folder) => Some("npm start".to_owned()),
        Framework::Node => {
            let file = ["server.js", "index.js", "app.js"].into_iter().find(|file| folder.has(file))?;
            Some(format!("node {file}"))
        }
        Framework::Rails => Some("bundle exec puma --bind tcp://$HOST:$PORT".to_owned()),
        Framework::Rust => {
            let name = between(&folder.text("Cargo.toml"), "[package]", "\n\n")
                .or_else(|| Some(folder.text("Cargo.toml")))?;
            let line = name.lines().find(|line| line.trim_start().starts_with("name"))?;
            let name = line.split('"').nth(1).filter(|name| is_module(name))?;
            Some(format!("target/release/{name}"))
        }
        Framework::Php | Framework::Static | Framework::Unknown => None,
    }
}

fn health(framework: Framework) -> Option<String> {
    // Rails brings one along since 7.1; of the others `/` is the best guess, which is the default.
    (framework == Framework::Rails).then(|| "/up".to_owned())
}

fn files<L: Listing + ?Sized>(framework: Framework, folder: &L) -> BTreeMap<String, String> {
    let pair = |url: &str, path: &str| BTreeMap::from([(url.to_owned(), path.to_owned())]);
    match framework {
        Framework::Php if folder.has("public/index.php") => pair("/", "public"),
        Framework::Static if !folder.has("index.html") => pair("/", "public"),
        Framework::Php | Framework::Static => pair("/", "."),
        Framework::Rails => pair("/", "public"),
        Framework::Django if folder.has("staticfiles") => pair("/static", "staticfiles"),
        _ if folder.has("static") => pair("/static", "static"),
        Framework::Node | Framework::Rust if folder.has("public") => pair("/", "public"),
        _ => BTreeMap::new(),
    }
}

/// What a Python application says it needs, in lower case.
fn python_needs<L: Listing + ?Sized>(folder: &L) -> String {
    [folder.text("requirements.txt"), folder.text("pyproject.toml")].join("\n").to_lowercase()
}

fn flask_app<L: Listing + ?Sized>(folder: &L) -> bool {
    folder.text("app.py").contains("Flask(")
}

/// Whether `package.json` has a start script.
fn starts<L: Listing + ?Sized>(folder: &L) -> bool {
    let package: serde_json::Value = serde_json::from_str(&folder.text("package.json")).unwrap_or_default();
    package.pointer("/scripts/start").is_some_and(serde_json::Value::is_string)
}

fn is_module(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// What stands between the first `start` and the `end` that follows it.
fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, after) = text.split_once(start)?;
    let (inner, _) = after.split_once(end)?;
    Some(inner.to_owned())
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
