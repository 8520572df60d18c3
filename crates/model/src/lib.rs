//! The nouns of Stoa: what a site is, what was observed, what a plan says, what a route is.
//!
//! Everything here is plain data with its parsing and printing. Nothing here reads a clock, opens a
//! file or a socket, or decides anything: `decide` judges, `tiers` acts, `traffic` serves.

pub mod cluster;
pub mod config;
pub mod control;
pub mod demand;
pub mod deployment;
pub mod endpoint;
pub mod gtid;
pub mod ids;
pub mod intent;
pub mod journal;
pub mod observed;
pub mod paths;
pub mod plan;
pub mod roster;
pub mod routes;
pub mod scaling;
pub mod site;
pub mod spec;
pub mod time;

pub use cluster::Cluster;
pub use demand::Demand;
pub use deployment::Deployment;
pub use endpoint::{Endpoint, Port};
pub use gtid::Gtids;
pub use ids::{
    DeployNumber, Digest, EnvironmentName, Generation, HostId, InstanceId, ReleaseId, SiteName, Term, Tier,
};
pub use intent::Intent;
pub use observed::Observed;
pub use paths::Paths;
pub use plan::{Action, Plan, Step, StepKey, TaskId, TaskKind, Waiting};
pub use roster::Roster;
pub use routes::Routes;
pub use scaling::Scaling;
pub use site::Site;
pub use spec::Spec;
pub use time::{Millis, Time};
