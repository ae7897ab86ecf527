//! Opening the embedded store.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parlor_engines::embedded::{EmbeddedEngine, Settings};
use parlor_hub::engine::Engine;

pub(crate) fn open(data: &Path) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(EmbeddedEngine::open(Settings::new(data))?))
}
