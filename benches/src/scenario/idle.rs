//! Idle connections: how fast they open, what opening costs, what the server keeps in memory for each.

use std::time::Duration;

use anyhow::Result;

use crate::clients::Client;
use crate::server::Server;
use crate::swarm::Swarm;

/// Handshakes in flight while opening, as from clients that come back after a restart.
const IN_FLIGHT: usize = 64;

/// Long enough for presence announcements, timers that start late and allocators that give back.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) resident_each: f64,
    pub(crate) cpu_micros_each: f64,
    pub(crate) opened_per_second: f64,
}

/// Opens `count` connections on a fresh server.
pub(crate) fn open(server: &Server, client: Client, count: usize) -> Result<Idle> {
    // The first connection pays for what is made once.
    let mut first = Swarm::new(server.address, client.clone())?;
    first.open(1, 1)?;
    first.settle(Duration::from_millis(300))?;
    let (memory, cpu) = (server.resident(), server.cpu());
    let mut swarm = Swarm::new(server.address, client)?;
    let took = swarm.open(count, IN_FLIGHT)?;
    let spent = server.cpu().since(cpu);
    swarm.settle(QUIET)?;
    let each = count as f64;
    Ok(Idle {
        resident_each: server.resident().saturating_sub(memory) as f64 / each,
        cpu_micros_each: spent.total as f64 / 1e3 / each,
        opened_per_second: each / took.as_secs_f64(),
    })
}
