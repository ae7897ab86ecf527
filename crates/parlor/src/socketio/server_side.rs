//! Events between the nodes of one server: what a namespace says to the same namespace on the others, and their answers.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlor_hub::Hub;
use parlor_proto::codes::Refusal;
use parlor_proto::socketio::{Arguments, BadArguments};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::ack::{AckError, Reply};
use super::payload::Payload;
use super::registry::Registry;
use crate::chat::store::wait;
use crate::sent::Sent;

/// What came of an event that asked the other nodes for answers.
#[derive(Debug, Default)]
pub struct ServerAnswers {
    /// What they said, as it came.
    pub replies: Vec<Reply>,
    /// How many nodes did not answer in time.
    pub missing: usize,
}

/// What is done with an event of another node; the result is its answer.
pub(super) type Handler = Arc<dyn Fn(Arguments) -> Running + Send + Sync>;
type Running = Pin<Box<dyn Future<Output = Option<Arguments>> + Send>>;
/// A handler and what is done with its answer.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Events of other nodes that wait for their handlers, and handlers that run at once: those that come when there are more
/// are not heard.
const WAITING: usize = 1024;
const RUNNING: usize = 64;

/// What goes from node to node.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Event {
        namespace: String,
        event: String,
        /// The number of the answer, if one is wanted.
        id: Option<u64>,
        data: Packed,
    },
    Answer {
        id: u64,
        /// `None`: nobody there listens to it.
        data: Option<Packed>,
    },
}

/// A list of arguments: JSON text, and its attachments in base64.
#[derive(Serialize, Deserialize)]
struct Packed {
    json: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<String>,
}

impl Packed {
    fn of(arguments: &Arguments) -> Packed {
        let bytes = arguments.attachments().iter().map(|bytes| STANDARD.encode(bytes)).collect();
        Packed { json: format!("[{}]", arguments.text()), bytes }
    }

    fn read(self) -> Option<Arguments> {
        let bytes = self.bytes.iter().map(|bytes| STANDARD.decode(bytes).map(Into::into));
        Arguments::parse(&self.json, bytes.collect::<Result<_, _>>().ok()?).ok()
    }
}

/// What a server knows of its other nodes.
#[derive(Default)]
pub(super) struct Nodes {
    asked: Mutex<Asked>,
    handlers: OnceLock<mpsc::Sender<Task>>,
}

#[derive(Default)]
struct Asked {
    next: u64,
    waiting: HashMap<u64, Waiting>,
}

/// A question that other nodes have not all answered.
struct Waiting {
    nodes: HashSet<u64>,
    replies: Vec<Reply>,
    /// Dropped when all have answered.
    all_there: Option<oneshot::Sender<()>>,
}

impl Nodes {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question; returns its number.
    fn ask(&self, waiting: Waiting) -> u64 {
        let mut asked = self.asked();
        asked.next += 1;
        let id = asked.next;
        asked.waiting.insert(id, waiting);
        id
    }

    /// Notes the answer of a node.
    fn answer(&self, node: u64, id: u64, reply: Option<Reply>) {
        let mut asked = self.asked();
        let Some(waiting) = asked.waiting.get_mut(&id) else { return };
        waiting.nodes.remove(&node);
        waiting.replies.extend(reply);
        if waiting.nodes.is_empty() {
            waiting.all_there.take();
        }
    }

    /// Runs a handler, away from the thread that has heard the event. It is taken only if there is room for it.
    fn run(&self, task: Task) {
        let sender = self.handlers.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(WAITING);
            let spawned =
                std::thread::Builder::new().name("parlor-nodes".to_owned()).spawn(|| work(receiver));
            if let Err(error) = spawned {
                tracing::error!(%error, "events of other nodes have no thread to run on");
            }
            sender
        });
        if sender.try_send(task).is_err() {
            tracing::warn!("an event of another node is not heard: too many wait");
        }
    }
}

/// Runs handlers until the server is gone.
fn work(mut receiver: mpsc::Receiver<Task>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "events of other nodes have no runtime to run on"),
    };
    runtime.block_on(async {
        let places = Arc::new(Semaphore::new(RUNNING));
        while let Some(task) = receiver.recv().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            tokio::spawn(async move {
                task.await;
                drop(place);
            });
        }
    });
}

/// Hears what other nodes say. `false`: no node of ours can have said it.
pub(super) fn hear(registry: &Weak<Registry>, node: u64, bytes: &[u8]) -> bool {
    let Some(registry) = registry.upgrade() else { return true };
    let Ok(said) = serde_json::from_slice(bytes) else { return false };
    match said {
        Said::Answer { id, data } => {
            let data = data.map(Packed::read);
            if matches!(data, Some(None)) {
                return false;
            }
            registry.nodes.answer(node, id, data.flatten().map(Reply));
        }
        Said::Event { namespace, event, id, data } => {
            let Some(arguments) = data.read() else { return false };
            let handler = registry.known(&namespace).and_then(|known| known.server_side_handler(&event));
            let Some(hub) = registry.hub().cloned() else { return true };
            let answer = move |data: Option<Arguments>| {
                if let Some(id) = id {
                    let said = Said::Answer { id, data: data.as_ref().map(Packed::of) };
                    if let Err(refusal) = say(&hub, Some(node), &said) {
                        tracing::warn!(%refusal, "an answer to another node is not sent");
                    }
                }
            };
            let Some(handler) = handler else {
                answer(None);
                return true;
            };
            let running = handler(arguments);
            registry.nodes.run(Box::pin(async move { answer(running.await) }));
        }
    }
    true
}

fn say(hub: &Hub, node: Option<u64>, said: &Said) -> Result<(), Refusal> {
    hub.engine().tell(node, serde_json::to_vec(said).unwrap_or_default())
}

/// Tells the other nodes.
pub(super) fn emit(registry: &Registry, namespace: &str, event: &str, arguments: &Arguments) -> Sent {
    let Some(hub) = registry.hub() else { return Sent::done() };
    let (namespace, event) = (namespace.to_owned(), event.to_owned());
    match say(hub, None, &Said::Event { namespace, event, id: None, data: Packed::of(arguments) }) {
        Ok(()) => Sent::done(),
        Err(refusal) => Sent::refused(refusal),
    }
}

/// Tells the other nodes and gathers what they answer until all have, or the time is over.
pub(super) async fn ask(
    registry: Arc<Registry>,
    namespace: String,
    event: String,
    arguments: Result<Arguments, BadArguments>,
    timeout: Duration,
) -> Result<ServerAnswers, AckError> {
    let arguments = arguments.map_err(AckError::Unwritable)?;
    let Some(hub) = registry.hub() else { return Ok(ServerAnswers::default()) };
    let engine = hub.engine();
    let nodes = wait(|done| engine.others(done)).await.map_err(|_| AckError::Unreachable)?;
    if nodes.is_empty() {
        return Ok(ServerAnswers::default());
    }
    let (all_there, answered) = oneshot::channel();
    let waiting =
        Waiting { nodes: nodes.into_iter().collect(), replies: Vec::new(), all_there: Some(all_there) };
    let asking = Asking { registry: &registry, id: registry.nodes.ask(waiting) };
    let said = Said::Event { namespace, event, id: Some(asking.id), data: Packed::of(&arguments) };
    say(hub, None, &said).map_err(|refusal| AckError::Unwritable(BadArguments::new(refusal.message)))?;
    // All have answered, or the time is over: what came is the result.
    let _ = tokio::time::timeout(timeout, answered).await;
    let waiting = registry.nodes.asked().waiting.remove(&asking.id);
    let answers = |waiting: Waiting| ServerAnswers { replies: waiting.replies, missing: waiting.nodes.len() };
    Ok(waiting.map(answers).unwrap_or_default())
}

/// Forgets a question whose answers nobody waits for any more.
struct Asking<'r> {
    registry: &'r Registry,
    id: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.registry.nodes.asked().waiting.remove(&self.id);
    }
}

/// A handler of an application as it is kept.
pub(super) fn handler<T, R, F>(event: &str, handler: impl Fn(T) -> F + Send + Sync + 'static) -> Handler
where
    T: DeserializeOwned,
    R: Payload,
    F: Future<Output = R> + Send + 'static,
{
    let event = event.to_owned();
    Arc::new(move |arguments| {
        let running = match arguments.to_value() {
            Ok(value) => handler(value),
            Err(error) => {
                tracing::warn!(%error, event, "an event of another node is something else than its handler takes");
                return Box::pin(std::future::ready(None));
            }
        };
        Box::pin(async move {
            match running.await.to_arguments() {
                Ok(arguments) => Some(arguments),
                Err(error) => {
                    tracing::warn!(%error, "an answer to another node cannot be written");
                    None
                }
            }
        })
    })
}
