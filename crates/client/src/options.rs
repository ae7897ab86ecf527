//! How a client connects, and what it is patient with.

use std::time::Duration;

use parlor_proto::native::SUBPROTOCOL;

use crate::address::Address;
use crate::client::{Client, Events};
use crate::error::Error;
use crate::socket::{Socket, SocketOptions};
use crate::tls::Tls;

/// What is chosen before connecting; begin with [`Options::new`], end with [`Options::connect`].
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) keep_account: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tls: Tls,
    pub(crate) reconnect: bool,
    pub(crate) answer_within: Duration,
    pub(crate) max_waiting: usize,
}

impl Options {
    /// `address` is `ws://HOST:PORT/ws` or `wss://…`; without a path, `/ws` is meant.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            name: None,
            token: None,
            keep_account: false,
            headers: Vec::new(),
            tls: Tls::default(),
            reconnect: true,
            // Longer than a restart of the server takes, so that a publish survives one.
            answer_within: Duration::from_secs(60),
            max_waiting: 1_000,
        }
    }

    /// The name that others see. Without one, the server makes one up.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Proves who this is; for guests, the token of an earlier [`Welcome`](crate::Welcome).
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Shows the guest's token at once, so that the name stays this account's for a day after the connection ended;
    /// keep `Welcome::token` then, or nobody can use the name until tomorrow. By default the token is only shown
    /// after a break, to be the same guest again.
    pub fn keep_account(self) -> Self {
        Self { keep_account: true, ..self }
    }

    /// A further header of the opening request, such as `Origin` or `Cookie`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whom a `wss://` server must convince; by default, the machine.
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Whether to connect again when the connection breaks; on by default.
    pub fn reconnect(self, reconnect: bool) -> Self {
        Self { reconnect, ..self }
    }

    /// How long a request may wait for its answer, breaks of the connection included; 60 s by default.
    pub fn answer_within(self, time: Duration) -> Self {
        Self { answer_within: time, ..self }
    }

    /// How many requests may wait for their answers at once; 1,000 by default.
    pub fn max_waiting(self, requests: usize) -> Self {
        Self { max_waiting: requests, ..self }
    }

    /// Connects and waits for the server's welcome. Only the first attempt can fail here; later ones are
    /// [`Event::Waiting`](crate::Event::Waiting).
    ///
    /// # Errors
    /// The address is wrong, nothing answers there, or the server says no.
    pub async fn connect(self) -> Result<(Client, Events), Error> {
        crate::native::start(self, None).await
    }

    /// Connects to any WebSocket server: to exactly this address, and only if nothing speaks WebSocket at its root, to
    /// `/ws`. Parlor is known by the subprotocol that it chooses.
    ///
    /// # Errors
    /// The address is wrong, nothing answers there, or the server says no.
    pub async fn connect_any(self) -> Result<Opened, Error> {
        crate::native::start_any(self).await
    }

    /// The address as it was given, with the name when no token says who this is.
    pub(crate) fn exact(&self, token: Option<&str>) -> Result<Address, Error> {
        let address = Address::parse(&self.address)?;
        Ok(match (&self.name, token) {
            (Some(name), None) => address.with_query("name", name),
            _ => address,
        })
    }

    /// The same with the path of the native protocol, if it has none.
    pub(crate) fn target(&self, token: Option<&str>) -> Result<Address, Error> {
        let address = self.exact(token)?;
        Ok(match address.path() {
            "/" => address.with_target(address.target.replacen('/', "/ws", 1)),
            _ => address,
        })
    }

    pub(crate) fn socket_options(&self, token: Option<&str>) -> SocketOptions {
        let mut headers = self.headers.clone();
        if let Some(token) = token {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        let (protocols, tls) = (vec![SUBPROTOCOL.to_owned()], self.tls.clone());
        SocketOptions { protocols, headers, tls, ..SocketOptions::default() }
    }
}

/// What [`Options::connect_any`] found.
#[derive(Debug)]
pub enum Opened {
    /// Parlor.
    Parlor(Client, Events),
    /// A server of another kind.
    Plain(Socket),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_protocol_is_meant_when_none_is_given() {
        let target = |address: &str| Options::new(address).target(None).unwrap().target;
        assert_eq!(target("localhost:9527"), "/ws");
        assert_eq!(target("ws://localhost:9527/?room=a"), "/ws?room=a");
        assert_eq!(target("ws://localhost:9527/chat/ws"), "/chat/ws");
    }

    #[test]
    fn a_name_is_asked_for_only_without_a_token() {
        let options = Options::new("h").name("ann b");
        assert_eq!(options.target(None).unwrap().target, "/ws?name=ann%20b");
        assert_eq!(options.target(Some("t")).unwrap().target, "/ws");
    }
}
