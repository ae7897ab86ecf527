//! How many connections, and how many new ones, one address may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlor_hub::rate::Bucket;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{CONNECT_RATE, CONNECTIONS_PER_ADDRESS};

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
    connections: usize,
    bucket: Bucket,
}

/// One connection's place; giving it back is dropping it.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// Addresses without connections are forgotten when the table has this many.
const SWEEP_AT: usize = 10_000;

impl Admission {
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: u64) -> Result<Admitted, Refusal> {
        let address = network(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= SWEEP_AT {
            addresses.retain(|_, entry| entry.connections > 0 || entry.bucket.idle_ms(now) < 10_000);
        }
        let entry = addresses
            .entry(address)
            .or_insert_with(|| Address { connections: 0, bucket: Bucket::full(CONNECT_RATE, now) });
        if entry.connections >= CONNECTIONS_PER_ADDRESS {
            return Err(Refusal::new(
                Code::TooManyConnections,
                format!("this address has {CONNECTIONS_PER_ADDRESS} connections; close one first"),
            ));
        }
        entry.bucket.take(CONNECT_RATE, now).map_err(|wait| {
            Refusal::rate_limited("new connections from this address", Duration::from_millis(u64::from(wait)))
        })?;
        entry.connections += 1;
        Ok(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = addresses.get_mut(&self.address) {
            entry.connections -= 1;
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
            .map(|n| admission.admit(address, n * 1_000).unwrap())
            .collect();
        assert_eq!(admission.admit(address, 900_000).unwrap_err().code, Code::TooManyConnections);
        assert!(admission.admit("10.0.0.2".parse().unwrap(), 900_000).is_ok());
        held.pop();
        assert!(admission.admit(address, 901_000).is_ok());
    }

    #[test]
    fn new_connections_come_at_a_rate() {
        let admission = Arc::new(Admission::default());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let burst = (0..100).filter(|_| admission.admit(address, 5_000).is_ok()).count();
        assert_eq!(burst, CONNECT_RATE.burst as usize);
        let refusal = admission.admit(address, 5_000).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after), (Code::RateLimited, Some(Duration::from_millis(50))));
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
