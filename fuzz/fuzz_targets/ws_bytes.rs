//! Bytes from a stranger into the WebSocket connection, beside its simple twin.
#![no_main]

#[path = "../../crates/proto/tests/ws_common/mod.rs"]
mod ws_common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ws_common::bodies::ws_bytes(data));
