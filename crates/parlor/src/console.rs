//! `print` and `typed`: a terminal for programs whose handlers must not wait for it.

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

/// Lines that wait for whoever reads, and their bytes: a screenful of minutes, and nothing to a process.
const LINES: usize = 1_000;
const BYTES: usize = 1024 * 1024;

/// Prints a line on standard output, from any thread and any handler, and never waits: a terminal that takes nothing
/// holds up nobody. Up to 1,000 lines (or 1 MB) wait for it; what does not fit, and what is printed right before the
/// process ends, may be left out.
///
/// Text of others belongs here only as `{text:?}`, so that it cannot command the terminal.
pub fn print(line: impl Into<String>) {
    static CONSOLE: OnceLock<Console> = OnceLock::new();
    CONSOLE.get_or_init(Console::start).print(line.into());
}

/// What is typed, line by line: standard input, read on a thread of its own, so that nobody is held up by whoever does not
/// type. Only a few lines are read ahead. Bytes that are no UTF-8 become U+FFFD. The end of the input is the end of the
/// lines.
pub fn typed() -> mpsc::Receiver<String> {
    let (say, typed) = mpsc::channel(16);
    // Without a thread the other end is dropped: nothing is typed.
    let _ = std::thread::Builder::new()
        .name("typed".to_owned())
        .spawn(move || lines(io::stdin().lock()).try_for_each(|line| say.blocking_send(line)));
    typed
}

fn lines(input: impl BufRead) -> impl Iterator<Item = String> {
    input.split(b'\n').map_while(Result::ok).map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        String::from_utf8_lossy(line).into_owned()
    })
}

struct Console {
    lines: SyncSender<String>,
    bytes: Arc<AtomicUsize>,
}

impl Console {
    fn start() -> Console {
        let (console, lines) = Console::new();
        let bytes = Arc::clone(&console.bytes);
        // Without a thread the other end is dropped, and nothing is printed.
        let _ = std::thread::Builder::new().name("console".to_owned()).spawn(move || {
            for line in lines {
                // Whoever closes the terminal does not end the server.
                let _ = writeln!(io::stdout(), "{line}");
                bytes.fetch_sub(line.len(), Relaxed);
            }
        });
        console
    }

    fn new() -> (Console, Receiver<String>) {
        let (lines, printed) = sync_channel(LINES);
        (Console { lines, bytes: Arc::default() }, printed)
    }

    fn print(&self, line: String) {
        let length = line.len();
        let fits = self.bytes.fetch_add(length, Relaxed) + length <= BYTES;
        if !fits || self.lines.try_send(line).is_err() {
            self.bytes.fetch_sub(length, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_whatever_is_typed() {
        let input: &[u8] = b"one\n\n two \r\n\xff\nlast";
        assert_eq!(lines(input).collect::<Vec<_>>(), ["one", "", " two ", "\u{fffd}", "last"]);
    }

    #[test]
    fn lines_wait_up_to_a_limit_and_the_others_are_left_out() {
        let check = |line: &str, fit: usize| {
            let (console, lines) = Console::new();
            (0..fit + 3).for_each(|_| console.print(line.to_owned()));
            assert_eq!(lines.try_iter().count(), fit);
            assert_eq!(console.bytes.load(Relaxed), fit * line.len());
        };
        check("", LINES);
        check("x", LINES);
        check(&"x".repeat(BYTES / 4), 4);
        check(&"x".repeat(BYTES + 1), 0);
    }
}
