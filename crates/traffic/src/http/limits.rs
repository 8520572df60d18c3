//! How long the engine waits and how much it holds. One value for a role, made once at its start.

use std::time::Duration;

/// The most bytes of a request line.
pub(crate) const LINE_MAX: usize = 8 << 10;
/// The most bytes of a head: start line and header fields.
pub(crate) const HEAD_MAX: usize = 32 << 10;
/// The most header fields of a message.
pub(crate) const HEADERS_MAX: usize = 100;
/// The most bytes read ahead of what is written on, for one direction of one connection. A request body
/// or an answer that fits may be sent again; a longer one streams through.
pub(crate) const BODY_BUFFER: usize = 16 << 10;
/// The most bytes read at once of an answer that streams through, or of a tunnel: each read and each write
/// is a system call of some microseconds.
pub(crate) const STREAM_BUFFER: usize = 64 << 10;
/// The most instances one request is sent to.
pub(crate) const TRIES_MAX: u32 = 3;

/// How long the engine waits and how much it holds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A request's head must be complete this long after its first byte.
    pub head: Duration,
    /// A connection from below without a request is closed after this.
    pub idle: Duration,
    /// A body that makes no progress for so long is given up.
    pub progress: Duration,
    /// A connection to an instance must be made in this time.
    pub connect: Duration,
    /// An unused connection to an instance is closed after this.
    pub pool_idle: Duration,
    /// The most unused connections kept to one instance by one thread.
    pub pool_size: usize,
    /// The most requests of one face that wait for an instance to become usable. Where some are usable and
    /// all are as busy as the routes allow, the routes say how many wait.
    pub waiting: u32,
    /// How long one of them waits.
    pub wait: Duration,
    /// What the web face grants beyond the application's time-out, so that nginx answers first.
    pub web_grace: Duration,
    /// After an ejection, the pause before the first probe.
    pub probe_first: Duration,
    /// The pause before the second probe; it grows from there.
    pub probe_pause: Duration,
    /// The longest pause between two probes.
    pub probe_pause_max: Duration,
    /// How long one probe may take.
    pub probe: Duration,
    /// While draining, a connection from below without a request is kept this long.
    pub drain_idle: Duration,
    /// While draining, tunnels are closed one by one within this time.
    pub drain_tunnels: Duration,
    /// The tunnels of an instance that is no longer routed to are closed one by one within this time.
    pub retire_tunnels: Duration,
    /// An instance is named in reports this long after it was last routed to or held a request.
    pub remember: Duration,
    /// Draining ends after this, whatever is still open.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            progress: Duration::from_secs(60),
            connect: Duration::from_secs(1),
            pool_idle: Duration::from_secs(30),
            pool_size: 128,
            waiting: 1024,
            wait: Duration::from_secs(10),
            web_grace: Duration::from_secs(5),
            probe_first: Duration::from_millis(10),
            probe_pause: Duration::from_millis(100),
            probe_pause_max: Duration::from_secs(2),
            probe: Duration::from_secs(2),
            drain_idle: Duration::from_secs(10),
            drain_tunnels: Duration::from_secs(30),
            retire_tunnels: Duration::from_secs(5),
            remember: Duration::from_secs(30),
            drain: Duration::from_secs(50),
        }
    }
}
