//! How long the splitter waits, how much it holds and how fresh reads are. One value for a role, made once
//! at its start.

use std::time::Duration;

/// The most bytes read at once of an answer that streams through. More fall out of the processor's nearest cache between
/// their reading and their writing: megabyte rows cost half as much again with twice this.
pub(crate) const STREAM_BUFFER: usize = 32 << 10;

/// How fresh a read has to be, where neither statement nor session say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Whatever a replica within the lag bound has.
    Eventual,
    /// At least what the session itself wrote.
    #[default]
    Session,
    /// At least what anyone was told is written when the read began.
    Global,
}

/// How long the splitter waits, how much it holds, how fresh reads are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How fresh a read is.
    pub freshness: Freshness,
    /// No read is sent to a replica that is further behind than this.
    pub lag: Duration,
    /// How long a replica may take to reach the position a read needs; then the primary answers.
    pub catch_up: Duration,
    /// Whether clients may encrypt, with a certificate that is made at the start and signed by nobody.
    pub encryption: bool,
    /// Whether clients may compress.
    pub compression: bool,
    /// How long a statement for the primary waits while there is none.
    pub hold: Duration,
    /// The most connections of this process to one server.
    pub connections: u32,
    /// The most unused connections this process keeps, over all servers.
    pub unused: u32,
    /// An unused connection stays for the session it served last, and beyond `unused`, at most this long.
    pub unused_for: Duration,
    /// The most statements that wait for a connection.
    pub waiting: u32,
    /// How long one of them waits.
    pub wait: Duration,
    /// A connection to a server must be made, and logged in, in this time.
    pub connect: Duration,
    /// A client has to log in within this time.
    pub login: Duration,
    /// A client without a statement is let go after this.
    pub idle: Duration,
    /// A client that takes nothing of its answer for so long is let go.
    pub progress: Duration,
    /// The longest command held as a whole; a longer one streams to the primary.
    pub command: usize,
    /// The longest packet that passes.
    pub packet: u64,
    /// The most bytes of parameters sent ahead of one execution (`COM_STMT_SEND_LONG_DATA`).
    pub long_data: usize,
    /// The most prepared statements of one session.
    pub prepared: usize,
    /// The most bytes of a transaction that are kept to run it again elsewhere.
    pub replay_bytes: usize,
    /// The most statements of such a transaction.
    pub replay_statements: usize,
    /// A statement that takes longer is logged.
    pub slow: Duration,
    /// The most different statements that one thread counts apart.
    pub digests: usize,
    /// What one kind of statement may use.
    pub limits: DigestLimits,
    /// At the end, sessions get this long to finish what they do.
    pub drain: Duration,
}

/// What one kind of statement may use; nothing is limited where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestLimits {
    /// The most rows of one answer.
    pub rows: Option<u64>,
    /// The longest one may take.
    pub time: Option<Duration>,
    /// The most that one thread runs at once.
    pub concurrency: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            freshness: Freshness::Session,
            lag: Duration::from_secs(10),
            catch_up: Duration::from_millis(500),
            encryption: true,
            compression: true,
            hold: Duration::from_secs(30),
            connections: 100,
            unused: 8,
            unused_for: Duration::from_secs(2),
            waiting: 4096,
            wait: Duration::from_secs(10),
            connect: Duration::from_secs(2),
            login: Duration::from_secs(10),
            idle: Duration::from_secs(8 * 3600),
            progress: Duration::from_secs(60),
            command: 1 << 20,
            packet: 1 << 30,
            long_data: 64 << 20,
            prepared: 16_382,
            replay_bytes: 1 << 20,
            replay_statements: 1000,
            slow: Duration::from_secs(1),
            digests: 1000,
            limits: DigestLimits::default(),
            drain: Duration::from_secs(30),
        }
    }
}
