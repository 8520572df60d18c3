//! Names and numbers that must not be mixed up, each with its own type.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text was not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct IdError {
    /// The text as it was given.
    pub value: String,
    /// What would have been accepted, with an example.
    pub expected: &'static str,
}

/// The name of a site: 1 to 32 of `a-z 0-9 -`, beginning with a letter. It names folders and users,
/// so nothing else is ever accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteName(String);

/// The name of a host, as [`SiteName`]; a single-machine site has the host `local`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId(String);

/// The name of an environment, as [`SiteName`]; `production` unless another is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentName(String);

/// One kind of server in the path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Our data plane: the web face in front of nginx and the app face behind it.
    Balancer,
    /// nginx.
    Web,
    /// The user's code.
    App,
    /// Our data plane between the code and the database: writes to the primary, reads to the replicas.
    Splitter,
    /// MariaDB or MySQL.
    Database,
    /// Redis or Memcached.
    Cache,
}

/// One running server of a tier, written `app-3`. Numbers start at 1 and are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// The tier it serves in.
    pub tier: Tier,
    /// Its number within the tier.
    pub number: u16,
}

/// One immutable built version of the application code, written `7-3fa9c21`: a sequence number that
/// grows with every release of the site, and the first seven digits of the commit (or of the
/// content's hash where the code is in no repository).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    number: u32,
    commit: String,
}

/// The number of a deployment: grows with each that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct DeployNumber(pub u64);

/// Grows with every change of what the data plane may send where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// Grows with every change of database primary; a stale actor's writes are refused by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Term(pub u64);

/// A fingerprint of a [`crate::Spec`]: equal digests mean "runs as it should". FNV-1a, 64 bits; it
/// tells accidental difference, not forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u64);

impl Tier {
    /// Every tier, in the order in which a site is brought up.
    pub const ALL: [Tier; 6] =
        [Tier::Database, Tier::Cache, Tier::Splitter, Tier::App, Tier::Web, Tier::Balancer];

    /// The word for it, as in `app-3` and `stoa restart app`.
    pub const fn word(self) -> &'static str {
        match self {
            Tier::Balancer => "balancer",
            Tier::Web => "web",
            Tier::App => "app",
            Tier::Splitter => "splitter",
            Tier::Database => "database",
            Tier::Cache => "cache",
        }
    }

    /// Whether its instances are roles of our own: they take routes, acknowledge them and report.
    pub const fn is_role(self) -> bool {
        matches!(self, Tier::Balancer | Tier::Splitter)
    }

    /// The roles that send to instances of this tier what the routes allow; none where nothing is routed.
    pub const fn routed_by(self) -> Option<Tier> {
        match self {
            Tier::Web | Tier::App => Some(Tier::Balancer),
            Tier::Database => Some(Tier::Splitter),
            Tier::Balancer | Tier::Splitter | Tier::Cache => None,
        }
    }
}

impl InstanceId {
    /// `tier`-`number`.
    pub const fn new(tier: Tier, number: u16) -> Self {
        InstanceId { tier, number }
    }
}

impl Generation {
    /// The one that follows.
    pub const fn next(self) -> Self {
        Generation(self.0 + 1)
    }
}

impl Term {
    /// The one that follows.
    pub const fn next(self) -> Self {
        Term(self.0 + 1)
    }
}

impl ReleaseId {
    /// The release `number` made from `commit` (hexadecimal, at least seven digits).
    pub fn new(number: u32, commit: &str) -> Result<Self, IdError> {
        let short = commit.get(..7).unwrap_or_default();
        if short.len() == 7 && short.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(ReleaseId { number, commit: short.to_owned() });
        }
        Err(IdError {
            value: commit.to_owned(),
            expected: "a commit hash of at least seven hexadecimal digits",
        })
    }

    /// Its place in the sequence of this site's releases.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The first seven digits of what it was made from.
    pub fn commit(&self) -> &str {
        &self.commit
    }
}

impl Digest {
    /// The number, such as for a seed.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        Digest(bytes.iter().fold(OFFSET, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(PRIME)))
    }
}

fn plain_name(value: &str) -> bool {
    value.len() <= 32
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && value.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

macro_rules! text_id {
    ($name:ty, $display:expr) => {
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                value.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let write: fn(&$name, &mut fmt::Formatter<'_>) -> fmt::Result = $display;
                write(self, f)
            }
        }
    };
}

text_id!(SiteName, |id, f| f.pad(&id.0));
text_id!(HostId, |id, f| f.pad(&id.0));
text_id!(EnvironmentName, |id, f| f.pad(&id.0));
text_id!(InstanceId, |id, f| f.pad(&format!("{}-{}", id.tier.word(), id.number)));
text_id!(ReleaseId, |id, f| f.pad(&format!("{}-{}", id.number, id.commit)));
text_id!(Digest, |id, f| write!(f, "{:016x}", id.0));

impl FromStr for SiteName {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        if plain_name(value) {
            return Ok(SiteName(value.to_owned()));
        }
        let expected = "a site name: 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"my-shop\"";
        Err(IdError { value: value.to_owned(), expected })
    }
}

impl FromStr for HostId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        if plain_name(value) {
            return Ok(HostId(value.to_owned()));
        }
        let expected = "a host name: 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"web-a\"";
        Err(IdError { value: value.to_owned(), expected })
    }
}

impl FromStr for EnvironmentName {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        if plain_name(value) {
            return Ok(EnvironmentName(value.to_owned()));
        }
        let expected =
            "an environment: 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"staging\"";
        Err(IdError { value: value.to_owned(), expected })
    }
}

impl Default for EnvironmentName {
    fn default() -> Self {
        EnvironmentName("production".to_owned())
    }
}

impl EnvironmentName {
    /// Whether it is the one that the file itself describes.
    pub fn is_production(&self) -> bool {
        *self == EnvironmentName::default()
    }
}

impl DeployNumber {
    /// The one that follows.
    pub const fn next(self) -> Self {
        DeployNumber(self.0 + 1)
    }
}

impl fmt::Display for DeployNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl HostId {
    /// The host of a single-machine site.
    pub fn local() -> Self {
        HostId("local".to_owned())
    }
}

impl FromStr for Tier {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let found = Tier::ALL.into_iter().find(|tier| tier.word() == value);
        let expected = "a tier: balancer, web, app, database or cache";
        found.ok_or_else(|| IdError { value: value.to_owned(), expected })
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for InstanceId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let parsed = value.rsplit_once('-').and_then(|(tier, number)| {
            let canonical = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
            Some(InstanceId::new(tier.parse().ok()?, canonical.then(|| number.parse().ok())??))
        });
        parsed.ok_or_else(|| IdError { value: value.to_owned(), expected: "an instance, such as app-3" })
    }
}

impl FromStr for ReleaseId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let parsed = value.split_once('-').and_then(|(number, commit)| {
            let canonical = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
            let number = canonical.then(|| number.parse().ok())??;
            (commit.len() == 7).then(|| ReleaseId::new(number, commit).ok())?
        });
        parsed.ok_or_else(|| IdError { value: value.to_owned(), expected: "a release, such as 7-3fa9c21" })
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let parsed = u64::from_str_radix(value, 16).map(Digest);
        parsed.map_err(|_| IdError { value: value.to_owned(), expected: "16 hexadecimal digits" })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_they_are_read() {
        for text in ["app-3", "balancer-1", "database-12", "cache-65535"] {
            assert_eq!(text.parse::<InstanceId>().unwrap().to_string(), text);
        }
        assert_eq!("7-3fa9c21".parse::<ReleaseId>().unwrap().to_string(), "7-3fa9c21");
        let digest = Digest::of(b"spec");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "app", "app-", "app-03", "app-+3", "app--3", "app-70000", "shop-1", "app-1/../.."] {
            assert!(text.parse::<InstanceId>().is_err(), "{text:?}");
        }
        for text in ["", "7", "7-3FA9C21", "7-3fa9c2", "07-3fa9c21", "7-3fa9c21/..", "-3fa9c21"] {
            assert!(text.parse::<ReleaseId>().is_err(), "{text:?}");
        }
        for text in ["", "-x", "1shop", "x; } server {", "a/b", "..", "Shop", &"a".repeat(33)] {
            assert!(text.parse::<SiteName>().is_err(), "{text:?}");
        }
    }
}
