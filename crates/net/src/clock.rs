//! The clocks of a worker: a monotonic one for deadlines and the wall's for what people see; and [`Clock`], with which a
//! test owns both.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::yield_now;

/// The time of one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// From tokio, so that a test that pauses tokio's clock owns this one too.
    pub(crate) instant: Instant,
    /// Milliseconds since 1970.
    pub(crate) wall: u64,
}

impl Now {
    pub(crate) fn read(clock: &Clock) -> Now {
        Now { instant: tokio::time::Instant::now().into_std(), wall: clock.wall() }
    }
}

/// Where a server's time comes from: the system (the default), or a test.
///
/// A test's time stands still but for [`Clock::pass`]. It is the time of the worker's tokio runtime, so that whatever
/// runs there is on it, handlers that sleep included. It is for one server with one worker.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Owned>>);

struct Owned {
    wall: Arc<AtomicU64>,
    ask: mpsc::UnboundedSender<Ask>,
    /// There until the worker starts.
    asked: Mutex<Option<mpsc::UnboundedReceiver<Ask>>>,
    /// tokio moves a paused clock to the next deadline whenever there is nothing to do, unless a blocking task runs. This
    /// ends the one that runs; without it, time goes by.
    hold: Mutex<Option<std::sync::mpsc::Sender<()>>>,
    /// How far the wall's clock has followed; `None`: it does not.
    seen: Mutex<Option<tokio::time::Instant>>,
    moved: Notify,
    activity: Activity,
}

enum Ask {
    Pass { by: Duration, answer: oneshot::Sender<Duration> },
    Settle { answer: oneshot::Sender<bool> },
    Release,
}

impl Clock {
    /// A clock that starts with the system's time, and stands still.
    pub fn owned() -> Clock {
        let (ask, asked) = mpsc::unbounded_channel();
        Clock(Some(Arc::new(Owned {
            wall: Arc::new(AtomicU64::new(system())),
            ask,
            asked: Mutex::new(Some(asked)),
            hold: Mutex::default(),
            seen: Mutex::default(),
            moved: Notify::new(),
            activity: Activity::default(),
        })))
    }

    /// Milliseconds since 1970.
    pub fn wall(&self) -> u64 {
        match &self.0 {
            None => system(),
            Some(owned) => owned.wall.load(Ordering::Relaxed),
        }
    }

    /// Lets time go by until the worker has something to do, but not further than `by`, in whole milliseconds. Returns how
    /// much has gone by; `None` when the server has ended, or never started.
    pub async fn pass(&self, by: Duration) -> Option<Duration> {
        self.ask(|answer| Ask::Pass { by, answer }).await
    }

    /// Waits until the worker has done what there is to do. Returns whether there was anything.
    pub async fn settle(&self) -> Option<bool> {
        self.ask(|answer| Ask::Settle { answer }).await
    }

    /// From here on time goes by as on the wall, so that a server can be stopped.
    pub fn release(&self) {
        if let Some(owned) = &self.0 {
            let _ = owned.ask.send(Ask::Release);
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.as_ref()?.ask.send(ask(answer)).ok()?;
        answered.await.ok()
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.0.is_some()
    }

    /// The time that the application is told.
    pub(crate) fn shared_wall(&self) -> Option<Arc<AtomicU64>> {
        self.0.as_ref().map(|owned| Arc::clone(&owned.wall))
    }

    /// A runtime for a worker on this clock.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        if let Some(owned) = self.0.clone() {
            builder.start_paused(true).on_thread_unpark(move || owned.follow());
        }
        builder.build()
    }

    /// Runs something of which a test wants to know whether it is at rest.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            None => work.await,
            Some(owned) => owned.activity.watch(work).await,
        }
    }

    /// Runs a worker in its runtime, and moves its time as it is asked to.
    pub(crate) async fn drive<T>(&self, worker: impl Future<Output = T>) -> T {
        let Some(owned) = &self.0 else { return worker.await };
        let Some(asked) = lock(&owned.asked).take() else { return worker.await };
        owned.hold();
        *lock(&owned.seen) = Some(tokio::time::Instant::now());
        tokio::spawn(obey(asked, Arc::clone(owned)));
        let result = self.watch(worker).await;
        owned.stop();
        result
    }
}

impl Owned {
    fn hold(&self) {
        let (hold, held) = std::sync::mpsc::channel();
        *lock(&self.hold) = Some(hold);
        tokio::task::spawn_blocking(move || held.recv());
    }

    fn let_go(&self) {
        *lock(&self.hold) = None;
    }

    /// Time is no longer held. A runtime that ends waits for its blocking tasks.
    fn stop(&self) {
        *lock(&self.seen) = None;
        self.let_go();
    }

    /// Before anything runs after a wait: if time has gone by, the wall's clock follows, and both stand still again.
    fn follow(&self) {
        let mut seen = lock(&self.seen);
        let now = tokio::time::Instant::now();
        let Some(before) = *seen else { return };
        if before < now {
            *seen = Some(now);
            self.wall.fetch_add((now - before).as_millis() as u64, Ordering::Relaxed);
            self.hold();
            self.moved.notify_one();
        }
    }
}

/// Moves the time of this runtime.
async fn obey(mut asked: mpsc::UnboundedReceiver<Ask>, owned: Arc<Owned>) {
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::Settle { answer } => drop(answer.send(owned.activity.settle().await)),
            Ask::Pass { by, answer } => {
                let now = tokio::time::Instant::now;
                let start = now();
                let mut end = pin!(tokio::time::sleep_until(start + by));
                let mut worked = false;
                while !worked && now() - start < by {
                    let before = now();
                    owned.let_go();
                    while now() == before {
                        tokio::select! {
                            () = owned.moved.notified() => {}
                            () = end.as_mut(), if !end.is_elapsed() => {}
                        }
                    }
                    // tokio also stops at places where its own wheel turns.
                    worked = owned.activity.settle().await;
                }
                let _ = answer.send(now() - start);
            }
            Ask::Release => {
                owned.stop();
                return tokio::time::resume();
            }
        }
    }
}

/// Whether something happens in a runtime of one thread.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    made: AtomicU64,
    /// How many were known of when it was last quiet.
    seen: AtomicU64,
}

/// So many times in a row nothing that is watched was called, while everything else that could run had its turn: enough
/// for what is handed from one task to another and then to one that is watched.
const QUIET: u32 = 4;

impl Activity {
    /// `future`, watched.
    pub async fn watch<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.0.made.fetch_add(1, Ordering::Relaxed);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Waits, inside of the runtime, until what is watched does nothing more. Returns whether it has done anything since
    /// the last time.
    pub async fn settle(&self) -> bool {
        let Calls { made, seen } = &*self.0;
        let mut quiet = 0;
        let mut busy = false;
        while quiet < QUIET {
            // All that can run runs, and the sockets are looked at, before this goes on.
            yield_now().await;
            quiet += 1;
            let made = made.load(Ordering::Relaxed);
            if seen.swap(made, Ordering::Relaxed) != made {
                (quiet, busy) = (0, true);
            }
        }
        busy
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_owned() { "Clock(a test's)" } else { "Clock(the system's)" })
    }
}

fn system() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
