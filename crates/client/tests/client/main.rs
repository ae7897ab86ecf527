//! The client beside servers that follow a script.

mod http;
mod reconnect;
mod script;
mod socketio;
mod tls;
