//! `Payload`: what may be emitted.

use parlor_proto::socketio::{Arguments, BadArguments};
use serde::Serialize;

use super::extract::Rest;

/// What may be emitted: any [`Serialize`], with a tuple for several arguments and `()` for none, or arguments that came
/// with another event, unchanged.
pub trait Payload {
    /// The list of arguments.
    ///
    /// # Errors
    /// The value cannot be written as JSON, or has more than ten attachments.
    fn to_arguments(&self) -> Result<Arguments, BadArguments>;
}

impl<T: Serialize + ?Sized> Payload for T {
    fn to_arguments(&self) -> Result<Arguments, BadArguments> {
        Arguments::from_value(self)
    }
}

impl Payload for Rest {
    fn to_arguments(&self) -> Result<Arguments, BadArguments> {
        Ok(self.0.clone())
    }
}
