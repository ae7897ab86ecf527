//! A server that is the whole program: it listens, says where, and serves until it is told to end.

use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Running, Server};

impl Server {
    /// Listens, says so on standard output (`listening on http://127.0.0.1:9527`), and serves until the process is told
    /// to end by SIGINT or SIGTERM; then says goodbye to everybody. It blocks, so it has no place inside of a runtime.
    ///
    /// # Errors
    /// As [`Server::listen`].
    pub fn run(self, address: SocketAddr) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            // Whoever reads where it listens may tell it to end at once.
            let end = End::new()?;
            let running = self.listen(address)?;
            // Without anybody to read it, it serves all the same.
            let _ = writeln!(io::stdout(), "listening on http://{}", running.address());
            running.stop_after(end.told()).await;
            Ok(())
        })
    }
}

impl Running {
    /// Serves until the process is told to end by SIGINT or SIGTERM, then says goodbye to everybody, as
    /// [`Running::stop_after`] does. Where the system lets nobody hear of signals, they end it without a goodbye.
    pub async fn stop_when_told(self) {
        match End::new() {
            Ok(end) => self.stop_after(end.told()).await,
            Err(error) => {
                tracing::warn!(%error, "signals are not heard");
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The process may be told to end.
struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    fn new() -> io::Result<End> {
        Ok(End { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn told(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
