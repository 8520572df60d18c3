//! Breaks the loopback network between a site's processes. Only inside a network namespace of its own; and
//! what it did it takes back when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const TABLE: &str = "stoa_drill";

/// A broken network.
pub(crate) struct Broken {
    over: Arc<AtomicBool>,
}

/// Refuses where this is the network of the whole machine: everybody's connections would suffer.
pub(crate) fn of_its_own() -> Result<(), String> {
    let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net"));
    match (network("1"), network("self")) {
        (Ok(machine), Ok(own)) if machine != own => Ok(()),
        (Ok(_), Ok(_)) => {
            Err("this fault breaks the network, and this is the machine's: bring the site up and \
             drill it in a namespace of its own. As root:\n  \
             ip netns add drill && ip netns exec drill ip link set lo up\n  \
             ip netns exec drill stoa up … && ip netns exec drill cargo xtask drill …"
                .to_owned())
        }
        (Err(error), _) | (_, Err(error)) => Err(format!("which network this is cannot be told: {error}")),
    }
}

impl Broken {
    /// Everything that processes of these users send to these ports is dropped.
    pub(crate) fn cut(users: &[u32], ports: &[u16]) -> Result<Self, String> {
        let rules: String = users
            .iter()
            .map(|user| format!("meta skuid {user} tcp dport {{ {} }} drop\n", list(ports)))
            .collect();
        rule("type filter hook output priority 0;", &rules)?;
        Ok(Broken { over: Arc::default() })
    }

    /// So many of a hundred packets to or from these ports get lost.
    pub(crate) fn lossy(percent: u8, ports: &[u16]) -> Result<Self, String> {
        let ports = list(ports);
        let lost = format!("numgen random mod 100 < {percent} drop");
        let rules = format!("tcp dport {{ {ports} }} {lost}\ntcp sport {{ {ports} }} {lost}\n");
        rule("type filter hook output priority 0;", &rules)?;
        Ok(Broken { over: Arc::default() })
    }

    /// What these users send to these ports, and the answers, arrive so much later: through a relay, because
    /// few kernels bring netem. Their open connections are reset, since only a new one is led there.
    pub(crate) fn slow(delay: Duration, users: &[u32], ports: &[u16]) -> Result<Self, String> {
        let over: Arc<AtomicBool> = Arc::default();
        let broken = Broken { over: over.clone() };
        let mut rules = String::new();
        for port in ports {
            let relay = relay(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), delay, over.clone())?;
            for user in users {
                rules += &format!("meta skuid {user} tcp dport {port} redirect to :{relay}\n");
            }
        }
        let reset: String = users
            .iter()
            .map(|user| format!("meta skuid {user} tcp dport {{ {} }} reject with tcp reset\n", list(ports)))
            .collect();
        rule("type filter hook output priority 0;", &reset)?;
        std::thread::park_timeout(Duration::from_millis(500));
        remove();
        rule("type nat hook output priority -100;", &rules)?;
        Ok(broken)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        remove();
        self.over.store(true, Ordering::Relaxed);
    }
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

fn rule(hook: &str, rules: &str) -> Result<(), String> {
    let script = format!("table ip {TABLE} {{\nchain out {{\n{hook}\n{rules}}}\n}}\n");
    let started = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut nft = started.map_err(|error| format!("nft: {error} (package nftables)"))?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(script.as_bytes()).map_err(|error| format!("nft: {error}"))?;
    }
    let ended = nft.wait_with_output().map_err(|error| format!("nft: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("nft refused {script}: {}", String::from_utf8_lossy(&ended.stderr)))
}

fn remove() {
    // It need not be there.
    let _ = Command::new("nft").args(["delete", "table", "ip", TABLE]).stderr(Stdio::null()).status();
}

/// The port of a relay to `to` that holds every byte back for a while.
fn relay(to: SocketAddr, delay: Duration, over: Arc<AtomicBool>) -> Result<u16, String> {
    let listen = || -> std::io::Result<(TcpListener, u16)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    let (listener, port) = listen().map_err(|error| format!("no relay: {error}"))?;
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((from, _)) => {
                    // Who cannot be led on is closed.
                    let _ = lead(&from, to, delay, &over);
                }
                Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
            }
        }
    });
    Ok(port)
}

fn lead(from: &TcpStream, to: SocketAddr, delay: Duration, over: &Arc<AtomicBool>) -> std::io::Result<()> {
    from.set_nonblocking(false)?;
    let onward = TcpStream::connect(to)?;
    for (reader, writer) in [(from, &onward), (&onward, from)] {
        reader.set_nodelay(true)?;
        reader.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (mut reader, writer) = (reader.try_clone()?, writer.try_clone()?);
        let (sender, receiver) = channel();
        std::thread::spawn(move || write_late(writer, &receiver));
        let over = over.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while !over.load(Ordering::Relaxed) {
                match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => {
                        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                        if sender.send((Instant::now() + delay, bytes)).is_err() {
                            return;
                        }
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                        ) => {}
                    Err(_) => return,
                }
            }
        });
    }
    Ok(())
}

fn write_late(mut writer: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in receiver {
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        if writer.write_all(&bytes).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = writer.shutdown(Shutdown::Both);
}
