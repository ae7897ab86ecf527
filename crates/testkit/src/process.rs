//! `Process`: a child that speaks in lines, and is killed when it is dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// No test waits this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = lines(child.stdout.take().expect("a pipe"));
        let stderr = lines(child.stderr.take().expect("a pipe"));
        Process { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Writes a line to its stdin. A child that is gone reads nothing, which is no error here.
    pub fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    /// Its next line on stdout; `None` once it has ended.
    pub fn line(&self) -> Option<String> {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the child says nothing"),
        }
    }

    /// The next line that begins with these words, others are skipped.
    #[track_caller]
    pub fn line_with(&self, begin: &str) -> String {
        loop {
            match self.line() {
                Some(line) if line.starts_with(begin) => return line,
                Some(_) => {}
                None => panic!("the child ended before it said {begin:?}: {:?}", self.errors()),
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
    }

    /// Closes its stdin and waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        self.child.wait().expect("the child is ours")
    }

    /// What it wrote to stderr, once it has ended.
    pub fn errors(&self) -> String {
        self.stderr.iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole lines as they come; what a killed process left unfinished is not a line.
fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}
