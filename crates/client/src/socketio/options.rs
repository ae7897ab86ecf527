//! How a Socket.IO client connects, and what it is patient with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use parlor_proto::socketio::MAIN;
use serde::Serialize;
use serde::ser::Error as _;
use tokio::sync::{Semaphore, mpsc};

use super::pump::Pump;
use super::session::Session;
use super::{Shared, SocketIo, SocketIoEvents};
use crate::address::Address;
use crate::driver::{self, Protocol};
use crate::error::Error;
use crate::socket::SocketOptions;
use crate::tls::Tls;

/// What is chosen before connecting; begin with [`SocketIo::options`], end with [`SocketIoOptions::connect`].
#[derive(Debug)]
pub struct SocketIoOptions {
    address: String,
    namespace: String,
    auth: Option<Result<String, Error>>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    tls: Tls,
    reconnect: bool,
    answer_within: Duration,
    max_waiting: usize,
}

impl SocketIoOptions {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            namespace: MAIN.to_owned(),
            auth: None,
            query: Vec::new(),
            headers: Vec::new(),
            tls: Tls::default(),
            reconnect: true,
            answer_within: Duration::from_secs(60),
            max_waiting: 1_000,
        }
    }

    /// The namespace to enter; `/` by default. One client is in one namespace.
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// What is shown to the namespace at every connect; an object in JSON.
    pub fn auth<T: Serialize + ?Sized>(self, auth: &T) -> Self {
        let text = serde_json::to_string(auth).map_err(Error::NoJson);
        let object = text.and_then(|text| match text.starts_with('{') {
            true => Ok(text),
            false => Err(Error::NoJson(serde_json::Error::custom("auth is an object"))),
        });
        Self { auth: Some(object), ..self }
    }

    /// A further parameter of the opening request's query.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// A further header of the opening request, such as `Origin` or `Cookie`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whom an `https://` server must convince; by default, the machine.
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Whether to connect again when the connection breaks; on by default.
    pub fn reconnect(self, reconnect: bool) -> Self {
        Self { reconnect, ..self }
    }

    /// How long an emit may wait for its ack, breaks of the connection included; 60 s by default.
    pub fn answer_within(self, time: Duration) -> Self {
        Self { answer_within: time, ..self }
    }

    /// How many emits may wait for the connection or their acks at once; 1,000 by default, at least 1.
    pub fn max_waiting(self, emits: usize) -> Self {
        Self { max_waiting: emits, ..self }
    }

    /// Connects and enters the namespace. Only the first attempt can fail here; later ones are
    /// [`SocketIoEvent::Waiting`](super::SocketIoEvent::Waiting).
    ///
    /// # Errors
    /// The address or the namespace's name is wrong, nothing answers there, or the namespace refuses
    /// ([`Error::NamespaceRefused`]).
    pub async fn connect(self) -> Result<(SocketIo, SocketIoEvents), Error> {
        let address = self.target()?;
        let namespace = self.checked_namespace()?;
        let how = SocketOptions { headers: self.headers, tls: self.tls, ..SocketOptions::default() };
        // The bounds of what is made of it.
        let places = self.max_waiting.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            namespace,
            places: Arc::new(Semaphore::new(places)),
            next_id: AtomicU64::new(0),
            max_payload: AtomicUsize::new(usize::MAX),
            answer_within: self.answer_within,
        });
        let (sender, asked) = mpsc::channel(places);
        let session = Session::new(shared.clone(), self.auth.transpose()?, sender.downgrade());
        let mut pump = Pump { address, how, session };
        let mut given = VecDeque::new();
        let socket = pump.open(&mut given).await?;
        let events = driver::spawn(pump, self.reconnect, socket, given, asked);
        Ok((SocketIo { asked: sender, shared }, SocketIoEvents { events }))
    }

    /// The address of the opening request.
    fn target(&self) -> Result<Address, Error> {
        let address = Address::parse(&self.address)?;
        let mut address = match address.path() {
            "/" => address.with_target(address.target.replacen('/', "/socket.io/", 1)),
            _ => address,
        };
        for (name, value) in &self.query {
            address = address.with_query(name, value);
        }
        Ok(address.with_query("EIO", "4").with_query("transport", "websocket"))
    }

    fn checked_namespace(&self) -> Result<String, Error> {
        let slash = if self.namespace.starts_with('/') { "" } else { "/" };
        if self.namespace.contains(|c: char| c == ',' || c.is_control()) {
            let why = format!("{} is no namespace: one is /chat, without commas", self.namespace);
            return Err(Error::BadAddress(why));
        }
        Ok(format!("{slash}{}", self.namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_protocol_and_transport() {
        let target = |options: SocketIoOptions| options.target().unwrap().target;
        assert_eq!(target(SocketIo::options("http://h:3000")), "/socket.io/?EIO=4&transport=websocket");
        assert_eq!(
            target(SocketIo::options("http://h/app/io/?a=b").query("c", "d e")),
            "/app/io/?a=b&c=d%20e&EIO=4&transport=websocket"
        );
    }

    #[test]
    fn a_namespace_begins_with_a_slash() {
        let namespace = |name: &str| SocketIo::options("h").namespace(name).checked_namespace();
        assert_eq!(namespace("chat").unwrap(), "/chat");
        assert_eq!(namespace("/chat").unwrap(), "/chat");
        assert_eq!(namespace("").unwrap(), "/");
        assert!(matches!(namespace("/a,b"), Err(Error::BadAddress(_))));
    }

    #[test]
    fn auth_is_an_object() {
        let auth = |options: SocketIoOptions| options.auth.unwrap();
        let object = std::collections::BTreeMap::from([("token", "t")]);
        assert_eq!(auth(SocketIo::options("h").auth(&object)).unwrap(), r#"{"token":"t"}"#);
        assert!(matches!(auth(SocketIo::options("h").auth("t")), Err(Error::NoJson(_))));
    }
}
