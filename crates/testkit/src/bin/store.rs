//! A process with an embedded engine, for tests that end it or break its disk: `store DIR [MIN_FREE]`.
//!
//! Lines on stdin: `publish TAG ROOM KEY DATA` (`-`: no key), `put TAG KEY VALUE`, `page TAG ROOM`, `stop`. Lines on stdout:
//! `ready`, `delivered ROOM OFFSET ID DATA`, `published TAG OFFSET ID DUPLICATE`, `done TAG`, `refused TAG CODE`. The
//! end of stdin stops it like `stop`.

use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::engine::{Done, Door, Engine, Expect, Range};
use parlor_hub::policy::{Log, Policy, Retention};
use parlor_hub::publication::{Author, Draft, Form, Publication};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};

const POLICY: Policy = Policy { log: Log::Stored(Retention::KEEP), ..Policy::BARE };

/// Tells what comes through the door.
struct Teller;

impl Door for Teller {
    fn deliver(&self, publication: Arc<Publication>) {
        if let Some(place) = publication.place {
            let Publication { room, id, data, .. } = &*publication;
            say(&format!("delivered {} {} {id} {data}", room.as_str(), place.offset));
        }
    }

    fn epoch_changed(&self, room: &RoomName, _epoch: Epoch) {
        say(&format!("epoch_changed {}", room.as_str()));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("store DIR [MIN_FREE]");
    let min_free = arguments.next().map_or(0, |text| text.parse().expect("a number of bytes"));
    let settings = Settings { min_free, idle: Duration::from_millis(20), ..Settings::new(dir) };
    let engine = match EmbeddedEngine::open(settings) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("store: {error}");
            std::process::exit(1);
        }
    };
    engine.start(Arc::new(Teller));
    say("ready");
    let mut number = 0;
    for line in stdin().lock().lines() {
        let line = line.expect("text on stdin");
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (command, tag) = (word(), word());
        number += 1;
        match command.as_str() {
            "publish" => {
                let (room, key, data) = (word(), word(), word());
                let done = answer(tag, |published: parlor_hub::engine::Published| {
                    let position = published.position.expect("the room has a log");
                    format!("published {{}} {} {} {}", position.offset, position.id, published.duplicate)
                });
                engine.publish(draft(&room, &key, &data, number), now(), done);
            }
            "put" => {
                let (key, value) = (word(), word());
                let done = answer(tag, |_: Option<u64>| "done {}".to_owned());
                engine.records().put(
                    "kind",
                    &key,
                    Some(value.as_bytes()),
                    None,
                    Expect::Anything,
                    now(),
                    done,
                );
            }
            "page" => {
                let room = RoomName::internal(word());
                let done = answer(tag, |_: parlor_hub::engine::Page| "done {}".to_owned());
                engine.history(&room, POLICY, Range::Before(None), 100, done);
            }
            "stop" => break,
            _ => panic!("unknown line: {line}"),
        }
    }
    engine.stop();
}

fn draft(room: &str, key: &str, data: &str, number: u64) -> Draft {
    // Unlike in any other process, because the time is.
    let id = MessageId::new(now(), u128::from(std::process::id()) << 32 | u128::from(number));
    Draft {
        room: RoomName::internal(room),
        policy: POLICY,
        id,
        event: "message".into(),
        data: data.into(),
        form: Form::Value,
        author: Some(Author { user: "ann".into(), name: "ann".into() }),
        to: None,
        key: (key != "-").then(|| key.into()),
        except: None,
        store: true,
        delivery: None,
    }
}

/// Says `words` of the result, with the tag in the place of `{}`.
fn answer<T: 'static>(tag: String, words: impl FnOnce(T) -> String + Send + 'static) -> Done<T> {
    Box::new(move |result| match result {
        Ok(value) => say(&words(value).replace("{}", &tag)),
        Err(refusal) => say(&format!("refused {tag} {}", refusal.code)),
    })
}

/// One whole line, written at once, so that a kill leaves at most its beginning.
fn say(line: &str) {
    let mut out = stdout().lock();
    // The other side may be gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64
}
