//! A WebSocket client and server, driven in any order of calls.
#![no_main]

#[path = "../../crates/proto/tests/ws_common/mod.rs"]
mod ws_common;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ws_common::bodies::ws_ops(data));
