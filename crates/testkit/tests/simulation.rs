//! Thousands of seeds of the hub in a world of its own: whatever happens to processes, lines and readers, the promises
//! hold, and a seed that fails can be played again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parlor_testkit::dice::given_seed;
use parlor_testkit::simulation::{Counts, run};

/// Few where every check is compiled in, as in an ordinary `cargo test`; see the group `torture` for all.
fn seeds() -> u64 {
    let given = std::env::var("PARLOR_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 50 } else { 10_000 })
}

/// Plays a seed; what is wrong, if anything is.
fn play(seed: u64, counts: &mut Counts) -> Result<(), String> {
    let run = run(seed);
    counts.add(run.counts);
    let faults = run.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = faults.iter().take(10).map(ToString::to_string).collect();
    Err(format!("PARLOR_SEED={seed}:\n  {}", all.join("\n  ")))
}

#[test]
fn whatever_happens_everybody_gets_everything_once_and_in_order() {
    if let Some(seed) = given_seed() {
        let run = run(seed);
        for log in &run.logs {
            println!("{}", log.who);
            log.notes.iter().enumerate().for_each(|(number, note)| println!("  {number}: {note:?}"));
        }
        return play(seed, &mut Counts::default()).unwrap_or_else(|fault| panic!("{fault}"));
    }
    let next = AtomicU64::new(1);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let (mut counts, mut failed) = (Counts::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds() || failed.len() > 3 {
                return (counts, failed);
            }
            let played = std::panic::catch_unwind(|| {
                let mut counts = Counts::default();
                (play(seed, &mut counts), counts)
            });
            match played {
                Ok((Ok(()), more)) => counts.add(more),
                Ok((Err(fault), _)) => {
                    println!("{fault}");
                    failed.push(fault);
                }
                Err(_) => failed.push(format!("PARLOR_SEED={seed} panicked")),
            }
        }
    };
    let (mut counts, mut failed) = (Counts::default(), Vec::new());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let (more, faults) = thread.join().expect("panics were caught");
            counts.add(more);
            failed.extend(faults);
        }
    });
    println!("{} seeds: {counts:?}", seeds());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // A world in which nothing happens proves nothing; what is rare needs some seeds.
    if seeds() < 1_000 {
        return;
    }
    let Counts { messages, acked, joined, recovered, lost, slow, torn, crashes, restores, polled, by_id } =
        counts;
    for count in [messages, acked, joined, recovered, lost, slow, torn, crashes, restores, polled, by_id] {
        assert!(count > 0, "{counts:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=5 {
        let (first, second) = (run(seed), run(seed));
        assert!(first == second, "seed {seed} ran differently the second time");
    }
    assert!(run(1).logs != run(2).logs);
}
