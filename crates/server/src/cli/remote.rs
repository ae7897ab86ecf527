//! Which server a command talks to, and with which key.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parlor_client::api::Api;

use crate::api::key;

/// A server.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The server.
    #[arg(long, env = "PARLOR_SERVER", value_name = "URL", default_value = "http://127.0.0.1:9527")]
    pub(super) server: String,
}

/// A server whose HTTP API is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    #[command(flatten)]
    server: Server,
    /// The file with the API key; by default api.key in the server's data directory, that is, in PARLOR_DATA or
    /// ./parlor-data.
    #[arg(long, env = "PARLOR_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Remote {
    pub(super) fn api(&self) -> Result<Api> {
        let data = std::env::var_os("PARLOR_DATA").unwrap_or_else(|| "./parlor-data".into());
        let path = self.key_file.clone().unwrap_or_else(|| key::path(Path::new(&data)));
        Ok(Api::new(&self.server.server, &read_key(&path)?)?)
    }
}

fn read_key(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        let path = path.display();
        format!(
            "cannot read the API key in {path}; run this where the server keeps its data, or name the file with --key-file"
        )
    })
}
