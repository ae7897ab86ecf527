//! `Proxy`: a bad network between clients and a server: it delays, cuts, half-closes and throttles as its dice say.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::dice::Dice;

/// A listener whose connections lead to a server, badly.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    /// From now on nothing happens to anybody.
    kind: AtomicBool,
    over: AtomicBool,
    connections: AtomicUsize,
    cuts: AtomicUsize,
}

/// What happens to one direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// The end comes then, in one of these ways; `None`: it does not.
    end: Option<(Duration, End)>,
    /// What is held back of every piece.
    delay: Duration,
    /// Bytes of one piece, at most.
    piece: usize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Both directions at once, and what is on its way is lost.
    Cut,
    /// This direction ends; the other goes on until somebody minds.
    HalfClose,
    /// This direction carries nothing any more, and nobody is told; later it is cut.
    Silence,
}

/// How often a direction that carries nothing looks whether its time has come.
const LOOK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Every connection gets a fate from these dice.
    pub fn start(target: SocketAddr, mut dice: Dice) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            kind: AtomicBool::new(false),
            over: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            cuts: AtomicUsize::new(0),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if all.over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), fates) = (client, [fate(&mut dice), fate(&mut dice)]) else { continue };
                let target = *all.target.lock().unwrap_or_else(PoisonError::into_inner);
                // A server that is not there is a connection that ends at once.
                let Ok(server) = TcpStream::connect(target) else { continue };
                all.connections.fetch_add(1, Ordering::Relaxed);
                carry_both(&all, &client, &server, fates);
            }
        });
        Proxy { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Nothing happens to anybody any more.
    pub fn be_kind(&self) {
        self.shared.kind.store(true, Ordering::Relaxed);
    }

    /// Connections so far, and directions that were ended.
    pub fn counts(&self) -> (usize, usize) {
        (self.shared.connections.load(Ordering::Relaxed), self.shared.cuts.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // The listener looks when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

fn fate(dice: &mut Dice) -> Fate {
    let end = match dice.roll(6) {
        0 => Some(End::HalfClose),
        1 => Some(End::Silence),
        2 | 3 => Some(End::Cut),
        _ => None,
    };
    let after = Duration::from_millis(5 << dice.roll(11));
    Fate {
        end: end.map(|end| (after, end)),
        delay: Duration::from_millis(if dice.once_in(3) { dice.roll(30) } else { 0 }),
        piece: if dice.once_in(4) { 1 + dice.index(200) } else { 64 * 1024 },
    }
}

fn carry_both(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream, fates: [Fate; 2]) {
    let pairs = [(client, server), (server, client)];
    for ((from, to), fate) in pairs.into_iter().zip(fates) {
        let (Ok(from), Ok(to), shared) = (from.try_clone(), to.try_clone(), Arc::clone(shared)) else {
            return;
        };
        thread::spawn(move || {
            // An error on either side is the end of both.
            if carry(&shared, &from, &to, fate).is_none() {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            }
        });
    }
}

/// Carries one direction to its end; `None`: the other one is over too.
fn carry(shared: &Shared, mut from: &TcpStream, mut to: &TcpStream, fate: Fate) -> Option<()> {
    from.set_read_timeout(Some(LOOK)).ok()?;
    // A peer that reads nothing must not hold this thread for ever.
    to.set_write_timeout(Some(Duration::from_secs(30))).ok()?;
    to.set_nodelay(true).ok()?;
    let began = Instant::now();
    let mut buffer = vec![0; fate.piece];
    let mut silent = false;
    loop {
        let kind = shared.kind.load(Ordering::Relaxed);
        if let Some((after, end)) = fate.end.filter(|_| !kind) {
            let elapsed = began.elapsed();
            match end {
                End::Cut if elapsed >= after => return shared.cut(),
                End::HalfClose if elapsed >= after => {
                    shared.cuts.fetch_add(1, Ordering::Relaxed);
                    return to.shutdown(Shutdown::Write).ok();
                }
                End::Silence if elapsed >= after + Duration::from_secs(2) => return shared.cut(),
                End::Silence => silent = elapsed >= after,
                _ => {}
            }
        }
        // What was silent has lost nothing that it could go on behind.
        if kind && silent {
            return shared.cut();
        }
        if shared.over.load(Ordering::Relaxed) {
            return None;
        }
        if silent {
            thread::sleep(LOOK);
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => return to.shutdown(Shutdown::Write).ok(),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return None,
        };
        if !kind {
            thread::sleep(fate.delay);
        }
        to.write_all(&buffer[..count]).ok()?;
    }
}

impl Shared {
    fn cut(&self) -> Option<()> {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        None
    }
}
