//! Lines of stdin, read on a thread of its own: a terminal cannot be waited for in any other way everywhere.

use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;

/// A line is a message; longer ones are cut here rather than held in memory.
const MAX_LINE: usize = 1024 * 1024;

/// Lines, without their ends.
#[derive(Debug)]
pub(super) struct Input {
    lines: mpsc::Receiver<io::Result<String>>,
    /// Whether a person types them.
    pub(super) terminal: bool,
}

impl Input {
    pub(super) fn stdin() -> Self {
        // One line waits while one is sent: a pipe is read as fast as the server takes it.
        let (sender, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let line = read_line(&mut stdin);
                if line.as_ref().is_ok_and(Option::is_none) {
                    return;
                }
                if sender.blocking_send(line.map(Option::unwrap_or_default)).is_err() {
                    return;
                }
            }
        });
        Self { lines, terminal: io::stdin().is_terminal() }
    }

    /// The next line; `None` at the end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        self.lines.recv().await.transpose()
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *input, MAX_LINE as u64).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    // A terminal may be set to another encoding; what cannot be read is shown as such.
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_every_way() {
        let mut input = &b"one\r\ntwo\n\nth\xffree"[..];
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "two", "", "th\u{FFFD}ree"]);
    }
}
