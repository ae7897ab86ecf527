//! The Rust client against the other programs: a question and its answer, a consumer that stays, and Socket.IO.

use std::error::Error;
use std::io::BufRead;

use clap::Parser;
use parlor_client::{Address, Received, Socket, SocketIo, SocketIoEvent, SocketIoEvents, SocketOptions};
use serde_json::json;
use tokio::sync::mpsc;

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

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Options::parse() {
            Options::Hello { name, server } => hello(&name, &server).await,
            Options::Push { server } => push(&server).await,
            Options::Socketio { username, server } => socketio(&username, server).await,
        }
    })
}

async fn hello(name: &str, server: &str) -> Outcome {
    let mut socket = Socket::open(&Address::parse(server)?, &SocketOptions::default()).await?;
    socket.send_text(name).await?;
    loop {
        match socket.recv().await {
            Received::Text(greeting) => println!("{greeting}"),
            Received::Closed { code, reason } => return ended(code, &reason),
            Received::Binary(_) | Received::Alive => {}
        }
    }
}

async fn push(server: &str) -> Outcome {
    let mut socket = Socket::open(&Address::parse(server)?, &SocketOptions::default()).await?;
    let mut typed = typed();
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Received::Text(text) => println!("{text}"),
                Received::Closed { code, reason } => return ended(code, &reason),
                Received::Binary(_) | Received::Alive => {}
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
                if let Some(ack) = event.ack {
                    ack.send(&["got it"])?;
                }
            }
            // After a break the server knows of no room.
            SocketIoEvent::Connected { recovered: false, .. } => socket.emit("begin_chat", &())?,
            SocketIoEvent::Waiting { wait, error } => {
                eprintln!("{error}; again in {:.1} s", wait.as_secs_f64());
            }
            SocketIoEvent::Closed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

async fn speak(socket: &SocketIo) -> Outcome {
    let mut typed = typed();
    while let Some(line) = typed.recv().await {
        socket.emit("my_message", &[line])?;
        socket.flush().await?;
    }
    Ok(())
}

/// What is typed, read on a thread of its own: the keyboard must hold up nobody.
fn typed() -> mpsc::Receiver<String> {
    let (say, typed) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if say.blocking_send(line).is_err() {
                break;
            }
        }
    });
    typed
}

/// 1000 is the usual end.
fn ended(code: u16, reason: &str) -> Outcome {
    if code == 1000 { Ok(()) } else { Err(format!("the connection ended with {code} {reason}").into()) }
}
