//! A server under test: a process pinned to one core, what it has burnt and what it holds in memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A server prints its address within this time, interpreters and their imports included.
const START: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// CPU time of a process and its children, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) total: u64,
    /// The part spent outside the kernel; the kernel tells it in hundredths of a second.
    pub(crate) user: u64,
}

impl Cpu {
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu { total: self.total.saturating_sub(earlier.total), user: self.user.saturating_sub(earlier.user) }
    }
}

impl Server {
    /// Starts a command on these cores (as `taskset` writes them). Its first line on stdout is
    /// `listening on http://ADDR`, unless `address` is known beforehand: then it is ready when that accepts.
    pub(crate) fn start(
        command: &Command,
        cores: &str,
        address: Option<SocketAddr>,
        log: &Path,
    ) -> Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", cores]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => pinned.env(key, value),
                None => pinned.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        let errors = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).process_group(0);
        let shown = command.get_program().to_string_lossy().into_owned();
        let mut child = pinned.spawn().with_context(|| format!("cannot start {shown}"))?;
        let found = match address {
            Some(address) => accepts(address).map(|()| address),
            None => first_line(&mut child),
        };
        match found {
            Ok(address) => Ok(Server { child, address }),
            Err(error) => {
                let mut server = Server { child, address: ([127, 0, 0, 1], 0).into() };
                server.stop();
                let said = fs::read_to_string(log).unwrap_or_default();
                Err(error.context(format!("{shown} did not start:\n{said}")))
            }
        }
    }

    /// What the process and its children have burnt so far.
    pub(crate) fn cpu(&self) -> Cpu {
        let mut cpu = Cpu::default();
        for pid in self.tree() {
            for task in entries(&format!("/proc/{pid}/task")) {
                cpu.total += schedstat(&format!("/proc/{pid}/task/{task}/schedstat"));
            }
            cpu.user += user_time(&format!("/proc/{pid}/stat"));
        }
        cpu
    }

    /// Resident bytes of the process and its children.
    pub(crate) fn resident(&self) -> u64 {
        let status = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        self.tree().iter().map(|pid| resident(&status(pid))).sum()
    }

    /// Bytes that the kernel keeps on the way from this server to clients of this machine, because they do not read.
    pub(crate) fn unread(&self) -> u64 {
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        table.lines().filter_map(|line| unread(line, self.address.port())).sum()
    }

    fn tree(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = all.get(at).copied() {
            for task in entries(&format!("/proc/{pid}/task")) {
                let children =
                    fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
                all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
            at += 1;
        }
        all
    }

    /// Kills it, as a power cut would.
    pub(crate) fn stop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // The whole group at once: a worker process must not outlive its parent.
        let kill = format!("kill -KILL -{}", self.child.id());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn first_line(child: &mut Child) -> Result<SocketAddr> {
    let stdout = child.stdout.take().context("no stdout")?;
    let (found, line) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        // The receiver may have given up waiting.
        let _ = found.send(lines.next());
        // Whatever else the server prints is read, so that it never waits for us.
        lines.for_each(drop);
    });
    let line = line.recv_timeout(START).context("nothing on stdout")?;
    let line = line.context("it ended")??;
    let address = line.strip_prefix("listening on http://").with_context(|| format!("it said: {line}"))?;
    address.trim_end_matches('/').parse().with_context(|| format!("no address: {line}"))
}

fn accepts(address: SocketAddr) -> Result<()> {
    let limit = Instant::now() + START;
    while std::net::TcpStream::connect(address).is_err() {
        if Instant::now() > limit {
            bail!("{address} does not accept");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn entries(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The first number of a thread's schedstat: nanoseconds on a core.
fn schedstat(path: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// `utime` is the 14th field of /proc/PID/stat, in clock ticks of 10 ms; the name before it may hold spaces.
fn user_time(path: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let ticks =
        text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(11)?.parse::<u64>().ok());
    ticks.unwrap_or(0) * 10_000_000
}

/// What a line of /proc/net/tcp (proc(5)) has on the way from `port`: the send queue of that end of a connection, or
/// the receive queue of the other. Number, local and remote address with ports in hexadecimal, state, queues.
fn unread(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_whitespace().skip(1);
    let mut is_port = || Some(u16::from_str_radix(fields.next()?.split_once(':')?.1, 16).ok()? == port);
    let (local, remote) = (is_port()?, is_port()?);
    let (sending, received) = fields.nth(1)?.split_once(':')?;
    let queue = if local { sending } else { received };
    (local || remote).then(|| u64::from_str_radix(queue, 16).ok())?
}

fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_do_not_read_is_in_the_table_of_the_kernel() {
        let server =
            "  12: 0100007F:2537 0100007F:B2C4 01 0000A000:00000010 00:00000000 00000000     0        0 1 1";
        let client =
            "  13: 0100007F:B2C4 0100007F:2537 01 00000001:0000B000 00:00000000 00000000     0        0 1 1";
        assert_eq!(unread(server, 0x2537), Some(0xa000));
        assert_eq!(unread(client, 0x2537), Some(0xb000));
        assert_eq!(unread(client, 0x2538), None);
        assert_eq!(unread("  sl  local_address rem_address   st tx_queue rx_queue", 1), None);
    }
}
