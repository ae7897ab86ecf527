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
    /// A text, and how many lines had been said with it.
    news: broadcast::Sender<(Arc<str>, usize)>,
    /// Lines that the operator has said, and how many of them the quickest client has taken.
    said: AtomicUsize,
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
        said: AtomicUsize::new(0),
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
    for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
        hall.say(&line.into());
    }
    loop {
        thread::park();
    }
}

impl Hall {
    /// Says a line to everybody, as soon as there is somebody.
    fn say(&self, line: &Arc<str>) {
        let said = self.said.fetch_add(1, SeqCst) + 1;
        while self.is_ahead() || self.news.send((Arc::clone(line), said)).is_err() {
            thread::park();
        }
    }

    /// Whether the operator has to wait, for the first client or for the quickest one.
    fn is_ahead(&self) -> bool {
        let ahead = self.said.load(SeqCst) - self.taken.load(SeqCst);
        // Whoever came late has nothing to take. Then the queue is empty, whatever those took who have left.
        self.news.receiver_count() == 0 || ahead >= AHEAD && !self.news.is_empty()
    }

    /// Everybody hears it, and nobody is waited for.
    fn tell(&self, what: &str) {
        if self.many {
            let text = format!("{what}, {} here", self.news.receiver_count());
            let _ = self.news.send((text.into(), self.said.load(SeqCst)));
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
                Ok((text, lines)) => match socket.send((*text).into()).await {
                    Ok(()) => {
                        hall.taken.fetch_max(lines, SeqCst);
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
