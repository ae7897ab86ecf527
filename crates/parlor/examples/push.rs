//! What the operator types reaches the clients, line by line. With `--many` everybody also hears who comes and goes,
//! and the clients' own texts are printed.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use clap::Parser;
use parlor::{Message, Server, WebSocket};
use tokio::sync::broadcast::{self, error::RecvError};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one. Without it 127.0.0.1, and 8765, or 6789 with --many.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Tell everybody who comes and goes, and print what clients say.
    #[arg(long)]
    many: bool,
}

/// Texts that wait for the slowest client; who is further behind is let go.
const QUEUE: usize = 4096;
/// Lines that the operator may be ahead of the quickest client, so that a file can be poured in.
const AHEAD: usize = 512;

struct Hall {
    many: bool,
    /// A text, and which of the operator's lines it is, from 1.
    news: broadcast::Sender<(Arc<str>, usize)>,
    /// The last line that the quickest client has taken.
    taken: AtomicUsize,
    /// The thread that reads the operator's lines, and waits where there is nobody to take them.
    operator: thread::Thread,
}

fn main() -> std::io::Result<()> {
    let Options { listen, many } = Options::parse();
    let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], if many { 6789 } else { 8765 })));
    let hall = Arc::new(Hall {
        many,
        news: broadcast::channel(QUEUE).0,
        taken: AtomicUsize::new(0),
        operator: thread::current(),
    });
    let mut server = Server::new();
    server.route("/", {
        let hall = Arc::clone(&hall);
        move |socket| visit(Arc::clone(&hall), socket)
    });
    let running = server.listen(listen)?;
    println!("listening on http://{}", running.address());
    for (n, line) in std::io::stdin().lock().split(b'\n').map_while(Result::ok).enumerate() {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
        hall.say(&line.into(), n + 1);
    }
    loop {
        thread::park();
    }
}

impl Hall {
    /// Says the operator's line `n` as soon as there is somebody to take it.
    fn say(&self, line: &Arc<str>, n: usize) {
        // Whoever came late has nothing to take. Then the queue is empty, whatever those took who have left.
        let is_ahead = || n > self.taken.load(SeqCst) + AHEAD && !self.news.is_empty();
        while is_ahead() || self.news.send((Arc::clone(line), n)).is_err() {
            thread::park();
        }
    }

    /// Everybody hears it, and nobody is waited for.
    fn tell(&self, what: &str) {
        if self.many {
            let text = format!("{what}, {} here", self.news.receiver_count());
            let _ = self.news.send((text.into(), 0));
        }
    }
}

async fn visit(hall: Arc<Hall>, mut socket: WebSocket) {
    let mut news = hall.news.subscribe();
    hall.tell("somebody came");
    hall.operator.unpark();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                // A terminal that takes nothing holds up this client, not its worker.
                Some(Message::Text(text)) if hall.many => {
                    let _ = tokio::task::spawn_blocking(move || println!("{text:?}")).await;
                }
                Some(_) => {}
                None => break,
            },
            told = news.recv() => match told {
                Ok((text, n)) => match socket.send((*text).into()).await {
                    Ok(()) => {
                        hall.taken.fetch_max(n, SeqCst);
                        hall.operator.unpark();
                    }
                    Err(_) => break,
                },
                Err(RecvError::Lagged(_)) => {
                    socket.close(4008, "slow");
                    break;
                }
                Err(RecvError::Closed) => break,
            },
        }
    }
    drop(news);
    hall.operator.unpark();
    hall.tell("somebody left");
}
