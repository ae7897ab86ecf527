//! Opening the embedded store.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use parlor_hub::engine::Engine;

pub(crate) fn open(_data: &Path) -> Result<Arc<dyn Engine>> {
    anyhow::bail!("the embedded engine is not built yet; start with --engine memory")
}
