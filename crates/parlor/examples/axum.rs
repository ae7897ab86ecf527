//! Realtime inside an axum application: its listener, its routes, its state, and one room for WebSocket and Socket.IO.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::routing::{get, post};
use axum::{Json, Router, extract::State, http::StatusCode};
use clap::Parser;
use parlor::{Ack, Data, Message, Rooms, Server, Socket, WebSocket};
use serde_json::json;

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

/// The application's state: the rooms, and how much was said.
struct Hall(Rooms, AtomicU64);

impl Hall {
    async fn say(&self, message: &Message) -> StatusCode {
        self.1.fetch_add(1, Relaxed);
        let said = self.0.to("hall").send(message).await;
        said.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::NO_CONTENT)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    let hall = Arc::new(Hall(server.rooms(), AtomicU64::new(0)));
    let here = Arc::clone(&hall);
    server.route("/ws", move |socket| visit(socket, Arc::clone(&here)));
    server.state(Arc::clone(&hall)).page("/", include_str!("axum.html"));
    let everybody = server.namespace("/").on_connect(async |socket: Socket| drop(socket.join("hall")));
    everybody.on("say", async |hall: parlor::State<Arc<Hall>>, Data(text): Data<String>, ack: Ack| {
        ack.send(&hall.say(&text.into()).await.as_u16());
    });
    let (realtime, running) = server.mount()?;
    let look = async |State(hall): State<Arc<Hall>>| {
        Json(json!({ "here": hall.0.count("hall"), "said": hall.1.load(Relaxed) }))
    };
    // As JSON, what is said may not come from another site's page without asking.
    let say = async |State(hall): State<Arc<Hall>>, Json(text): Json<String>| hall.say(&text.into()).await;
    let application = Router::new()
        .route("/hall", get(look))
        .route("/say", post(say))
        .with_state(hall)
        .merge(realtime)
        .fallback(async || (StatusCode::NOT_FOUND, "这里什么也没有\n"));
    let listener = tokio::net::TcpListener::bind(Options::parse().listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, application.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(running.stop_when_told())
        .await
}

async fn visit(mut socket: WebSocket, hall: Arc<Hall>) {
    socket.join("hall").expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        if hall.say(&message).await != StatusCode::NO_CONTENT {
            return socket.close(1013, "try again");
        }
    }
}
