//! Any WebSocket server: a line is a message, a message is a line.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use parlor_client::{Received, Socket};
use tokio::time::{Instant, sleep_until};

use super::super::show::harmless;
use super::input::Input;

/// Bytes that may wait for the server before stdin waits.
const OUT: usize = 256 * 1024;

pub(super) async fn run(mut socket: Socket, mut input: Input, linger: Duration) -> Result<()> {
    if input.terminal {
        eprintln!("-- connected; what you type is sent line by line, Ctrl-D ends");
    }
    // When stdin has ended: a person means it, a pipe may still have answers to come.
    let mut until: Option<Instant> = None;
    let mut closing = false;
    loop {
        let reads = until.is_none() && socket.queued() < OUT;
        tokio::select! {
            line = input.next(), if reads => match line? {
                Some(line) => {
                    socket.queue_text(&line);
                }
                None => until = Some(Instant::now() + if input.terminal { Duration::ZERO } else { linger }),
            },
            received = socket.recv() => match received {
                Received::Text(text) => print(text.as_bytes())?,
                Received::Binary(bytes) => print(format!("({} bytes of binary)", bytes.len()).as_bytes())?,
                Received::Alive => {}
                Received::Closed { .. } if closing => return Ok(()),
                Received::Closed { code: 1000 | 1001 | 1005, reason } => {
                    eprintln!("-- the server ended the connection{}", with_reason(&reason));
                    return Ok(());
                }
                Received::Closed { code, reason } => {
                    bail!("the server ended the connection with code {code}{}", with_reason(&reason));
                }
            },
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() && !closing => {
                closing = true;
                socket.start_close(1000, "");
            }
        }
    }
}

fn with_reason(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {}", harmless(reason)) }
}

/// A message as it is, but harmless to a terminal; a pipe gets the bytes.
fn print(message: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", harmless(&String::from_utf8_lossy(message)))?;
    } else {
        out.write_all(message)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
