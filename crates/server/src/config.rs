//! Settings: each has one name, the same in the file, the environment and the flags.

mod load;
mod raw;
mod settings;

pub(crate) use load::{Loaded, load};
pub(crate) use raw::{Flags, print_defaults};
pub(crate) use settings::{EngineKind, Settings, without_login};

/// A setting is wrong: the sentence says which, where it came from, and how it would be right. Exit code 2.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}
