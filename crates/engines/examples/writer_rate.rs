//! Measures durable publishes: `cargo run --release -p parlor-engines --example writer_rate -- [DIR] [SECONDS]`.
//!
//! Messages of 256 bytes into 64 rooms in turn, with so many in flight; DIR must lie on the disk in question.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::engine::{Door, Engine};
use parlor_hub::policy::Policy;
use parlor_hub::publication::{Author, Draft, Form, Publication};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId};

const ROOMS: usize = 64;

struct Nobody;

impl Door for Nobody {
    fn deliver(&self, _publication: Arc<Publication>) {}
    fn epoch_changed(&self, _room: &RoomName, _epoch: Epoch) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let sync = sync_time(&parent)?;
    println!("fdatasync of 4 KB: p50 {:.2} ms, p99 {:.2} ms", sync.0, sync.1);
    println!("in flight  room      keys     messages/s   batch  p50 ms  p99 ms  max ms  checkpoints");
    for (in_flight, room, keyed) in [
        (1, "lobby", false),
        (32, "lobby", false),
        (256, "lobby", false),
        (256, "lobby", true),
        (256, "recent:", false),
        (1024, "lobby", false),
    ] {
        run(&parent, in_flight, room, keyed, Duration::from_secs(seconds))?;
    }
    Ok(())
}

fn run(
    parent: &str,
    in_flight: usize,
    prefix: &str,
    keyed: bool,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir_in(parent)?;
    let engine = EmbeddedEngine::open(Settings::new(dir.path()))?;
    engine.start(Arc::new(Nobody));
    let rooms: Vec<_> = (0..ROOMS).map(|n| RoomName::internal(format!("{prefix}{n}"))).collect();
    let data: Arc<str> = format!("\"{}\"", "x".repeat(254)).into();
    let event: Arc<str> = "message".into();
    let author = Author { user: "g3k".into(), name: "alice".into() };
    let (answered, answers) = mpsc::channel();
    let begin = Instant::now();
    let mut published = 0usize;
    let mut publish = || {
        let room = rooms[published % ROOMS].clone();
        published += 1;
        let draft = Draft {
            policy: Policy::stock(room.as_str()),
            room,
            id: MessageId::new(1_790_000_000_000, published as u128),
            event: Arc::clone(&event),
            data: Arc::clone(&data),
            form: Form::Value,
            author: Some(author.clone()),
            to: None,
            key: keyed.then(|| published.to_string().into()),
            except: None,
            store: true,
            delivery: None,
        };
        let (since, answered) = (Instant::now(), answered.clone());
        let done = Box::new(move |result: Result<_, _>| drop(answered.send(result.map(|_| since.elapsed()))));
        engine.publish(draft, 1_790_000_000_000 + begin.elapsed().as_millis() as u64, done);
    };
    (0..in_flight).for_each(|_| publish());
    let mut waits = Vec::with_capacity(1 << 20);
    while begin.elapsed() < time {
        waits.push(answers.recv()??);
        publish();
    }
    let rate = waits.len() as f64 / begin.elapsed().as_secs_f64();
    for _ in 0..in_flight {
        answers.recv()??;
    }
    let stats = engine.stats();
    waits.sort_unstable();
    let ms = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{in_flight:>9}  {prefix:<8}  {:<7}  {rate:>10.0}  {:>6.1}  {:>6.2}  {:>6.2}  {:>6.1}  {:>11}",
        if keyed { "yes" } else { "no" },
        stats.writes as f64 / stats.batches as f64,
        ms(0.5),
        ms(0.99),
        ms(1.0),
        stats.checkpoints,
    );
    engine.stop();
    Ok(())
}

/// Milliseconds (p50, p99) that the disk takes to make 4 KB durable.
fn sync_time(parent: &str) -> std::io::Result<(f64, f64)> {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(parent)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[7; 4096])?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((times[100], times[198]))
}
