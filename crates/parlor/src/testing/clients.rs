//! `Clients`: the thread that the clients of a test run on, in real time.

use std::future::Future;
use std::io;
use std::thread;
use std::time::Duration;

use parlor_net::Activity;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

/// Nothing that a test waits for takes so long, unless it never comes. Of the wall's clock, for it is there for what is
/// broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a client may have heard that its test has not asked for.
const INBOX: usize = 65_536;

/// A handle to the thread; it ends with the [`Alive`] that was made with it.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    handle: Handle,
    activity: Activity,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(super) struct Alive {
    _end: oneshot::Sender<()>,
}

/// What a client is told to do.
#[derive(Debug)]
pub(super) enum Say {
    Text(String),
    Binary(Vec<u8>),
    /// Goodbye, with a code where there are codes.
    Close(u16, String),
    /// Goes without a word.
    Lose,
    /// Reads, or does not until it is told to go on.
    Read(bool),
}

/// What a client has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    /// The last.
    Closed {
        code: u16,
        reason: String,
    },
}

/// A test's end of a client's connection.
#[derive(Debug)]
pub(super) struct Link {
    clients: Clients,
    say: mpsc::UnboundedSender<(Say, oneshot::Sender<()>)>,
    heard: mpsc::Receiver<Heard>,
    pub(super) over: Option<(u16, String)>,
}

/// A client's end of it.
#[derive(Debug)]
pub(super) struct Ends {
    /// What to do, and whom to tell when it is done.
    pub(super) told: mpsc::UnboundedReceiver<(Say, oneshot::Sender<()>)>,
    inbox: mpsc::Sender<Heard>,
}

impl Clients {
    pub(super) fn start() -> io::Result<(Clients, Alive)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let clients = Clients { handle: runtime.handle().clone(), activity: Activity::default() };
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("test-clients".to_owned()).spawn(move || {
            let _ = runtime.block_on(ended);
        })?;
        Ok((clients, Alive { _end: end }))
    }

    /// Starts something that a client does.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let activity = self.activity.clone();
        self.handle.spawn(async move { activity.watch(work).await });
    }

    /// Has a client do something, and waits for it; panics if it takes for ever. `what` says what it is.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        what: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, done) = oneshot::channel();
        self.spawn(async move { drop(tell.send(work.await)) });
        match self.patient(done).await {
            Some(Ok(done)) => done,
            Some(Err(_)) => panic!("{what}: the test server has gone"),
            None => panic!("waited {} s for {what}, and nothing came", PATIENCE.as_secs()),
        }
    }

    /// `None`: it takes too long. The test's own runtime is not asked, for its clock may stand still.
    pub(super) async fn patient<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let late = self.handle.spawn(tokio::time::sleep(PATIENCE));
        let stop = late.abort_handle();
        let result = tokio::select! {
            biased;
            result = wait => Some(result),
            _ = late => None,
        };
        stop.abort();
        result
    }

    /// Runs something on the clients' thread that is none of their doings; `None` if the thread has ended.
    pub(super) async fn there<T: Send + 'static>(
        &self,
        work: impl Future<Output = Option<T>> + Send + 'static,
    ) -> Option<T> {
        match self.handle.spawn(work).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }

    /// Waits, on their thread, until the clients have read and answered what there is. Returns whether there was anything.
    pub(super) async fn settle(&self) -> bool {
        self.activity.settle().await
    }

    pub(super) fn link(&self) -> (Link, Ends) {
        let (say, told) = mpsc::unbounded_channel();
        let (inbox, heard) = mpsc::channel(INBOX);
        (Link { clients: self.clone(), say, heard, over: None }, Ends { told, inbox })
    }
}

impl Ends {
    /// Whether the client goes on: not when it is over, or nobody takes what it hears.
    pub(super) fn hear(&self, heard: Heard) -> bool {
        let over = matches!(heard, Heard::Closed { .. });
        self.inbox.try_send(heard).is_ok() && !over
    }
}

impl Link {
    /// Returns when it has been written, or the connection is over.
    pub(super) async fn say(&self, say: Say) {
        let (tell, done) = oneshot::channel();
        if self.say.send((say, tell)).is_ok() && self.clients.patient(done).await.is_none() {
            panic!("the server has read nothing of this client for {} s", PATIENCE.as_secs());
        }
    }

    /// The next thing; panics with what was `wanted` if nothing comes.
    pub(super) async fn next(&mut self, wanted: &str) -> Heard {
        if let Some((code, reason)) = &self.over {
            return Heard::Closed { code: *code, reason: reason.clone() };
        }
        let Some(heard) = self.clients.patient(self.heard.recv()).await else {
            panic!("waited {} s for {wanted}, and nothing came", PATIENCE.as_secs());
        };
        self.note(heard)
    }

    /// The next thing if it has been heard already.
    pub(super) fn now(&mut self) -> Option<Heard> {
        match self.heard.try_recv() {
            Ok(heard) => Some(self.note(Some(heard))),
            Err(_) => None,
        }
    }

    fn note(&mut self, heard: Option<Heard>) -> Heard {
        let gone = || Heard::Closed { code: 1006, reason: "the test took nothing of what came".to_owned() };
        let heard = heard.unwrap_or_else(gone);
        if let Heard::Closed { code, reason } = &heard {
            self.over = Some((*code, reason.clone()));
        }
        heard
    }
}
