//! `Redis`: a server of the test's own on a free port, in a directory of its own, ended by its id.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No server takes this long to start unless something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything is synced before it is answered.
pub const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// A running server.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: u16,
    dir: PathBuf,
    args: Vec<String>,
}

impl Redis {
    /// Starts `redis-server`, or what `REDIS_SERVER` names, with these settings.
    ///
    /// # Panics
    /// If there is none: `cargo xtask test redis` installs it.
    pub fn start(args: &[&str]) -> Redis {
        Redis::start_with(args, None)
    }

    /// Starts another one on what a server had on disk.
    pub fn start_on(backup: &Backup, args: &[&str]) -> Redis {
        Redis::start_with(args, Some(backup))
    }

    fn start_with(args: &[&str], backup: Option<&Backup>) -> Redis {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        loop {
            // The number of the process keeps runs apart, the port the servers of one run.
            let port = free_port();
            let dir = std::env::temp_dir().join(format!("parlor-redis-{}-{port}", std::process::id()));
            fs::create_dir_all(&dir).expect("a directory");
            backup.into_iter().for_each(|backup| copy(&backup.0, &dir));
            let mut redis = Redis { child: spawn(port, &dir, &args), port, dir, args: args.clone() };
            // Somebody else may have taken the port meanwhile.
            if redis.is_up() {
                return redis;
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Starts it again where it was, with what it has on disk.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.dir, &self.args);
        while !self.is_up() {
            self.child = spawn(self.port, &self.dir, &self.args);
        }
    }

    /// Ends it, copies what it has on disk, and starts it again.
    pub fn back_up(&mut self) -> Backup {
        self.kill();
        let backup = self.on_disk();
        self.start_again();
        backup
    }

    /// Ends it and starts it with what it had on disk then; returns what it had now.
    pub fn restore(&mut self, backup: &Backup) -> Backup {
        self.kill();
        let now = self.on_disk();
        fs::remove_dir_all(&self.dir).expect("it is ours");
        copy(&backup.0, &self.dir);
        self.start_again();
        now
    }

    /// What it has on disk, when it does not run.
    pub fn on_disk(&self) -> Backup {
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        let copy_to = self.dir.with_extension(format!("copy{}", COPIES.fetch_add(1, Ordering::Relaxed)));
        copy(&self.dir, &copy_to);
        Backup(copy_to)
    }

    /// Stops it without ending it, until [`Redis::go_on`].
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// The answer to one command, as the protocol has it.
    pub fn ask(&self, parts: &[&str]) -> String {
        self.try_ask(parts).expect("an answer")
    }

    /// Sends bytes on a channel, whatever they are.
    pub fn publish(&self, channel: &str, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        let mut command =
            format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), bytes.len())
                .into_bytes();
        command.extend_from_slice(bytes);
        command.extend_from_slice(b"\r\n");
        stream.write_all(&command).expect("a write");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        assert!(line.starts_with(':'), "{line}");
    }

    fn try_ask(&self, parts: &[&str]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut command = format!("*{}\r\n", parts.len());
        for part in parts {
            command += &format!("${}\r\n{part}\r\n", part.len());
        }
        command += "*1\r\n$4\r\nQUIT\r\n";
        stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned())
    }

    /// Waits for it; `false` if it has ended instead.
    fn is_up(&mut self) -> bool {
        let begin = Instant::now();
        while !self
            .try_ask(&["PING"])
            .is_ok_and(|answer| answer == "+PONG\r\n" || answer.starts_with("-NOAUTH"))
        {
            assert!(begin.elapsed() < PATIENCE, "redis-server does not start");
            if self.child.try_wait().expect("the child is ours").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.expect("every system has kill").success(), "the server runs");
    }
}

/// What a server had on disk.
#[derive(Debug)]
pub struct Backup(PathBuf);

impl Drop for Backup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is ours") {
        let path = entry.expect("it is ours").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).expect("room for a copy")),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn spawn(port: u16, dir: &PathBuf, args: &[String]) -> Child {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    Command::new(&program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program} does not start: {error}; `cargo xtask test redis` installs it")
        })
}

/// A port from which no outgoing connection starts, so that nobody takes it while the server is away: below those that
/// systems give out by themselves. Runs begin at different places.
fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = std::process::id() as usize * 61 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (number % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
