//! axum with tokio-tungstenite: `/ws` goes to everyone on `/ws`, `/echo` comes back.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast;

/// Enough that no subscriber of the benchmark lags behind and loses messages.
const BACKLOG: usize = 16_384;

/// At the default of 128 KB every read asks the system for fresh memory, and an echo costs several times as much.
const READ: usize = 4 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (everyone, _) = broadcast::channel::<Utf8Bytes>(BACKLOG);
    let app = Router::new()
        .route(
            "/ws",
            get(|up: WebSocketUpgrade, State(everyone)| async {
                up.read_buffer_size(READ).on_upgrade(|ws| relay(ws, everyone))
            }),
        )
        .route("/echo", get(|up: WebSocketUpgrade| async { up.read_buffer_size(READ).on_upgrade(echo) }))
        .with_state(everyone);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// One task writes and one reads, as in axum's own chat: a loop that waits for both would try to read at every message
/// that it writes.
async fn relay(ws: WebSocket, everyone: broadcast::Sender<Utf8Bytes>) {
    let mut inbox = everyone.subscribe();
    let (mut out, mut input) = ws.split();
    let writing = tokio::spawn(async move {
        while let Ok(text) = inbox.recv().await {
            if out.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = input.next().await {
        if let Message::Text(text) = message {
            drop(everyone.send(text));
        }
    }
    writing.abort();
}

async fn echo(mut ws: WebSocket) {
    while let Some(Ok(message)) = ws.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && ws.send(message).await.is_err() {
            return;
        }
    }
}
