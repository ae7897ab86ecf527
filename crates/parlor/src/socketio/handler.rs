//! Handlers: `async` functions whose arguments are extractors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parlor_proto::socketio::BadArguments;

use super::extract::{Event, FromEvent};
use super::namespace::ConnectRefused;

pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(super) type Deciding = Pin<Box<dyn Future<Output = Result<(), ConnectRefused>> + Send>>;

/// A function that begins what an event leads to.
type Begin<T> = Arc<dyn Fn(&mut Event) -> Result<T, BadArguments> + Send + Sync>;

/// A handler whose type is forgotten.
#[derive(Clone)]
pub struct BoxedEvent(Begin<Running>);

/// A handler of connections whose type is forgotten.
#[derive(Clone)]
pub struct BoxedConnect {
    /// It says whether the client may enter.
    pub(super) decides: bool,
    call: Begin<Deciding>,
}

impl BoxedEvent {
    pub(super) fn call(&self, event: &mut Event) -> Result<Running, BadArguments> {
        (self.0)(event)
    }
}

impl BoxedConnect {
    pub(super) fn call(&self, event: &mut Event) -> Result<Deciding, BadArguments> {
        (self.call)(event)
    }
}

impl fmt::Debug for BoxedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedEvent")
    }
}

impl fmt::Debug for BoxedConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedConnect")
    }
}

/// An `async` function of up to six extractors that is called for events.
pub trait EventHandler<A>: Send + Sync + 'static {
    #[doc(hidden)]
    fn boxed(self) -> BoxedEvent;
}

/// The same for connections: it returns nothing, or `Result<(), E>` to decide whether the client may enter.
pub trait ConnectHandler<A>: Send + Sync + 'static {
    #[doc(hidden)]
    fn boxed(self) -> BoxedConnect;
}

/// What a handler of connections may return.
pub trait Outcome {
    #[doc(hidden)]
    const DECIDES: bool;
    #[doc(hidden)]
    fn into_result(self) -> Result<(), ConnectRefused>;
}

impl Outcome for () {
    const DECIDES: bool = false;

    fn into_result(self) -> Result<(), ConnectRefused> {
        Ok(())
    }
}

impl<E: Into<ConnectRefused>> Outcome for Result<(), E> {
    const DECIDES: bool = true;

    fn into_result(self) -> Result<(), ConnectRefused> {
        self.map_err(Into::into)
    }
}

/// The traits for functions of this many arguments.
macro_rules! functions {
    ($($argument:ident),*) => {
        impl<F, R, $($argument),*> EventHandler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> R + Send + Sync + 'static,
            R: Future<Output = ()> + Send + 'static,
            $($argument: FromEvent,)*
        {
            #[allow(unused_variables)]
            fn boxed(self) -> BoxedEvent {
                BoxedEvent(Arc::new(move |event| Ok(Box::pin(self($($argument::from_event(event)?),*)))))
            }
        }

        impl<F, R, $($argument),*> ConnectHandler<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> R + Send + Sync + 'static,
            R: Future + Send + 'static,
            R::Output: Outcome,
            $($argument: FromEvent,)*
        {
            #[allow(unused_variables)]
            fn boxed(self) -> BoxedConnect {
                let call = Arc::new(move |event: &mut Event| {
                    let running = self($($argument::from_event(event)?),*);
                    Ok(Box::pin(async move { running.await.into_result() }) as Deciding)
                });
                BoxedConnect { decides: R::Output::DECIDES, call }
            }
        }
    };
}

functions!();
functions!(A);
functions!(A, B);
functions!(A, B, C);
functions!(A, B, C, D);
functions!(A, B, C, D, E);
functions!(A, B, C, D, E, G);
