//! Realtime inside an axum application: its routes and its state, and WebSockets in rooms, on one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use parlor::{Message, Rooms, Server, WebSocket};
use serde_json::{Value, json};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

/// The application's state, which WebSockets share with HTTP.
struct Hall {
    rooms: Rooms,
    said: AtomicU64,
}

fn main() -> std::io::Result<()> {
    let mut server = Server::new();
    let hall = Arc::new(Hall { rooms: server.rooms(), said: AtomicU64::new(0) });
    // An application as any other, with its own routes, layers and 404.
    let application = Router::new()
        .route("/hall", get(look))
        .route("/say", post(say))
        .fallback(|| async { (StatusCode::NOT_FOUND, "这里什么也没有\n") })
        .with_state(Arc::clone(&hall));
    server.router(application).page("/", include_str!("axum.html"));
    server.route("/ws", move |socket| visit(socket, Arc::clone(&hall)));
    let running = server.listen(Options::parse().listen)?;
    println!("listening on http://{}", running.address());
    loop {
        std::thread::park();
    }
}

async fn look(State(hall): State<Arc<Hall>>) -> Json<Value> {
    Json(json!({"here": hall.rooms.count("hall"), "said": hall.said.load(Ordering::Relaxed)}))
}

/// An HTTP request reaches everybody's WebSocket. As JSON it may not come from another site's page without asking.
async fn say(State(hall): State<Arc<Hall>>, Json(text): Json<String>) -> StatusCode {
    hall.say(&text.into()).await
}

async fn visit(mut socket: WebSocket, hall: Arc<Hall>) {
    socket.join("hall").expect("one room is not too many");
    while let Some(message) = socket.recv().await {
        if hall.say(&message).await != StatusCode::NO_CONTENT {
            return socket.close(1013, "try again");
        }
    }
}

impl Hall {
    async fn say(&self, message: &Message) -> StatusCode {
        self.said.fetch_add(1, Ordering::Relaxed);
        match self.rooms.to("hall").send(message).await {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
