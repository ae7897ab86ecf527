//! Realtime without WebSocket: a queue of texts for each user. `/poll/<name>` takes what is new, at once or as soon as
//! there is something; `/stream/<name>` is an answer that never ends.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use clap::Parser;
use parlor::{QueueError, Queues, Server};
use serde::Deserialize;

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

#[derive(Deserialize)]
struct Wishes {
    /// Seconds to hold the question; 0 is plain polling.
    wait: Option<u64>,
    /// 1: the stream is to be a page of scripts.
    html: Option<u8>,
}

fn main() -> std::io::Result<()> {
    let application = Router::new()
        .route("/poll/{name}", get(poll).post(put))
        .route("/stream/{name}", get(stream))
        .layer(middleware::from_fn(parlor::own_pages))
        .with_state(Queues::default());
    let mut server = Server::new();
    server.router(application).page("/", include_str!("long_polling.html"));
    server.run(Options::parse().listen)
}

type Name = (State<Queues>, Path<String>);

/// What is new, one text in a line; nothing if nothing came in time. Gateways wait a little longer than half a minute.
async fn poll((State(queues), Path(name)): Name, wishes: Query<Wishes>) -> Result<Response, QueueError> {
    let hold = Duration::from_secs(wishes.wait.unwrap_or(30).min(30));
    let texts = queues.of(&name)?.take(hold).await;
    Ok(([(header::CACHE_CONTROL, "no-store")], texts.join("\n")).into_response())
}

async fn put((State(queues), Path(name)): Name, text: String) -> Result<StatusCode, QueueError> {
    queues.of(&name)?.put(text)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stream((State(queues), Path(name)): Name, wishes: Query<Wishes>) -> Result<Response, QueueError> {
    let queue = queues.of(&name)?;
    Ok(if wishes.html == Some(1) { queue.into_page("流") } else { queue.into_lines() })
}
