//! What the data plane may send where, true now.

use crate::endpoint::Endpoint;
use crate::ids::{Generation, InstanceId, ReleaseId, Term, Tier};
use crate::site::{AppKind, UrlPath};
use crate::time::{Millis, Time};
use serde::{Deserialize, Serialize};

/// What the data plane may send where. A role acknowledges the generation once nothing new is sent by
/// an older one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routes {
    /// Grows with every change.
    pub generation: Generation,
    /// The nginx instances behind the web face.
    pub web: Vec<Route>,
    /// The application instances behind the app face.
    pub app: Vec<Route>,
    /// How the app face is to be served.
    pub app_face: AppFace,
    /// A release that gets a part of the requests only; the others share the rest.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// The database servers behind the splitters.
    #[serde(default)]
    pub sql: SqlRoutes,
}

/// Where statements may be sent. Without a primary the splitters hold what is for it: its change is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlRoutes {
    /// The term these are of: no write is sent to a server of another.
    pub term: Term,
    /// The server that takes writes.
    pub primary: Option<Route>,
    /// The servers that reads may be sent to.
    pub replicas: Vec<Route>,
}

/// A release that gets a part of the requests at the app face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Which.
    pub release: ReleaseId,
    /// How many of a hundred requests, 1 to 99; chosen at random for each request.
    pub percent: u8,
}

/// How much one balancer lets through to the application: early refusal instead of collapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The most requests that one balancer has in flight at one instance; further ones wait.
    pub per_instance: u32,
    /// The most requests that wait in one balancer; further ones get a 503 at once, with `Retry-After`.
    pub waiting: u32,
}

/// What the certificate of every database server is made out to, whatever its address.
pub const DATABASE_CERTIFICATE: &str = "database.stoa";

/// One place that requests may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose it is.
    pub instance: InstanceId,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// It is connected to inside TLS.
    #[serde(default)]
    pub tls: bool,
    /// When the process behind it started: another start is another server, with nothing proven of it.
    pub started: Time,
    /// Why it is routed to.
    pub because: String,
    /// The code it runs, for the app tier.
    #[serde(default)]
    pub release: Option<ReleaseId>,
}

/// How the app face is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFace {
    /// `Http`: a request at a time. `Php`: FastCGI, a connection at a time.
    pub kind: AppKind,
    /// Asked of an ejected instance before it is sent anything again (`http` only; for FastCGI an
    /// accepted connection proves it).
    pub health: UrlPath,
    /// How long an instance may take to answer.
    pub timeout: Millis,
    /// What is let through; none: everything.
    #[serde(default)]
    pub admission: Option<Admission>,
}

impl Default for AppFace {
    fn default() -> Self {
        AppFace {
            kind: AppKind::Http,
            health: UrlPath("/".to_owned()),
            timeout: Millis::from_secs(60),
            admission: None,
        }
    }
}

impl Route {
    /// Whether both name the same process, whatever their reasons.
    pub fn same_place(&self, other: &Route) -> bool {
        self.instance == other.instance && self.endpoint == other.endpoint && self.started == other.started
    }
}

impl SqlRoutes {
    /// Every server named, the primary first.
    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.primary.iter().chain(&self.replicas)
    }
}

impl Routes {
    /// Whether both send the same requests to the same places, whatever their generation and reasons.
    pub fn same_places(&self, other: &Routes) -> bool {
        fn same(a: &[Route], b: &[Route]) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.same_place(y))
        }
        same(&self.web, &other.web)
            && same(&self.app, &other.app)
            && self.sql.term == other.sql.term
            && same(self.sql.primary.as_slice(), other.sql.primary.as_slice())
            && same(&self.sql.replicas, &other.sql.replicas)
            && self.app_face == other.app_face
            && self.canary == other.canary
    }

    /// What roles of this tier send to.
    pub fn sent_by(&self, role: Tier) -> impl Iterator<Item = &Route> {
        let (faces, sql) = match role {
            Tier::Balancer => (Some(self.web.iter().chain(&self.app)), None),
            Tier::Splitter => (None, Some(self.sql.all())),
            Tier::Web | Tier::App | Tier::Database | Tier::Cache => (None, None),
        };
        faces.into_iter().flatten().chain(sql.into_iter().flatten())
    }

    /// Whether `instance` may be sent anything.
    pub fn names(&self, instance: InstanceId) -> bool {
        self.web.iter().chain(&self.app).chain(self.sql.all()).any(|route| route.instance == instance)
    }
}
