//! The servers of the bench: the raw limit, Parlor, and the peers; how each is installed, started, spoken to.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::clients::Client;
use crate::install;
use crate::options::Options;
use crate::server::Server;

/// Where things are.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's folder of the profile that is measured, with `parlor` and `examples/echo` in it.
    pub(crate) built: PathBuf,
    /// Logs, data directories and built peers.
    pub(crate) scratch: PathBuf,
}

/// One server under test. A scenario that it has no client for is left out of its rows.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) fanout: Option<Client>,
    /// Fan-out to subscribers that listen to server-sent events.
    pub(crate) events: Option<Client>,
    /// Fan-out to subscribers that long poll.
    pub(crate) polls: Option<Client>,
    pub(crate) echo: Option<Client>,
    pub(crate) idle: Option<Client>,
    /// Does it run the Socket.IO application (`/socket.io/`, event `publish`, room `bench`)?
    pub(crate) socket_io: bool,
    /// Some take minutes to open ten thousand connections; these get three thousand.
    pub(crate) slow_to_connect: bool,
    install: fn(&Bench) -> Result<()>,
    command: fn(&Bench) -> Result<Launch>,
}

/// A command, and its address if the server cannot print it.
#[derive(Debug)]
pub(crate) struct Launch {
    command: Command,
    address: Option<SocketAddr>,
}

impl From<Command> for Launch {
    fn from(command: Command) -> Self {
        Launch { command, address: None }
    }
}

impl Peer {
    pub(crate) fn install(&self, bench: &Bench) -> Result<()> {
        (self.install)(bench).with_context(|| format!("{} cannot be installed", self.name))
    }

    /// Starts a fresh server on these cores.
    pub(crate) fn start(&self, bench: &Bench, cores: &str) -> Result<Server> {
        let launch = (self.command)(bench)?;
        let log = bench.scratch.join(format!("{}.log", self.name));
        Server::start(&launch.command, cores, launch.address, &log)
    }
}

const NO_INSTALL: fn(&Bench) -> Result<()> = |_| Ok(());

/// The room that fan-out is measured in: no log, made for fan-out.
const LIVE: &str = "live:bench";

/// A room with the default policy: kept, acknowledged when it is on the disk.
pub(crate) const DURABLE: &str = "bench";

fn live() -> Client {
    Client::native("/ws?room=live:bench", LIVE)
}

fn durable() -> Client {
    Client::native("/ws?room=bench", DURABLE)
}

/// All that poll the Socket.IO application.
fn socket_io_polls() -> Client {
    Client::socket_io("publish").polling("/socket.io/?EIO=4&transport=polling")
}

pub(crate) fn raw_limit() -> Peer {
    Peer {
        name: "rawlimit",
        fanout: Some(Client::raw_limit("/ws")),
        events: Some(Client::raw_limit("/ws").listening("/events")),
        polls: Some(Client::raw_limit("/ws").polling("/poll")),
        echo: Some(Client::raw("/echo")),
        idle: Some(Client::raw_limit("/ws")),
        socket_io: false,
        slow_to_connect: false,
        install: NO_INSTALL,
        command: |bench| rawlimit(bench, &[]),
    }
}

pub(crate) fn batching_limit() -> Peer {
    Peer { name: "rawlimit --batch", command: |bench| rawlimit(bench, &["--batch"]), ..raw_limit() }
}

/// Parlor in all its roles: the binary for rooms and idle connections, the example for echo.
pub(crate) fn parlor() -> Peer {
    Peer {
        name: "parlor",
        fanout: Some(live()),
        events: Some(live().listening("/sse?room=live:bench")),
        polls: Some(live().polling("/poll?room=live:bench")),
        echo: None,
        idle: Some(Client::native("/ws", "")),
        socket_io: false,
        slow_to_connect: false,
        install: NO_INSTALL,
        command: parlor_serve,
    }
}

pub(crate) fn parlor_durable() -> Peer {
    Peer {
        name: "parlor (durable room)",
        fanout: Some(durable()),
        events: Some(durable().listening("/sse?room=bench")),
        polls: Some(durable().polling("/poll?room=bench")),
        ..parlor()
    }
}

pub(crate) fn parlor_echo() -> Peer {
    Peer {
        name: "parlor-echo",
        fanout: None,
        events: None,
        polls: None,
        echo: Some(Client::raw("/echo")),
        idle: None,
        socket_io: false,
        slow_to_connect: false,
        install: NO_INSTALL,
        command: |bench| {
            let mut command = Command::new(bench.built.join("examples/echo"));
            command.args(["--listen", "127.0.0.1:0"]);
            Ok(command.into())
        },
    }
}

/// The library's Socket.IO, as an application of its own.
pub(crate) fn parlor_socketio() -> Peer {
    Peer {
        name: "parlor-socketio",
        fanout: None,
        events: None,
        polls: Some(socket_io_polls()),
        echo: None,
        idle: None,
        socket_io: true,
        slow_to_connect: false,
        install: |bench| {
            if !socketio_bench(bench).exists() {
                let profile = bench.built.file_name().unwrap_or_default().display();
                bail!("no example `socketio_bench` of crate parlor was built in profile {profile}");
            }
            Ok(())
        },
        command: |bench| {
            let mut command = Command::new(socketio_bench(bench));
            command.args(["--listen", "127.0.0.1:0"]);
            Ok(command.into())
        },
    }
}

fn socketio_bench(bench: &Bench) -> PathBuf {
    bench.built.join("examples/socketio_bench")
}

/// Other people's servers, each the same small application: what one sends on `/ws` goes to everyone on
/// `/ws`, what one sends on `/echo` comes back. In Socket.IO: what comes as `publish` goes to the room
/// `bench`, in which everyone is, as `message`; what comes as `echo` comes back.
pub(crate) fn others() -> Vec<Peer> {
    let raw = |name, install, command| Peer {
        name,
        fanout: Some(Client::raw("/ws")),
        events: None,
        polls: None,
        echo: Some(Client::raw("/echo")),
        idle: Some(Client::raw("/ws")),
        socket_io: false,
        slow_to_connect: false,
        install,
        command,
    };
    let socket_io = |name, install, command| Peer {
        fanout: Some(Client::socket_io("publish")),
        polls: Some(socket_io_polls()),
        echo: Some(Client::socket_io("echo")),
        idle: Some(Client::socket_io("publish")),
        socket_io: true,
        ..raw(name, install, command)
    };
    vec![
        raw("axum", install::rust, |bench| Ok(rust(bench, "axum-peer").into())),
        socket_io("socketioxide", install::rust, |bench| Ok(rust(bench, "socketioxide-peer").into())),
        raw("ws", install::node, |bench| Ok(node(bench, "ws.mjs").into())),
        socket_io("socket.io", install::node, |bench| Ok(node(bench, "socketio.mjs").into())),
        slow(raw("websockets", install::python, |bench| Ok(python(bench, "websockets_peer.py").into()))),
        slow(raw("gevent-websocket", install::python, |bench| Ok(python(bench, "gevent_peer.py").into()))),
        slow(socket_io("python-socketio", install::python, |bench| {
            Ok(python(bench, "socketio_peer.py").into())
        })),
        slow(raw("channels", install::python, |bench| Ok(python(bench, "channels_peer.py").into()))),
        Peer {
            events: Some(Client::raw("/ws").listening("/events")),
            polls: Some(Client::raw("/ws").polling("/poll")),
            echo: None,
            ..raw("nchan", install::nchan, nchan)
        },
    ]
}

fn slow(peer: Peer) -> Peer {
    Peer { slow_to_connect: true, ..peer }
}

fn rawlimit(bench: &Bench, more: &[&str]) -> Result<Launch> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("rawlimit").args(more).args(["--frame-bytes", &bench.options.frame_bytes.to_string()]);
    Ok(command.into())
}

fn parlor_serve(bench: &Bench) -> Result<Launch> {
    Ok(parlor_command(bench, &fresh_data(bench)?, "127.0.0.1:0").into())
}

/// A store that no server has had; one process at a time has it.
pub(crate) fn fresh_data(bench: &Bench) -> Result<PathBuf> {
    fresh_folder(&bench.scratch.join("data"))
}

pub(crate) fn parlor_command(bench: &Bench, data: &Path, listen: &str) -> Command {
    let mut command = Command::new(bench.built.join("parlor"));
    command.args(["serve", "--listen", listen, "--engine", "embedded", "--no-limits", "--data"]).arg(data);
    command
}

fn rust(bench: &Bench, name: &str) -> Command {
    Command::new(bench.scratch.join("peers-rust/release").join(name))
}

fn node(bench: &Bench, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(bench.root.join("benches/peers/node").join(script));
    command
}

fn python(bench: &Bench, script: &str) -> Command {
    let mut command = Command::new(install::python_env(bench).join("bin/python"));
    command.arg(bench.root.join("benches/peers/python").join(script));
    command
}

/// nginx cannot choose a port, so one that was free a moment ago is filled into its configuration.
fn nchan(bench: &Bench) -> Result<Launch> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let folder = fresh_folder(&bench.scratch.join("nchan"))?;
    std::fs::create_dir_all(&folder)?;
    let template = std::fs::read_to_string(bench.root.join("benches/peers/nchan/nginx.conf"))?;
    let conf = template
        .replace("PORT", &address.port().to_string())
        .replace("FOLDER", &folder.display().to_string());
    std::fs::write(folder.join("nginx.conf"), conf)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg("/usr/share/nginx");
    Ok(Launch { command, address: Some(address) })
}

/// `FOLDER-0`, `FOLDER-1`, … : the first that nobody has used in this run, emptied.
fn fresh_folder(base: &Path) -> Result<PathBuf> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(format!("{}-{number}", base.display()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}
