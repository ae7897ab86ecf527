//! What is kept of recoverable connections in the engine, so that they can come back to another process.
//!
//! Where several processes share the engine, a client may come back to one while another has not noticed yet that it
//! went. So each stay of a client has a record of its own, with a number that grows: what the last stay wrote counts, and
//! whoever is left over from an earlier one writes where nobody looks.
//!
//! A record is written when a client enters, when its rooms or its session change, while it is here from time to time,
//! and when it goes; never for a message. A client has few writes under way: what changes while they are goes into one more.
//! Where the engine ends with the process nothing is written.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parlor_hub::engine::{Done, Engine, Expect};
use parlor_hub::policy::Ack;
use parlor_hub::{Heard, Hub, Quiet};
use parlor_proto::codes::Refusal;
use parlor_proto::position::Position;
use parlor_proto::socketio::Arguments;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::recovery::{Away, Progress};
use super::socket::Socket;
use crate::chat::store;

const KIND: &str = "socketio";

/// The record of a stay lasts this much longer than it is true where the engine is shared: what an earlier stay wrote,
/// which may not have ended yet, must not come to light behind it. A dead connection is noticed within a minute.
const LONGER_MS: u64 = 5 * 60 * 1000;

/// A connection as it is stored.
#[derive(Serialize, Deserialize)]
struct Kept {
    sid: String,
    rooms: Vec<String>,
    session: BTreeMap<String, Value>,
    entered: String,
    passed: String,
    given: u64,
    /// Pairs of an offset and a position.
    quiet: Vec<(u64, String)>,
    /// How often it came back before.
    #[serde(default)]
    stay: u32,
    /// Until when it is true, in milliseconds since 1970, if that is not as long as it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// A value of a session: its JSON text, and its attachments in base64.
#[derive(Serialize, Deserialize)]
struct Value {
    json: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<String>,
}

/// Whether what is kept outlives the process.
pub(super) fn outlives(hub: &Hub) -> bool {
    hub.engine().ack() > Ack::Memory || hub.engine().is_shared()
}

/// Writes a connection down, if that is of use.
pub(super) fn put(socket: &Socket, pid: &str, away: &Away, expires: u64, now: u64, done: Done<Option<u64>>) {
    let Some(hub) = hub_of(socket) else { return done(Ok(None)) };
    let shared = hub.engine().is_shared();
    let kept = Kept { until: shared.then_some(expires), ..Kept::of(away) };
    let lasts = if shared { expires + LONGER_MS } else { expires };
    write(hub, socket, pid, Some(&kept), lasts, now, done);
}

/// It will not come back.
pub(super) fn forget(socket: &Socket, pid: &str, now: u64) {
    let (Some(hub), Some(away)) = (hub_of(socket), socket.away()) else { return };
    // Where an earlier stay may be left over, something has to stand before it.
    let over = Kept { rooms: Vec::new(), session: BTreeMap::new(), until: Some(0), ..Kept::of(&away) };
    let kept = hub.engine().is_shared().then_some(&over);
    let window = socket.namespace().window().unwrap_or_default().as_millis() as u64;
    write(hub, socket, pid, kept, now + window + LONGER_MS, now, Box::new(|_| ()));
}

fn write(
    hub: &Arc<Hub>,
    socket: &Socket,
    pid: &str,
    kept: Option<&Kept>,
    expires: u64,
    now: u64,
    done: Done<Option<u64>>,
) {
    let mut key = key(socket.namespace().name(), pid);
    if hub.engine().is_shared() {
        // The last stay comes first.
        key += &format!(".{:08x}", u32::MAX - socket.stay());
    }
    let value = kept.map(|kept| serde_json::to_vec(kept).unwrap_or_default());
    let expires = kept.map(|_| expires);
    hub.engine().records().put(KIND, &key, value.as_deref(), expires, Expect::Anything, now, done);
}

/// What was written down of the client with this secret, if that is newer than what this process knows itself.
pub(super) fn get(
    hub: &Arc<Hub>,
    namespace: &str,
    pid: &str,
    known: Option<Away>,
    now: u64,
) -> impl Future<Output = Option<Away>> + Send + 'static {
    let (engine, key) = (Arc::clone(hub.engine()), key(namespace, pid));
    async move {
        // A store that cannot be read has lost it: the client is the one that is known here, or a new one.
        let Ok(found) = read(&engine, &key, now).await else { return known };
        let newer = found.filter(|kept| known.as_ref().is_none_or(|known| kept.stay > known.stay));
        match newer {
            Some(kept) => kept.read(now),
            None => known,
        }
    }
}

async fn read(engine: &Arc<dyn Engine>, key: &str, now: u64) -> Result<Option<Kept>, Refusal> {
    if !engine.is_shared() {
        return store::get(engine, KIND, key, now).await;
    }
    let prefix = format!("{key}.");
    let found = store::wait(|done| engine.records().list(KIND, &prefix, None, 1, now, done)).await?;
    Ok(found.first().and_then(|record| serde_json::from_slice(&record.value).ok()))
}

fn hub_of(socket: &Socket) -> Option<&Arc<Hub>> {
    Some(socket.hub()).filter(|hub| outlives(hub))
}

/// The key of a record: the secret itself is nowhere written down.
pub(crate) fn key(namespace: &str, pid: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(pid.as_bytes());
    hash.update(b"#");
    hash.update(namespace.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

impl Kept {
    fn of(away: &Away) -> Kept {
        let value = |arguments: &Arguments| Value {
            json: arguments.text().to_owned(),
            bytes: arguments.attachments().iter().map(|bytes| STANDARD.encode(bytes)).collect(),
        };
        let Progress { entered, heard } = away.progress;
        Kept {
            sid: away.id.to_string(),
            rooms: away.rooms.clone(),
            session: away.session.iter().map(|(key, arguments)| (key.clone(), value(arguments))).collect(),
            entered: entered.to_string(),
            passed: heard.passed.to_string(),
            given: heard.given,
            quiet: heard.quiet.iter().flatten().map(|quiet| (quiet.after, quiet.until.to_string())).collect(),
            stay: away.stay,
            until: None,
        }
    }

    fn read(self, now: u64) -> Option<Away> {
        if self.until.is_some_and(|until| now >= until) {
            return None;
        }
        let value = |value: Value| {
            let bytes = value.bytes.iter().map(|bytes| STANDARD.decode(bytes).map(Into::into));
            Some(Arguments::from_parts(value.json, 1, bytes.collect::<Result<_, _>>().ok()?))
        };
        let session = self.session.into_iter().map(|(key, kept)| Some((key, value(kept)?)));
        let position = |text: &str| text.parse::<Position>().ok();
        let mut quiet =
            self.quiet.iter().map(|(after, until)| Some(Quiet { after: *after, until: position(until)? }));
        let quiet = [quiet.next().flatten(), quiet.next().flatten()];
        let heard = Heard { passed: position(&self.passed)?, given: self.given, quiet };
        Some(Away {
            id: self.sid.into(),
            rooms: self.rooms,
            session: session.collect::<Option<_>>()?,
            progress: Progress { entered: position(&self.entered)?, heard },
            stay: self.stay,
        })
    }
}

#[cfg(test)]
mod tests {
    use parlor_proto::position::{Epoch, MessageId};
    use parlor_proto::socketio::Binary;

    use super::*;

    #[test]
    fn what_is_written_down_is_read_back_bytes_included() {
        let at = |offset| Position { epoch: Epoch(7), offset, id: MessageId(u128::from(offset)) };
        let session = [
            ("name", Arguments::one("ann").unwrap()),
            ("key", Arguments::one(&Binary(vec![0, 255].into())).unwrap()),
        ];
        let quiet = [Some(Quiet { after: 1, until: at(3) }), None];
        let away = Away {
            id: "sid".into(),
            rooms: vec!["b\u{fc}ro".into(), "a".into()],
            session: session.map(|(key, value)| (key.to_owned(), value)).into(),
            progress: Progress { entered: at(1), heard: Heard { passed: at(9), given: 4, quiet } },
            stay: 3,
        };
        let text = serde_json::to_string(&Kept::of(&away)).unwrap();
        let back = serde_json::from_str::<Kept>(&text).unwrap().read(0).unwrap();
        assert_eq!((&*back.id, &back.rooms, &back.session), ("sid", &away.rooms, &away.session));
        assert_eq!((back.progress, back.stay), (away.progress, 3));
        let damaged = text.replace("\"passed\":\"7.9", "\"passed\":\"?.9");
        assert!(serde_json::from_str::<Kept>(&damaged).unwrap().read(0).is_none());
        let until = |until| Kept { until: Some(until), ..Kept::of(&away) }.read(7).is_some();
        assert_eq!((until(7), until(8)), (false, true));
    }
}
