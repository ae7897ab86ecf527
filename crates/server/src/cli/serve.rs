//! `parlor serve`: settings to a running server.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use crate::config::{self, Flags, Loaded};

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The settings file; parlor.toml is read if it is there.
    #[arg(long, env = "PARLOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        let loaded = self.load()?;
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        registry().with(loaded.settings.log.clone()).with(lines).init();
        if let Some(file) = &loaded.file {
            tracing::info!(file = %file.display(), "settings read");
        }
        crate::app::serve(&loaded.settings)
    }

    pub(super) fn load(self) -> Result<Loaded> {
        // A variable that is not UTF-8 is not one of ours.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(config::load(self.config.as_deref(), variables, self.flags.0)?)
    }
}
