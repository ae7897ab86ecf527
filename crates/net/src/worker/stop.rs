//! The end of a worker: everything that was accepted is answered, and everybody is told to come back.

use std::time::Duration;

use parlor_proto::codes::CloseCode;

use super::Worker;

/// Accepted commands are given this long to be answered at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// And then this long to take the goodbye: a round trip around the world, and some to spare.
const GOODBYE: Duration = Duration::from_secs(1);
/// What clients are told to wait after a stop: as long as a restart takes. They spread themselves around it.
pub(crate) const RETRY_AFTER_STOP: Duration = Duration::from_secs(1);

impl Worker {
    pub(super) fn begin_stop(&mut self) {
        self.stopping = Some(self.sockets.now.instant + STOP_TIMEOUT);
        // From here on nothing more is read, so nothing more is accepted; what was accepted is answered first.
        for slot in 0..self.sockets.len() {
            if let Some(socket) = self.sockets.get(slot) {
                socket.flags.paused = true;
            }
        }
    }

    /// While stopping: says goodbye once the last command is answered; done when nobody is left.
    pub(super) fn is_done(&mut self) -> bool {
        let Some(deadline) = self.stopping else { return false };
        let late = deadline <= self.sockets.now.instant;
        if !self.said_goodbye && (self.shard.outstanding() == 0 || late) {
            self.said_goodbye = true;
            self.stopping = Some(deadline.min(self.sockets.now.instant + GOODBYE));
            for slot in 0..self.sockets.len() {
                let leaving = self.sockets.get(slot).is_none_or(|socket| socket.flags.leaving);
                if !leaving {
                    self.sockets.close(slot, &mut self.shard, CloseCode::GOING_AWAY, Some(RETRY_AFTER_STOP));
                    self.read(slot);
                }
            }
            self.flush();
        }
        late || self.sockets.is_empty()
    }
}
