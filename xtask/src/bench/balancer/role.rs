//! Stoa's balancer role, started and told its routes as the daemon does it, over the control socket that
//! `stoa_model::control` describes.

use crate::shared::process::Process;
use rustix::io::{FdFlags, fcntl_setfd};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stoa_model::control::{FRAME_MAX, Order, Report, socket_names};
use stoa_model::routes::Route;
use stoa_model::{Endpoint, Generation, InstanceId, Routes, Tier, Time};

const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// The first descriptor that sd_listen_fds(3) passes on.
const FIRST: i32 = 3;

/// Starts a role of one thread that sends what comes in at its web face to `origin`.
pub(crate) fn start(stoa: &Path, home: &Path, origin: &Path) -> Result<(SocketAddr, Process), String> {
    let listen = || {
        let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let app = UnixListener::bind(home.join("app"))?;
        let control = UnixListener::bind(home.join("control"))?;
        io::Result::Ok((web.local_addr()?, web, app, control))
    };
    let (address, web, app, control) = listen().map_err(|error| format!("the role's sockets: {error}"))?;
    let mut sockets = [
        (socket_names::WEB_FACE, web.as_fd()),
        (socket_names::APP_FACE, app.as_fd()),
        (socket_names::CONTROL, control.as_fd()),
    ];
    sockets.sort_by_key(|(_, socket)| socket.as_raw_fd());
    // A name for every number up to the last socket: they lie where they lie, none is moved.
    let mut names = Vec::new();
    for (name, socket) in sockets {
        let place = usize::try_from(socket.as_raw_fd() - FIRST).unwrap_or(0);
        names.resize(place, "unused");
        names.push(name);
        fcntl_setfd(socket, FdFlags::empty()).map_err(|error| format!("the {name} socket: {error}"))?;
    }
    let mut command = Command::new(stoa);
    command.args(["role", "balancer", "--threads", "1"]);
    command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    command.env_remove("LISTEN_PID");
    let process = Process::start(&mut command, Stdio::null())?;
    let routed = tell(&home.join("control"), origin);
    routed.map_err(|error| format!("the role's control socket: {error}"))?;
    Ok((address, process))
}

/// Tells the role its routes and waits until it serves by them. It keeps them when the connection ends.
fn tell(control: &Path, origin: &Path) -> io::Result<()> {
    let generation = Generation(1);
    let route = Route {
        tls: false,
        instance: InstanceId::new(Tier::Web, 1),
        endpoint: Endpoint::Unix(origin.to_owned()),
        started: Time(1),
        because: "it is measured".to_owned(),
        release: None,
    };
    let routes = Routes { generation, web: vec![route], ..Routes::default() };
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(ACKNOWLEDGED_WITHIN))?;
    let order = serde_json::to_vec(&Order::Routes(routes))?;
    let length = u32::try_from(order.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&order)?;
    let deadline = Instant::now() + ACKNOWLEDGED_WITHIN;
    while Instant::now() < deadline {
        if report(&mut stream)?.serving >= generation {
            return Ok(());
        }
    }
    Err(io::Error::other(format!("the routes were not acknowledged within {ACKNOWLEDGED_WITHIN:?}")))
}

fn report(stream: &mut UnixStream) -> io::Result<Report> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(serde_json::from_slice(&frame)?)
}
