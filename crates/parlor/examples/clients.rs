//! The Rust client against the other programs: a question and its answer, a consumer that stays, and Socket.IO.

use std::error::Error;

use clap::Parser;
use parlor_client::{Socket, SocketIo, SocketIoEvent, SocketIoEvents};
use serde_json::json;

#[derive(Parser)]
enum Options {
    /// Sends a name and prints the answer, with `hello`.
    Hello {
        name: String,
        #[arg(long, default_value = "ws://127.0.0.1:8765")]
        server: String,
    },
    /// Prints every text until the server ends, and sends what is typed, with `push`.
    Push {
        #[arg(long, default_value = "ws://127.0.0.1:8765")]
        server: String,
    },
    /// Prints every event and says what is typed to the room `chat_users`, with `socketio`.
    Socketio {
        username: String,
        #[arg(long, default_value = "http://127.0.0.1:5000")]
        server: String,
    },
}

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match Options::parse() {
        Options::Hello { name, server } => hello(&name, &server).await,
        Options::Push { server } => push(&server).await,
        Options::Socketio { username, server } => socketio(&username, server).await,
    }
}

async fn hello(name: &str, server: &str) -> Outcome {
    let mut socket = Socket::connect(server).await?;
    socket.send_text(name).await?;
    while let Some(greeting) = socket.recv_text().await? {
        println!("{greeting}");
    }
    Ok(())
}

async fn push(server: &str) -> Outcome {
    let (mut socket, mut typed) = (Socket::connect(server).await?, parlor::typed());
    loop {
        tokio::select! {
            text = socket.recv_text() => match text? {
                Some(text) => println!("{text}"),
                None => return Ok(()),
            },
            Some(line) = typed.recv() => socket.send_text(&line).await?,
        }
    }
}

async fn socketio(username: &str, server: String) -> Outcome {
    let auth = json!({ "username": username });
    let (socket, events) = SocketIo::options(server).auth(&auth).connect().await?;
    let known_as: String = socket.emit_with_ack("whoami", &()).await?.first()?;
    let in_room: bool = socket.emit_with_ack("begin_chat", &()).await?.first()?;
    println!("here as {known_as}, in chat_users: {in_room}");
    // Side by side: whoever speaks goes on listening.
    tokio::try_join!(listen(&socket, events), speak(&socket)).map(drop)
}

async fn listen(socket: &SocketIo, mut events: SocketIoEvents) -> Outcome {
    while let Some(event) = events.next().await {
        match event {
            SocketIoEvent::Event(event) => {
                println!("{}: {}", event.name, event.arguments.text());
                event.ack.map_or(Ok(()), |ack| ack.send(&["got it"]))?;
            }
            // After a break the server knows of no room.
            SocketIoEvent::Connected { recovered: false, .. } => socket.emit("begin_chat", &())?,
            SocketIoEvent::Waiting { wait, error } => eprintln!("{error}; again in {wait:.1?}"),
            SocketIoEvent::Closed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

async fn speak(socket: &SocketIo) -> Outcome {
    let mut typed = parlor::typed();
    while let Some(line) = typed.recv().await {
        socket.emit("my_message", &[line])?;
        socket.flush().await?;
    }
    Ok(())
}
