//! The messages of a Socket.IO session from a stranger.
#![no_main]

#[path = "../../crates/proto/tests/socketio_common/mod.rs"]
mod socketio_common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketio_common::socketio_packets(data));
