//! How many connections, and how many new ones, one address may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlor_hub::rate::Bucket;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{CONNECT_RATE, CONNECTIONS_PER_ADDRESS, RESUME_BUDGET, Rate};

/// Whether the limits on addresses and rates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    On,
    /// `--no-limits`: for benchmarks.
    Off,
}

/// The table of addresses that have connections or had one lately.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Debug)]
struct Address {
    /// Sockets that have not become WebSockets: heads that are not complete, and plain requests.
    http: usize,
    connections: usize,
    bucket: Bucket,
    /// For those who come back.
    returns: Bucket,
}

/// One connection's place; giving it back is dropping it.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    WebSocket,
}

const RETURN_RATE: Rate =
    Rate { per_second: CONNECT_RATE.per_second * RESUME_BUDGET, burst: CONNECT_RATE.burst * RESUME_BUDGET };

/// Addresses without connections are forgotten when the table has this many.
const SWEEP_AT: usize = 10_000;

impl Admission {
    /// A socket that was accepted and has said nothing yet. `None`: the address has as many of those as it may have
    /// connections.
    pub(crate) fn arrive(self: &Arc<Self>, address: IpAddr, now: u64) -> Option<Admitted> {
        let address = network(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entry(&mut addresses, address, now);
        if entry.http >= CONNECTIONS_PER_ADDRESS {
            return None;
        }
        entry.http += 1;
        Some(Admitted { admission: Arc::clone(self), address, kind: Kind::Http })
    }

    /// A socket that becomes a WebSocket; `comes_back`: it says that it was here before.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        comes_back: bool,
        now: u64,
    ) -> Result<Admitted, Refusal> {
        let address = network(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entry(&mut addresses, address, now);
        if entry.connections >= CONNECTIONS_PER_ADDRESS {
            return Err(Refusal::new(
                Code::TooManyConnections,
                format!("this address has {CONNECTIONS_PER_ADDRESS} connections; close one first"),
            ));
        }
        let (bucket, rate) = match comes_back {
            true => (&mut entry.returns, RETURN_RATE),
            false => (&mut entry.bucket, CONNECT_RATE),
        };
        bucket.take(rate, now).map_err(|wait| {
            Refusal::rate_limited("new connections from this address", Duration::from_millis(u64::from(wait)))
        })?;
        entry.connections += 1;
        Ok(Admitted { admission: Arc::clone(self), address, kind: Kind::WebSocket })
    }
}

fn entry(addresses: &mut HashMap<IpAddr, Address>, address: IpAddr, now: u64) -> &mut Address {
    if addresses.len() >= SWEEP_AT {
        let idle = |entry: &Address| entry.bucket.idle_ms(now).min(entry.returns.idle_ms(now));
        addresses.retain(|_, entry| entry.connections + entry.http > 0 || idle(entry) < 10_000);
    }
    addresses.entry(address).or_insert_with(|| Address {
        http: 0,
        connections: 0,
        bucket: Bucket::full(CONNECT_RATE, now),
        returns: Bucket::full(RETURN_RATE, now),
    })
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = addresses.get_mut(&self.address) {
            match self.kind {
                Kind::Http => entry.http -= 1,
                Kind::WebSocket => entry.connections -= 1,
            }
        }
    }
}

/// What one customer gets: an IPv4 address or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let admission = Arc::new(Admission::default());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut held: Vec<Admitted> = (0..CONNECTIONS_PER_ADDRESS as u64)
            .map(|n| admission.admit(address, false, n * 1_000).unwrap())
            .collect();
        assert_eq!(admission.admit(address, false, 900_000).unwrap_err().code, Code::TooManyConnections);
        assert!(admission.admit("10.0.0.2".parse().unwrap(), false, 900_000).is_ok());
        held.pop();
        assert!(admission.admit(address, false, 901_000).is_ok());
    }

    #[test]
    fn new_connections_come_at_a_rate() {
        let admission = Arc::new(Admission::default());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let burst = (0..100).filter(|_| admission.admit(address, false, 5_000).is_ok()).count();
        assert_eq!(burst, CONNECT_RATE.burst as usize);
        let refusal = admission.admit(address, false, 5_000).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after), (Code::RateLimited, Some(Duration::from_millis(50))));
    }

    #[test]
    fn who_comes_back_has_a_budget_of_its_own() {
        let admission = Arc::new(Admission::default());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        while admission.admit(address, false, 5_000).is_ok() {}
        let back = (0..1_000).filter(|_| admission.admit(address, true, 5_000).is_ok()).count();
        assert_eq!(back, 5 * CONNECT_RATE.burst as usize);
    }

    #[test]
    fn sockets_that_say_nothing_are_bounded_for_each_address() {
        let admission = Arc::new(Admission::default());
        let held = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            let held: Vec<_> =
                (0..2 * CONNECTIONS_PER_ADDRESS).map_while(|_| admission.arrive(address, 0)).collect();
            held
        };
        let crowd = held("10.0.0.1");
        assert_eq!(crowd.len(), CONNECTIONS_PER_ADDRESS);
        assert_eq!(held("10.0.0.2").len(), CONNECTIONS_PER_ADDRESS);
        // They do not count as connections, and are given back.
        assert!(admission.admit("10.0.0.1".parse().unwrap(), false, 0).is_ok());
        drop(crowd);
        assert_eq!(held("10.0.0.1").len(), CONNECTIONS_PER_ADDRESS);
    }

    #[test]
    fn a_customer_of_ipv6_is_a_whole_network() {
        assert_eq!(
            network("2001:db8:1:2:3::4".parse().unwrap()),
            network("2001:db8:1:2:9::1".parse().unwrap())
        );
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap());
    }
}
