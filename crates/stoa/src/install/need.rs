//! The table of what a site needs: program or module -> Debian package, and what for. Pure.

use std::path::Path;
use stoa_model::Site;
use stoa_model::site::{AppKind, CacheEngine, DatabaseEngine, SourceLocation};
use stoa_tiers::host::programs::MYSQL_SOURCE;

/// One thing a site needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// As it is found.
    pub(crate) thing: Thing,
    /// The package of Debian's stable release that holds it; none where it has to come from elsewhere.
    pub(crate) package: Option<&'static str>,
    /// What for.
    pub(crate) what_for: &'static str,
}

/// Something that can be there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// A server or helper, on `PATH` or in the folders of servers.
    Program(&'static str),
    /// A program of MySQL's; MariaDB's links of that name are not it.
    MysqlProgram(&'static str),
    /// A program that the application's build calls by name: only in the system's folders, which are all
    /// that a build sees.
    BuildTool(&'static str),
    /// A module that the system's python3 can import.
    PythonModule(&'static str),
    /// An extension of PHP.
    PhpModule(&'static str),
}

/// What the files of an application tell about its build; nothing is known of one behind a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hints {
    /// `requirements.txt`.
    pub(crate) python: bool,
    /// `package.json`.
    pub(crate) node: bool,
    /// `composer.json`.
    pub(crate) composer: bool,
    /// `Gemfile`.
    pub(crate) ruby: bool,
}

const NGINX: Need = Need { thing: Thing::Program("nginx"), package: Some("nginx"), what_for: "the web tier" };
const GIT: Need = Need { thing: Thing::Program("git"), package: Some("git"), what_for: "taking the code" };
const MARIADB: [Need; 5] = [
    Need {
        thing: Thing::Program("mariadbd"),
        package: Some("mariadb-server-core"),
        what_for: "the database",
    },
    Need {
        thing: Thing::Program("mariadb-install-db"),
        package: Some("mariadb-server-core"),
        what_for: "the database",
    },
    // mariadb-install-db calls it, and no package of the server's depends on it.
    Need {
        thing: Thing::Program("my_print_defaults"),
        package: Some("mariadb-client-core"),
        what_for: "the database",
    },
    Need {
        thing: Thing::Program("mariabackup"),
        package: Some("mariadb-backup"),
        what_for: "cloning replicas",
    },
    Need {
        thing: Thing::Program("mariadb-binlog"),
        package: Some("mariadb-client"),
        what_for: "saving what a lost primary alone has",
    },
];
const MYSQL: [Need; 2] = [
    Need { thing: Thing::MysqlProgram("mysqld"), package: None, what_for: "the database" },
    Need {
        thing: Thing::MysqlProgram("mysqlbinlog"),
        package: None,
        what_for: "saving what a lost primary alone has",
    },
];
const REDIS: Need =
    Need { thing: Thing::Program("redis-server"), package: Some("redis-server"), what_for: "the cache" };
const MEMCACHED: Need =
    Need { thing: Thing::Program("memcached"), package: Some("memcached"), what_for: "the cache" };
const PHP: Need =
    Need { thing: Thing::Program("php-fpm"), package: Some("php-fpm"), what_for: "running PHP" };
const PHP_MYSQL: Need = Need {
    thing: Thing::PhpModule("pdo_mysql"),
    package: Some("php-mysql"),
    what_for: "PHP's way to the database",
};
const PHP_REDIS: Need =
    Need { thing: Thing::PhpModule("redis"), package: Some("php-redis"), what_for: "PHP's way to the cache" };
const PHP_MEMCACHED: Need = Need {
    thing: Thing::PhpModule("memcached"),
    package: Some("php-memcached"),
    what_for: "PHP's way to the cache",
};
const PYTHON: [Need; 2] = [
    Need {
        thing: Thing::BuildTool("python3"),
        package: Some("python3"),
        what_for: "building requirements.txt",
    },
    Need {
        thing: Thing::PythonModule("ensurepip"),
        package: Some("python3-venv"),
        what_for: "building requirements.txt",
    },
];
const NODE: [Need; 2] = [
    Need { thing: Thing::BuildTool("node"), package: Some("nodejs"), what_for: "running package.json" },
    Need { thing: Thing::BuildTool("npm"), package: Some("npm"), what_for: "building package.json" },
];
const COMPOSER: Need = Need {
    thing: Thing::BuildTool("composer"),
    package: Some("composer"),
    what_for: "building composer.json",
};
const RUBY: Need = Need {
    thing: Thing::BuildTool("bundle"),
    package: Some("ruby-bundler"),
    what_for: "building the Gemfile",
};

/// What `site` needs, the web tier's first.
pub(crate) fn needs(site: &Site, hints: Hints) -> Vec<Need> {
    let mut needs = vec![NGINX, GIT];
    let php = site.app.as_ref().is_some_and(|app| app.kind == AppKind::Php);
    if php {
        needs.push(PHP);
    }
    match site.database.as_ref().map(|database| database.engine) {
        Some(DatabaseEngine::Mariadb) => needs.extend(MARIADB),
        Some(DatabaseEngine::Mysql) => needs.extend(MYSQL),
        None => {}
    }
    if php && site.database.is_some() {
        needs.push(PHP_MYSQL);
    }
    match site.cache.as_ref().map(|cache| cache.engine) {
        Some(CacheEngine::Redis) => needs.extend([REDIS].into_iter().chain(php.then_some(PHP_REDIS))),
        Some(CacheEngine::Memcached) => {
            needs.extend([MEMCACHED].into_iter().chain(php.then_some(PHP_MEMCACHED)))
        }
        None => {}
    }
    // Commands that the file itself names are the user's own business: they may bring their own tools.
    if site.source.build.is_none() {
        needs.extend(hints.needs());
    }
    needs
}

/// What most sites need, for a machine without one.
pub(crate) fn typical() -> Vec<Need> {
    [NGINX, GIT].into_iter().chain(MARIADB).chain([REDIS]).chain(PYTHON).collect()
}

/// The packages that hold `missing`, each once.
pub(crate) fn packages(missing: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = missing.iter().filter_map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

impl Need {
    /// Where it is to be had.
    pub(crate) fn source(&self) -> String {
        match self.package {
            Some(package) => format!("package {package}"),
            None => MYSQL_SOURCE.to_owned(),
        }
    }
}

impl Hints {
    /// From the folder a site's code comes from.
    pub(crate) fn of(site: &Site) -> Self {
        match &site.source.location {
            SourceLocation::Folder(folder) => Hints::in_folder(folder),
            SourceLocation::Url(_) => Hints::default(),
        }
    }

    fn in_folder(folder: &Path) -> Self {
        let has = |name| folder.join(name).is_file();
        Hints {
            python: has("requirements.txt"),
            node: has("package.json"),
            composer: has("composer.json"),
            ruby: has("Gemfile"),
        }
    }

    fn needs(self) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.python {
            needs.extend(PYTHON);
        }
        if self.node {
            needs.extend(NODE);
        }
        if self.composer {
            needs.push(COMPOSER);
        }
        if self.ruby {
            needs.push(RUBY);
        }
        needs
    }
}

impl Thing {
    /// Its name for people.
    pub(crate) fn name(self) -> String {
        match self {
            Thing::Program(name) | Thing::MysqlProgram(name) | Thing::BuildTool(name) => name.to_owned(),
            Thing::PythonModule(name) => format!("python3's {name}"),
            Thing::PhpModule(name) => format!("php's {name}"),
        }
    }
}
