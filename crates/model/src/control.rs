//! What the daemon and a role say to each other over the role's control socket.
//!
//! Frames: a big-endian `u32` length, then that many bytes of JSON, at most [`FRAME_MAX`]. The daemon
//! connects; the role listens, so that a new daemon finds a living role by its path. A role keeps its
//! last routes when the connection ends.

use crate::ids::{Generation, InstanceId};
use crate::routes::Routes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes of one frame.
pub const FRAME_MAX: usize = 4 << 20;

/// The names of inherited sockets (`LISTEN_FDNAMES`, sd_listen_fds(3)), in the order of their numbers.
pub mod socket_names {
    /// The face visitors connect to.
    pub const WEB_FACE: &str = "web";
    /// The face nginx connects to.
    pub const APP_FACE: &str = "app";
    /// The address applications connect to for their database, over TCP.
    pub const SQL_TCP: &str = "sql";
    /// The same as a Unix socket.
    pub const SQL_UNIX: &str = "sql-unix";
    /// The role's control socket.
    pub const CONTROL: &str = "control";
}

/// From the daemon to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made a change of routes; a box would be in every pattern"
)]
pub enum Order {
    /// Serve by these from now on. A generation lower than the one served is ignored.
    Routes(Routes),
    /// Send the listening sockets back: a [`Report`] follows at once, with the sockets of
    /// [`socket_names::WEB_FACE`] and [`socket_names::APP_FACE`], in this order, as `SCM_RIGHTS`; from a
    /// splitter those of [`socket_names::SQL_TCP`] and [`socket_names::SQL_UNIX`].
    Listeners,
    /// To a splitter: end this session of yours, which a client of another splitter names.
    Kill(KillOrder),
    /// To a splitter: what became of the `Kill` it asked for.
    Killed(KillAnswer),
    /// To a splitter: so many of the sessions that it sent in [`SqlReport::moving`] have been passed on, or ended. It
    /// waits for that before it ends.
    Taken(u32),
    /// To a splitter: go on with a session that another one sent in [`SqlReport::moving`]. Its client's connection
    /// comes with it.
    Adopt(MovedSession),
}

/// From a role to the daemon: at every change of what it acknowledges or ejects or when a drained
/// instance reaches zero, and once a second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The generation nothing older than which is used for a new request.
    pub serving: Generation,
    /// What is known of each instance that is routed to or has requests in flight, or did half a minute ago:
    /// so that its last answers are read.
    pub instances: BTreeMap<InstanceId, UpstreamReport>,
    /// What came in at the web face since the role started.
    pub web_face: Traffic,
    /// What came in at the app face since the role started.
    pub app_face: Traffic,
    /// What waited at the app face for an instance, since the role started and now.
    #[serde(default)]
    pub app_queue: Queue,
    /// What only a splitter has to tell. Its `instances` tell statements and open transactions as
    /// requests in flight, and as tunnels the idle sessions that are bound to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlReport>,
}

/// What a splitter sees of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlReport {
    /// Clients that are connected now.
    pub sessions: u32,
    /// Statements that wait for a primary now, because the routes name none or it cannot be reached.
    pub held: u32,
    /// Statements that wait now for one of the connections there may be to a server.
    pub waiting: u32,
    /// Each server that is routed to or holds something.
    pub instances: BTreeMap<InstanceId, SqlInstanceReport>,
    /// The statements that took the most time since the role started, at most [`DIGESTS_MAX`].
    pub digests: Vec<DigestReport>,
    /// Sessions of other splitters that clients of this one end. Each stands in one report only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<KillOrder>,
    /// What became of those that other splitters asked for, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub killed: Vec<KillAnswer>,
    /// It is to end: it accepts nothing more.
    #[serde(default)]
    pub draining: bool,
    /// Sessions that are to go on at another splitter, in the splitters' own form, likewise. Their clients'
    /// connections come with the report, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<MovedSession>,
}

/// What a splitter's session is in, in the splitters' own form. It may hold the keys of the client's connection and
/// what its user has prepared, and is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MovedSession(pub String);

impl std::fmt::Debug for MovedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MovedSession of {} bytes", self.0.len())
    }
}

/// The bits of a connection id below those that say which splitter gave it.
pub const PLACE_SHIFT: u32 = 28;

/// What stands in the highest bits of every connection id that the splitter of this number gives: 1 to 15,
/// so that no id of a client's is also the small number of a server's own.
pub fn splitter_place(splitter: InstanceId) -> u8 {
    (splitter.number % 15) as u8 + 1
}

/// A `KILL` of a session that is another splitter's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    /// The asking splitter's own number for it.
    pub ticket: u64,
    /// The place of the asking splitter, see [`splitter_place`].
    pub from: u8,
    /// The connection id.
    pub session: u32,
    /// Only its statement.
    pub query_only: bool,
    /// Only if it is this user's; anybody's where there is none.
    pub owner: Option<String>,
}

impl KillOrder {
    /// The place of the splitter that gave the session its id.
    pub fn to(&self) -> u8 {
        (self.session >> PLACE_SHIFT) as u8
    }
}

/// What became of a [`KillOrder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillAnswer {
    /// Its number.
    pub ticket: u64,
    /// Whose number that is.
    pub from: u8,
    /// What became of it.
    pub outcome: KillOutcome,
}

/// What became of a `KILL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KillOutcome {
    /// The session, or its statement, ends.
    Done,
    /// It is another user's.
    Denied,
    /// There is no such session.
    Unknown,
}

/// The most rows of [`SqlReport::digests`].
pub const DIGESTS_MAX: usize = 200;

/// A database server as a splitter sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlInstanceReport {
    /// Connections to it, used or not.
    pub connections: u32,
    /// Statements and open transactions it holds now.
    pub in_flight: u32,
    /// Sessions without a statement that are bound to a connection of their own.
    pub pinned: u32,
    /// Statements it answered since the role started.
    pub statements: u64,
    /// How many of them with an error.
    pub errors: u64,
    /// Statements that got no answer because the connection broke.
    pub broken: u64,
    /// How long the answers took: counts per bucket of [`DURATION_BOUNDS_MS`], the last one for all above.
    pub durations: [u64; DURATION_BOUNDS_MS.len() + 1],
    /// The sum of those times, in microseconds.
    pub duration_sum_us: u64,
    /// For a replica: how far it is behind the primary, where both answer.
    pub lag_ms: Option<u64>,
    /// Why no read is sent to it now, where it is left out.
    pub left_out: Option<String>,
}

/// Statements that differ in their literals only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DigestReport {
    /// Which, as 16 hexadecimal digits.
    pub digest: String,
    /// The text without its literals, cut where it is long.
    pub text: String,
    /// Answered by the primary.
    pub primary: u64,
    /// Answered by a replica.
    pub replica: u64,
    /// How many of them with an error.
    pub errors: u64,
    /// Rows given to clients.
    pub rows: u64,
    /// The sum of the times from sending to the end of the answer, in microseconds.
    pub time_us: u64,
    /// The longest of them.
    pub longest_us: u64,
}

/// Requests that waited for an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Queue {
    /// Requests that arrived, waiting or not, since the role started.
    pub arrived: u64,
    /// How many wait now.
    pub waiting: u32,
    /// How long requests have waited, in microseconds, since the role started; those that did not wait
    /// add nothing.
    pub waited_us: u64,
    /// Refused because too many waited, since the role started.
    pub shed: u64,
}

/// One instance as a role sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpstreamReport {
    /// Requests (FastCGI: connections) and tunnels that it holds now.
    pub in_flight: u32,
    /// How many of them are tunnels, which may be open for hours and do nothing.
    #[serde(default)]
    pub tunnels: u32,
    /// Why nothing is sent to it now, where it was ejected.
    pub ejected: Option<String>,
    /// What was sent to it since the role started or, where a report did not name it, since it is named again.
    pub traffic: Traffic,
}

/// Rate, errors and duration, as counters that only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Answered requests by class of status: 1xx to 5xx.
    pub status: [u64; 5],
    /// Requests that never got an answer: broken by either side.
    pub broken: u64,
    /// Sent again to another instance.
    pub retried: u64,
    /// Open connections from below (visitors, nginx) now; zero for an instance.
    pub connections: u64,
    /// Time from the head of the request to the end of the answer: counts per bucket of
    /// [`DURATION_BOUNDS_MS`], the last one for everything above. For an instance without what the request
    /// waited before it was sent there.
    pub durations: [u64; DURATION_BOUNDS_MS.len() + 1],
    /// The sum of those times, in microseconds.
    pub duration_sum_us: u64,
}

/// Upper bounds of the duration buckets, in milliseconds.
pub const DURATION_BOUNDS_MS: [u64; 14] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];
