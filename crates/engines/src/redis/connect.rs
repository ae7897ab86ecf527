//! Opening a connection: who one is, whether this server keeps what is promised, and the scripts.

use std::io;
use std::time::Instant;

use bytes::BytesMut;
use parlor_hub::policy::Ack;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scripts::{self, Hashes, Names};
use super::settings::{CONNECT, Settings};
use super::wire::{self, Value};

/// Why a Redis cannot be used; what is in it is written for the operator and holds no secret.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("cannot reach {address}: {error}; is it running, and is the address right?")]
    Unreachable { address: String, error: io::Error },
    #[error("{address} does not answer")]
    Silent { address: String },
    #[error("{address} refuses {what}: {why}")]
    Refused { address: String, what: &'static str, why: String },
    #[error("{address} is version {version}; Parlor needs Redis 7.0 or Valkey 7.2 or newer")]
    TooOld { address: String, version: String },
    #[error(
        "{address} is a cluster, which this version does not support: use one server, with replicas if you like"
    )]
    Cluster { address: String },
    #[error(
        "{address} would throw data away when its memory is full: set `maxmemory-policy noeviction` in redis.conf"
    )]
    Evicts { address: String },
    #[error(
        "{address} keeps only what `ack=memory` promises ({found}): set `appendonly yes`, `appendfsync always` and \
         `no-appendfsync-on-rewrite no` in redis.conf, or ask for ack=memory"
    )]
    TooWeak { address: String, found: String },
    #[error("the runtime of the engine cannot be started: {0}")]
    Runtime(io::Error),
}

/// A connection that is ready for work.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    /// Read and not looked at yet.
    pub(super) input: BytesMut,
    pub(super) hashes: Hashes,
    /// What the server keeps.
    pub(super) ack: Ack,
    /// Names the store; see [`Names::store`].
    pub(super) store: [u8; 16],
    pub(super) clock: Clock,
}

/// What Redis's clock shows at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    redis_ms: u64,
    at: Instant,
}

impl Clock {
    /// From an answer to `TIME` that had come at this moment.
    pub(super) fn new(answer: &Value, at: Instant) -> Option<Clock> {
        let [seconds, micros] = answer.list()? else { return None };
        Some(Clock { redis_ms: seconds.number()? * 1000 + micros.number()? / 1000, at })
    }

    /// What it shows at least at a moment to come: what is begun then or later is begun after this.
    pub(super) fn at(self, moment: Instant) -> u64 {
        self.redis_ms + moment.saturating_duration_since(self.at).as_millis() as u64
    }
}

/// Connects, within [`CONNECT`]. `draw` is random: it becomes the name of the store if that has none.
pub(super) async fn connect(
    settings: &Settings,
    names: &Names,
    draw: [u8; 16],
) -> Result<Connected, ConnectError> {
    let address = settings.address.to_string();
    match tokio::time::timeout(CONNECT, greet(settings, names, draw, &address)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Silent { address }),
    }
}

async fn greet(
    settings: &Settings,
    names: &Names,
    draw: [u8; 16],
    address: &str,
) -> Result<Connected, ConnectError> {
    let unreachable = |error| ConnectError::Unreachable { address: address.to_owned(), error };
    let place = (settings.address.host.as_str(), settings.address.port);
    let stream = TcpStream::connect(place).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let mut talk = Talk { stream, input: BytesMut::new(), address };

    let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
    if let Some(password) = &settings.address.password {
        let user = settings.address.user.as_deref().unwrap_or("default");
        hello.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
    }
    hello.extend([&b"SETNAME"[..], b"parlor"]);
    let about = talk.ask("the greeting", &hello).await?;
    if about.field("mode").and_then(Value::text) == Some("cluster") {
        return Err(ConnectError::Cluster { address: address.to_owned() });
    }
    let version = about.field("version").and_then(Value::text).unwrap_or_default().to_owned();
    if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 7) {
        return Err(ConnectError::TooOld { address: address.to_owned(), version });
    }
    if settings.address.database != 0 {
        let database = settings.address.database.to_string();
        talk.ask("its database", &[b"SELECT", database.as_bytes()]).await?;
    }
    let ack = judge(settings, &mut talk).await?;
    let store = names.store();
    let draw: String = draw.iter().map(|byte| format!("{byte:02x}")).collect();
    talk.ask("writing", &[b"SET", store.as_bytes(), draw.as_bytes(), b"NX"]).await?;
    let store = talk.ask("reading", &[b"GET", store.as_bytes()]).await?;
    let store = read_store(&store).ok_or_else(|| ConnectError::Refused {
        address: address.to_owned(),
        what: "its name",
        why: "the key `store` below the prefix is not of Parlor's making; use another prefix".to_owned(),
    })?;
    let mut hashes = Hashes::default();
    for (hash, text) in hashes.iter_mut().zip(scripts::texts()) {
        let answer = talk.ask("a script", &[b"SCRIPT", b"LOAD", text.as_bytes()]).await?;
        *hash = answer.text().unwrap_or_default().to_owned();
    }
    let time = talk.ask("the time", &[b"TIME"]).await?;
    let clock = Clock::new(&time, Instant::now())
        .ok_or_else(|| talk.refused("the time", "no two numbers".to_owned()))?;
    Ok(Connected { stream: talk.stream, input: talk.input, hashes, ack, store, clock })
}

/// The name of a store from its 32 hexadecimal digits.
pub(super) fn read_store(value: &Value) -> Option<[u8; 16]> {
    let text = value.text().filter(|text| text.len() == 32)?;
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// What this server keeps, if that is enough.
async fn judge(settings: &Settings, talk: &mut Talk<'_>) -> Result<Ack, ConnectError> {
    let address = settings.address.to_string();
    let names = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory", "maxmemory-policy"];
    let mut command: Vec<&[u8]> = vec![b"CONFIG", b"GET"];
    command.extend(names.map(str::as_bytes));
    let config = match talk.ask("CONFIG GET", &command).await {
        Ok(config) => config,
        // Hosted servers keep their settings to themselves; then nothing is proven.
        Err(ConnectError::Refused { .. }) if settings.ack != Some(Ack::Local) => return Ok(Ack::Memory),
        Err(error) => return Err(error),
    };
    let value = |name| config.field(name).and_then(Value::text).unwrap_or_default();
    if value("maxmemory") != "0" && value("maxmemory-policy") != "noeviction" {
        return Err(ConnectError::Evicts { address });
    }
    let found: Vec<String> = names[..3].iter().map(|name| format!("{name} {}", value(name))).collect();
    let synced = found == ["appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no"];
    match (settings.ack, synced) {
        (Some(Ack::Local), false) => Err(ConnectError::TooWeak { address, found: found.join(", ") }),
        (Some(ack), _) => Ok(ack),
        (None, true) => Ok(Ack::Local),
        (None, false) => Ok(Ack::Memory),
    }
}

/// One question after the other, for the beginning.
struct Talk<'a> {
    stream: TcpStream,
    input: BytesMut,
    address: &'a str,
}

impl Talk<'_> {
    async fn ask(&mut self, what: &'static str, parts: &[&[u8]]) -> Result<Value, ConnectError> {
        let mut out = BytesMut::new();
        wire::command(&mut out, parts);
        let broken = |error| ConnectError::Unreachable { address: self.address.to_owned(), error };
        self.stream.write_all(&out).await.map_err(broken)?;
        loop {
            match wire::take(&mut self.input) {
                Ok(Some(Value::Error(why))) => return Err(self.refused(what, why)),
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(error) => return Err(self.refused(what, format!("not Redis's protocol: {error}"))),
            }
            let broken = |error| ConnectError::Unreachable { address: self.address.to_owned(), error };
            if self.stream.read_buf(&mut self.input).await.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn refused(&self, what: &'static str, why: String) -> ConnectError {
        ConnectError::Refused { address: self.address.to_owned(), what, why }
    }
}
