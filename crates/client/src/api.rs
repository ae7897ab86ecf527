//! The HTTP interface for backends: one request each, with the API key.

use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parlor_proto::native::decode::{History, Members, Published, Rooms};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::address::{Address, query_value};
use crate::error::Error;
use crate::socket::refusal;
use crate::stream::Stream;
use crate::tls::Tls;

/// One answer: a page of history is 256 KB of messages, with room for what surrounds them.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A server's HTTP interface. Every call opens a connection of its own: these are calls of people and scripts.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its target is the folder, without a slash at the end.
    server: Address,
    key: String,
    tls: Tls,
    within: Duration,
}

/// Something to be published by the application itself.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Publish<'a> {
    /// Where to.
    pub room: &'a str,
    /// At most 64 KB of JSON.
    pub data: &'a RawValue,
    /// What kind of message it is; `message` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'a str>,
    /// The same key is stored once, however often it is sent within the server's window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
}

impl Api {
    /// `server` is `http://HOST:PORT`, or `https`, with the folder into which a proxy has put it if there is one; the
    /// address of its WebSocket is right as well. `key` is what the server wrote to `DATA/api.key`.
    ///
    /// # Errors
    /// [`Error::BadAddress`].
    pub fn new(server: &str, key: &str) -> Result<Self, Error> {
        let server = Address::parse(server)?;
        let path = server.target.split('?').next().unwrap_or_default();
        let folder = path.strip_suffix("/ws").unwrap_or(path).trim_end_matches('/').to_owned();
        let server = server.with_target(folder);
        let tls = Tls::default();
        Ok(Self { server, key: key.trim().to_owned(), tls, within: Duration::from_secs(30) })
    }

    /// Whom an `https://` server must convince; by default, the machine.
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// `POST /api/publish`.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn publish(&self, publish: &Publish<'_>) -> Result<Published, Error> {
        let body = serde_json::to_vec(publish).map_err(Error::NoJson)?;
        self.call(Method::POST, "/api/publish", body).await
    }

    /// `GET /api/rooms`, one page: names that begin with `prefix` and come behind `after`.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn rooms(&self, prefix: Option<&str>, after: Option<&str>) -> Result<Rooms, Error> {
        let mut address = self.server.with_target("/api/rooms");
        for (name, value) in [("prefix", prefix), ("after", after)] {
            if let Some(value) = value {
                address = address.with_query(name, value);
            }
        }
        self.call(Method::GET, &address.target, Vec::new()).await
    }

    /// `GET /api/rooms/ROOM/members`.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn members(&self, room: &str) -> Result<Members, Error> {
        self.call(Method::GET, &format!("/api/rooms/{}/members", query_value(room)), Vec::new()).await
    }

    /// `GET /api/rooms/ROOM/history`, one page, oldest first: the newest messages, or those next to a place (a
    /// position or an offset).
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn history(
        &self,
        room: &str,
        before: Option<&str>,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<History, Error> {
        let mut address = self.server.with_target(format!("/api/rooms/{}/history", query_value(room)));
        let limit = limit.map(|limit| limit.to_string());
        for (name, value) in [("before", before), ("after", after), ("limit", limit.as_deref())] {
            if let Some(value) = value {
                address = address.with_query(name, value);
            }
        }
        self.call(Method::GET, &address.target, Vec::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let (status, body) = timeout(self.within, self.exchange(method, target, body))
            .await
            .map_err(|_| Error::Timeout(self.within))??;
        if status != 200 {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Error::BadAnswer(format!("the answer is not what Parlor's would be: {error}")))
    }

    async fn exchange(&self, method: Method, target: &str, body: Vec<u8>) -> Result<(u16, Bytes), Error> {
        let stream = Stream::connect(&self.server, &self.tls).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.server.target))
            .header(header::HOST, &self.server.authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Error::BadAddress("the API key is not one line of text".into()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Error::BadAnswer(format!("the answer broke off: {error}")))?;
            Ok((status, body.to_bytes()))
        };
        // The connection moves the bytes of the exchange and ends with it.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The answer may be complete all the same: servers often end TLS without saying so.
            ended = connection => exchange.await.map_err(|error| ended.map_or_else(broken, |()| error)),
        }
    }
}

fn broken(error: hyper::Error) -> Error {
    Error::Broken(std::io::Error::other(error))
}
