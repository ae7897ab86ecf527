//! Bytes to meaning and back: the protocol machines of Parlor, without sockets, tasks or clocks.
//!
//! Every machine is handed bytes and the time, and hands back events, bytes to send and a deadline. They all
//! have the same verbs: `receive(now, bytes)`, `handle_timeout(now)`, `poll_event()`, `poll_transmit(&mut buf)`
//! and `poll_timeout()`. **After every call that hands something in, poll until nothing comes out, then wait
//! until more bytes arrive or the deadline passes.**

pub mod codes;
pub mod engineio;
pub mod json;
pub mod limits;
pub mod name;
pub mod native;
pub mod position;
pub mod socketio;
pub mod sse;
pub mod ws;
