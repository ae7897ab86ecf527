//! socketioxide on axum: everyone is in the room `bench`; `publish` goes to it as `message`, `echo` comes back.

use axum::Router;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(16_384).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.join("bench");
        socket.on("publish", async |io: SocketIo, Data::<Value>(data), ack: AckSender| {
            let _ = io.to("bench").emit("message", &data).await;
            // No argument at all; `()` would be one, null. Nothing is sent to whoever did not ask.
            let _ = ack.send(&[(); 0]);
        });
        socket.on("echo", async |socket: SocketRef, Data::<String>(text)| {
            let _ = socket.emit("echo", &text);
        });
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |tcp| drop(tcp.set_nodelay(true)));
    axum::serve(listener, Router::new().layer(layer)).await
}
