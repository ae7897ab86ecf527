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
        self.line_that(begin, |line| line.starts_with(begin))
    }

    /// The next line that holds these words, others are skipped.
    #[track_caller]
    pub fn line_containing(&self, words: &str) -> String {
        self.line_that(words, |line| line.contains(words))
    }

    #[track_caller]
    fn line_that(&self, wanted: &str, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            match self.line() {
                Some(line) if is_it(&line) => return line,
                Some(_) => {}
                None => panic!("the child ended before it said {wanted:?}: {:?}", self.errors()),
            }
        }
    }

    /// Sends SIGTERM, as `kill` and service managers do.
    pub fn terminate(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(kill.expect("every system has kill").success(), "the child still runs");
    }

    /// The end of its input, as Ctrl-D or the end of a pipe is.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
    }

    /// Closes its stdin and waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.end_input();
        self.child.wait().expect("the child is ours")
    }

    /// The next line on stderr that holds these words, others are skipped.
    #[track_caller]
    pub fn error_containing(&self, words: &str) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => panic!("the child never wrote {words:?} to stderr"),
            }
        }
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
