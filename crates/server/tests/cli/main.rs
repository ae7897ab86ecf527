//! The binary `parlor` as people use it: every command, its settings, and how it ends.

mod bench;
mod commands;
mod connect;
mod server;
mod settings;
mod stop;
