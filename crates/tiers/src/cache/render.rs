//! `redis.conf` and Memcached's arguments, as text. Pure.

use crate::host::launch::RenderedFile;
use crate::host::{Credentials, HostError};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use stoa_model::site::Eviction;
use stoa_model::spec::CacheSpec;
use stoa_model::{InstanceId, Paths};

/// What Redis is run by. The password stands in it, so it is secret.
pub(super) fn redis(
    instance: InstanceId,
    spec: &CacheSpec,
    address: SocketAddr,
    paths: &Paths,
    credentials: &Credentials,
) -> Result<RenderedFile, HostError> {
    let folder = quote(instance, &paths.data(instance))?;
    let text = format!(
        "# Written by Stoa; changes are lost at the next start.\n\
         bind {ip}\n\
         port {port}\n\
         protected-mode yes\n\
         requirepass {password}\n\
         daemonize no\n\
         set-proc-title no\n\
         logfile \"\"\n\
         loglevel notice\n\
         tcp-backlog 511\n\
         tcp-keepalive 60\n\
         timeout 0\n\
         maxclients 4096\n\
         # A cache: nothing in it outlives the process, nothing is written to the disk.\n\
         dir {folder}\n\
         save \"\"\n\
         appendonly no\n\
         maxmemory {memory}\n\
         maxmemory-policy {eviction}\n\
         lazyfree-lazy-eviction yes\n\
         lazyfree-lazy-expire yes\n",
        ip = address.ip(),
        port = address.port(),
        password = credentials.cache(),
        memory = spec.memory.0,
        eviction = eviction(spec.eviction),
    );
    Ok(RenderedFile { path: paths.instance(instance).join("redis.conf"), text, secret: true })
}

/// What Memcached is run by: it has no password, and listens on the loopback interface alone, without UDP.
pub(super) fn memcached(spec: &CacheSpec, address: SocketAddr) -> Vec<OsString> {
    let megabytes = (spec.memory.0 >> 20).max(1);
    let numbers = (address.ip().to_string(), address.port().to_string(), megabytes.to_string());
    let words = ["memcached", "-l", &numbers.0, "-p", &numbers.1, "-U", "0", "-m", &numbers.2, "-c", "4096"];
    words.map(OsString::from).into()
}

fn eviction(eviction: Eviction) -> &'static str {
    match eviction {
        Eviction::AllkeysLru => "allkeys-lru",
        Eviction::AllkeysLfu => "allkeys-lfu",
        Eviction::VolatileLru => "volatile-lru",
        Eviction::Noeviction => "noeviction",
    }
}

/// A path as one word of `redis.conf`.
fn quote(instance: InstanceId, path: &Path) -> Result<String, HostError> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    let text = text.ok_or_else(|| HostError::Config {
        instance,
        why: format!("the path {path:?} cannot stand in redis.conf; choose another state folder"),
    })?;
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
