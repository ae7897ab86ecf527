//! The scripts that run inside Redis, each whole or not at all; and the names of keys and channels.

use parlor_proto::name::RoomName;

/// One script; Redis knows it by the hash of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Publish,
    Pass,
    Read,
    Check,
    Rooms,
    Put,
    List,
    Present,
    Lease,
}

/// In the order of [`Script`]. Those that give nothing new a place run when Redis is full, too: reading goes on.
const TEXTS: [&str; 9] = [
    concat!("#!lua\n", include_str!("lua/room.lua"), include_str!("lua/publish.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/room.lua"), include_str!("lua/pass.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/room.lua"), include_str!("lua/read.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/room.lua"), include_str!("lua/check.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/rooms.lua")),
    concat!("#!lua\n", include_str!("lua/room.lua"), include_str!("lua/put.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/list.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/present.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/room.lua"), include_str!("lua/lease.lua")),
];

/// What Redis answered to `SCRIPT LOAD` of each.
pub(super) type Hashes = [String; TEXTS.len()];

pub(super) fn texts() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter()
}

impl Script {
    pub(super) fn hash(self, hashes: &Hashes) -> &str {
        &hashes[self as usize]
    }
}

/// Names of keys and channels. The prefix stands in braces, so that a cluster keeps all of them on one node, where
/// scripts can reach them together.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names { prefix: format!("{{{prefix}}}") }
    }

    fn of(&self, kind: &str, rest: &str) -> String {
        format!("{}:{kind}:{rest}", self.prefix)
    }

    /// A hash with a room's head: epoch, offset, id, seq, time, first offset, the id before it, and bytes held.
    pub(super) fn meta(&self, room: &RoomName) -> String {
        self.of("m", room.as_str())
    }

    /// What every meta key begins with.
    pub(super) fn meta_of_all(&self) -> String {
        self.of("m", "")
    }

    /// The stream with a room's messages; a message's id is `OFFSET-0`.
    pub(super) fn stream(&self, room: &RoomName) -> String {
        self.of("s", room.as_str())
    }

    /// Where a message with this mark was stored.
    pub(super) fn key(&self, mark: u128) -> String {
        self.of("d", &format!("{mark:032x}"))
    }

    /// The channel of a room.
    pub(super) fn channel(&self, room: &RoomName) -> String {
        self.of("c", room.as_str())
    }

    /// The channel and the stream of all direct messages: who is meant may be connected to any node.
    pub(super) fn direct(&self) -> String {
        format!("{}:direct", self.prefix)
    }

    /// Who is in a room: a node and an account to who that is.
    pub(super) fn present(&self, room: &RoomName) -> String {
        self.of("p", room.as_str())
    }

    /// What a node has said about who is where, so that it can be taken back.
    pub(super) fn said_by(&self, node: &str) -> String {
        self.of("l", node)
    }

    /// The channel of what a node tells all others, or one.
    pub(super) fn told(&self, node: Option<&str>) -> String {
        node.map_or_else(|| format!("{}:told", self.prefix), |node| self.of("told", node))
    }

    /// The nodes, by the time until which they live.
    pub(super) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// The newest number that was given out.
    pub(super) fn seq(&self) -> String {
        format!("{}:seq", self.prefix)
    }

    /// The names of rooms with a log, in the order of their bytes.
    pub(super) fn rooms(&self) -> String {
        format!("{}:rooms", self.prefix)
    }

    /// 128 random bits that name this store and no other, and key the hashes of idempotency keys.
    pub(super) fn store(&self) -> String {
        format!("{}:store", self.prefix)
    }

    /// Values, names and expiries of the records of a kind, and the version of the newest record.
    pub(super) fn records(&self, kind: &str) -> [String; 4] {
        [self.of("r", kind), self.of("n", kind), self.of("x", kind), format!("{}:version", self.prefix)]
    }
}
