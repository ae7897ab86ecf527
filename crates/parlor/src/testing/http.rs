//! Plain HTTP: what a test asks with, and what the polling client polls with.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::clients::Clients;

/// An answer of the server.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// Such as 200.
    pub status: u16,
    /// Names are in lower case.
    pub headers: HeaderMap,
    /// The whole of it.
    pub body: Bytes,
}

impl HttpResponse {
    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads the body as JSON.
    ///
    /// # Panics
    /// It is something else; the sentence has it.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not the JSON that was awaited ({error}): {:?}", self.text()))
    }
}

/// One HTTP connection, opened when it is needed and kept.
#[derive(Debug)]
pub(super) struct Http {
    clients: Clients,
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    pub(super) fn new(clients: Clients, address: SocketAddr) -> Http {
        Http { clients, address, sender: None }
    }

    /// Must be called in the clients' runtime. The error is a sentence.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<HttpResponse, String> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => {
                let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
                let _ = stream.set_nodelay(true);
                let connected = handshake(TokioIo::new(stream)).await;
                let (sender, connection) = connected.map_err(|error| error.to_string())?;
                self.clients.spawn(async move { drop(connection.await) });
                sender
            }
        };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header(header::HOST, self.address.to_string()).body(Full::new(body));
        let request = request.map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        self.sender = Some(sender);
        Ok(HttpResponse { status: head.status.as_u16(), headers: head.headers, body })
    }
}
