//! Echoes what Autobahn's fuzzing server sends, case after case: `autobahn --client HOST:PORT`.
//!
//! Group 9 is left out: it sends messages in more fragments than a connection of this client takes.

use parlor_client::{Address, Error, Offer, Received, Socket, SocketOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, address] = &arguments[..] else { usage() };
    if flag != "--client" {
        usage();
    }
    let server = Address::parse(&format!("ws://{address}"))?;
    let mut socket = open(&server, "/getCaseCount").await?;
    let count: u32 = match socket.recv().await {
        Received::Text(text) => text.parse().unwrap_or(0),
        other => return Err(Error::BadAnswer(format!("no number of cases: {other:?}"))),
    };
    socket.close(1000, "").await;
    println!("{count} cases");
    for case in 1..=count {
        echo(open(&server, &format!("/runCase?case={case}&agent=parlor")).await?).await;
    }
    echo(open(&server, "/updateReports?agent=parlor").await?).await;
    Ok(())
}

fn usage() -> ! {
    eprintln!("usage: autobahn --client HOST:PORT");
    std::process::exit(2);
}

async fn open(server: &Address, target: &str) -> Result<Socket, Error> {
    let deflate = Some(Offer { client_max_window_bits: Some(None), ..Offer::default() });
    let options = SocketOptions { deflate, ..SocketOptions::default() };
    Socket::open(&server.with_target(target), &options).await
}

async fn echo(mut socket: Socket) {
    loop {
        match socket.recv().await {
            Received::Text(text) => drop(socket.queue_text(&text)),
            Received::Binary(bytes) => drop(socket.queue_binary(&bytes)),
            Received::Alive => {}
            // The answer to the server's close may still have to be written.
            Received::Closed { code, .. } => return socket.close(code, "").await,
        }
    }
}
