//! Realtime without WebSocket: a queue of texts for each user. `/poll/<name>` takes what is new, at once or as soon as
//! there is something; `/stream/<name>` is an answer that never ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use futures_util::stream;
use parlor::Server;
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

/// A question is held for so long: gateways give up a little later.
const HOLD: Duration = Duration::from_secs(30);
/// A stream that has nothing to say says so now and then, so that both sides notice when the other is gone.
const BEAT: Duration = Duration::from_secs(20);
/// Texts that may wait for one user, bytes of one of them, and users: 1 GB if everybody's queue is full of the longest.
const TEXTS: usize = 64;
const TEXT: usize = 16 * 1024;
const USERS: usize = 1000;

type Queues = Arc<Mutex<HashMap<String, Queue>>>;

/// A user's queue; whoever takes from it first has it.
#[derive(Clone)]
struct Queue {
    put: Sender<String>,
    take: Arc<tokio::sync::Mutex<Receiver<String>>>,
}

fn main() -> std::io::Result<()> {
    let application = Router::new()
        .route("/poll/{name}", get(poll).post(put))
        .route("/stream/{name}", get(stream))
        .layer(DefaultBodyLimit::max(TEXT))
        .layer(middleware::from_fn(refuse_other_pages))
        .with_state(Queues::default());
    let mut server = Server::new();
    server.router(application).page("/", include_str!("long_polling.html"));
    let running = server.listen(Options::parse().listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}

#[derive(Deserialize)]
struct Wishes {
    /// Seconds to hold the question; 0 is plain polling.
    wait: Option<u64>,
    /// The stream is to be a page of scripts.
    html: Option<u8>,
}

/// What is new, one text in a line; nothing if nothing came in time.
async fn poll(
    State(queues): State<Queues>,
    Path(name): Path<String>,
    Query(wishes): Query<Wishes>,
) -> Result<Response, StatusCode> {
    let queue = queue(&queues, name)?;
    let hold = wishes.wait.map_or(HOLD, Duration::from_secs).min(HOLD);
    let texts = timeout(hold, queue.take()).await.unwrap_or_default();
    Ok(([(header::CACHE_CONTROL, "no-store")], texts.join("\n")).into_response())
}

async fn put(
    State(queues): State<Queues>,
    Path(name): Path<String>,
    text: String,
) -> Result<StatusCode, StatusCode> {
    // Full: somebody has to take from it first.
    queue(&queues, name)?.put.try_send(text).map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stream(
    State(queues): State<Queues>,
    Path(name): Path<String>,
    Query(wishes): Query<Wishes>,
) -> Result<Response, StatusCode> {
    let queue = queue(&queues, name)?;
    let is_page = wishes.html.is_some_and(|html| html != 0);
    // A number that nobody can guess names our own scripts.
    let nonce = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
    let head = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>流</title><body><script nonce=\"{nonce}\">\
         const say = (text) => {{ document.body.append(text, document.createElement(\"br\")); \
         parent.postMessage(text, location.origin); }};</script>\n"
    );
    let policy =
        format!("default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'self'");
    let kind = if is_page { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let chunks = stream::unfold((queue, is_page.then_some(head)), move |(queue, head)| {
        let nonce = nonce.clone();
        async move {
            let chunk = match head {
                Some(head) => head,
                None => match timeout(BEAT, queue.take()).await.unwrap_or_default() {
                    none if none.is_empty() => "\n".to_owned(),
                    texts if is_page => texts.iter().map(|text| script(text, &nonce)).collect(),
                    texts => texts.join("\n") + "\n",
                },
            };
            Some((Ok::<_, Infallible>(chunk), (queue, None)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// A text as a script block that cannot be ended by it: in JSON, `<` may be spelled out.
fn script(text: &str, nonce: &str) -> String {
    let text = serde_json::Value::from(text).to_string().replace('<', "\\u003c");
    format!("<script nonce=\"{nonce}\">say({text})</script>\n")
}

fn queue(queues: &Queues, name: String) -> Result<Queue, StatusCode> {
    let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
    if queues.len() >= USERS {
        // Where nothing waits and nobody asks there is nothing to remember.
        queues.retain(|_, queue| queue.put.capacity() < TEXTS || Arc::strong_count(&queue.take) > 1);
    }
    if queues.len() >= USERS && !queues.contains_key(&name) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let new = || {
        let (put, take) = channel(TEXTS);
        Queue { put, take: Arc::new(tokio::sync::Mutex::new(take)) }
    };
    Ok(queues.entry(name).or_insert_with(new).clone())
}

impl Queue {
    /// All that is new; waits for the first of it. Dropped while it waits, it has taken nothing.
    async fn take(&self) -> Vec<String> {
        let mut texts = Vec::new();
        self.take.lock().await.recv_many(&mut texts, TEXTS).await;
        texts
    }
}

/// Browsers say whose page asks; another's may neither take nor put, though it be on this machine.
async fn refuse_other_pages(
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    match headers.get("sec-fetch-site") {
        Some(site) if site != "same-origin" && site != "none" => Err(StatusCode::FORBIDDEN),
        _ => Ok(next.run(request).await),
    }
}
