//! socketioxide on axum: the event `publish` goes to everyone as `message`, `echo` comes back.

use axum::Router;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(16_384).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("publish", async |io: SocketIo, Data::<String>(text)| {
            let _ = io.emit("message", &text).await;
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
