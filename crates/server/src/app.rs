//! The wiring, on one screen: settings, engine, library, HTTP API, pages.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result};
use parlor::{Limits, Memory, Origins, Running, Server};
use parlor_engines::RedisEngine;
use parlor_hub::Hub;
use parlor_hub::command::Publish;
use parlor_hub::engine::{Engine, Published};
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::Ack;
use parlor_hub::publish::Publisher;
use parlor_proto::name::RoomName;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{self, key};
use crate::clock::now_ms;
use crate::config::{EngineKind, Settings};
use crate::pages;

/// Starts everything and returns when it is told to stop. The process ends with the code that this returns.
pub(crate) fn serve(settings: &Settings) -> Result<()> {
    let engine = engine(settings)?;
    let api_key = key::load_or_make(&settings.data)?;
    let durability = durability(&settings.engine, engine.ack());
    let mut server = Server::new();
    server
        .chat()
        .engine(engine)
        .origins(Origins {
            allowed: pages(settings),
            loopback: settings.listen.ip().is_loopback(),
            any: false,
        })
        .proxies(settings.proxies.clone())
        .overflows(settings.overflows.clone())
        .limits(settings.limits)
        .memory(Memory::of_this_process(settings.memory));
    if let Some(tls) = settings.tls.clone() {
        server.tls(tls);
    }
    if let Some(window) = settings.recovery {
        server.recover_chat(window);
    }
    if settings.compression {
        server.compress_chat();
    }
    if let Some(workers) = settings.workers {
        server.workers(workers);
    }
    let running = server
        .listen_with(settings.listen, |hub, router| {
            let (listen, public_url) = (settings.listen, settings.public_url.clone());
            let pages =
                pages::router(pages::Info { scheme: scheme(settings), listen, public_url, durability });
            router.merge(api::router(Arc::clone(hub), api_key)).merge(pages)
        })
        .map_err(|error| match error.kind() {
            // It says itself which setting is wrong.
            ErrorKind::InvalidInput => error.into(),
            _ => anyhow::Error::from(error)
                .context(format!("cannot listen on {}; is another Parlor running there?", settings.listen)),
        })?;
    greet(running.hub());
    announce(&running, settings, durability)?;
    wait_for_signal()?;
    tracing::info!("stopping: everybody is told to come back");
    running.stop();
    Ok(())
}

/// The origins of pages that may connect besides those that come from here.
fn pages(settings: &Settings) -> Vec<String> {
    let mut origins = settings.origins.clone();
    // Scheme, two slashes, host and port: the address without its path.
    let public = settings.public_url.iter().map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/"));
    origins.extend(public);
    origins
}

fn engine(settings: &Settings) -> Result<Arc<dyn Engine>> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("the system has no random numbers: {error}"))?;
    std::fs::create_dir_all(&settings.data)
        .with_context(|| format!("cannot make the data directory {}", settings.data.display()))?;
    match &settings.engine {
        EngineKind::Memory => Ok(Arc::new(MemoryEngine::new(secret))),
        EngineKind::Embedded => crate::embedded::open(&settings.data),
        EngineKind::Redis(redis) => Ok(Arc::new(RedisEngine::open(redis.clone())?)),
    }
}

fn durability(kind: &EngineKind, ack: Ack) -> &'static str {
    match (kind, ack) {
        (EngineKind::Redis(_), Ack::Local) => "a message is acknowledged when Redis has it on disk",
        (EngineKind::Redis(_), _) => {
            "a message is acknowledged when Redis has it in memory; what it writes later a crash can lose"
        }
        (_, Ack::Local) => "a message is acknowledged when it is on disk",
        _ => "messages are kept in memory and are gone when this process ends",
    }
}

/// The first thing that must stand on stdout is the address; programs that start Parlor wait for it.
fn announce(running: &Running, settings: &Settings, durability: &str) -> Result<()> {
    let address = running.address();
    let mut out = std::io::stdout().lock();
    let scheme = scheme(settings);
    writeln!(out, "listening on {scheme}://{address}")?;
    writeln!(out)?;
    for url in settings.public_url.clone().map_or_else(|| urls(scheme, address), |url| vec![url]) {
        writeln!(out, "  Chat      {url}")?;
    }
    match &settings.engine {
        EngineKind::Redis(redis) => writeln!(out, "  Data      {} ({durability})", redis.address)?,
        _ => writeln!(out, "  Data      {} ({durability})", settings.data.display())?,
    }
    writeln!(out, "  API key   {}", key::path(&settings.data).display())?;
    if settings.limits == Limits::Off {
        writeln!(out, "  Limits    off for rates and connections (--no-limits): for benchmarks only")?;
    }
    writeln!(out)?;
    writeln!(out, "Open the page in two browsers and say hello. Ctrl-C ends it.")?;
    out.flush()?;
    Ok(())
}

fn scheme(settings: &Settings) -> &'static str {
    if settings.tls.is_some() { "https" } else { "http" }
}

/// Where people find the page: this machine's address in its network, if everybody may connect.
pub(crate) fn urls(scheme: &str, address: SocketAddr) -> Vec<String> {
    let at = |ip: IpAddr| format!("{scheme}://{}/", SocketAddr::new(ip, address.port()));
    if !address.ip().is_unspecified() {
        return vec![at(address.ip())];
    }
    let mut urls = vec![format!("{scheme}://localhost:{}/", address.port())];
    // Which address this machine would speak from; connecting a UDP socket sends nothing. 192.0.2.1 is in nobody's
    // network (RFC 5737).
    let lan = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    urls.extend(lan.ok().map(|lan| lan.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).map(at));
    urls
}

/// The lobby is never empty: its first message says what to try.
fn greet(hub: &Arc<Hub>) {
    let lobby = RoomName::internal("lobby");
    let policy = hub.policy(&lobby);
    let engine = Arc::clone(hub.engine());
    let hub = Arc::clone(hub);
    engine.head(
        &lobby.clone(),
        policy,
        Box::new(move |head| {
            if head.is_ok_and(|head| head.offset == 0) {
                let publish = Publish {
                    // Nodes that start together on an empty store greet once.
                    key: Some("greeting".into()),
                    ..Publish::new(lobby, GREETING)
                };
                let told = Box::new(|result: Result<Published, _>| {
                    if let Err(refusal) = result {
                        tracing::warn!(%refusal, "the lobby stays empty");
                    }
                });
                hub.publish(Publisher::Backend, publish, now_ms(), told);
            }
        }),
    );
}

/// JSON text.
const GREETING: &str = r#""Welcome! Three things to try: open this page in a second browser and talk to yourself; click a name to write to one person only; open “Talk to this room from…” and send a line with curl.\n欢迎！试试这三件事：在另一个浏览器里打开本页，和自己聊聊；点一个名字，单独发消息；打开“从别处和这个房间说话”，用 curl 发一行。""#;

/// Returns at the first SIGTERM or Ctrl-C; the second one ends the process at once.
fn wait_for_signal() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, first) = mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let twice = runtime.block_on(async {
            // Both are asked for once, so that a second signal that follows at once is not missed.
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            next().await;
            // The receiver is there until the first signal.
            let _ = sender.send(());
            next().await;
            Ok::<(), std::io::Error>(())
        });
        if twice.is_ok() {
            eprintln!("parlor: stopped at once, as asked twice");
            std::process::exit(130);
        }
    })?;
    first.recv().context("signals cannot be waited for")
}
