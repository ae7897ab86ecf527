//! Bodies of long polling from a stranger, and answers to a poller.
#![no_main]

#[path = "../../crates/proto/tests/socketio_common/mod.rs"]
mod socketio_common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| socketio_common::engineio_payload(data));
