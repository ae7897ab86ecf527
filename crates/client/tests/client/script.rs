//! A server that follows a script: it accepts, shakes hands, and says and expects literal texts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_proto::ws::handshake::{RequestReader, write_response};
use parlor_proto::ws::{CloseCode, Config, Connection, Event, Kind, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// No test waits longer than this for a fact.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Script {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// TCP, or TLS over it.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub(crate) struct Peer {
    stream: Box<dyn Wire>,
    conn: Connection,
    texts: Vec<String>,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
}

impl Script {
    pub(crate) async fn new() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}", listener.local_addr().unwrap());
        (Self { listener, tls: None }, address)
    }

    /// The same with TLS and a certificate of its own for 127.0.0.1, which is given as PEM.
    pub(crate) async fn secure() -> (Self, String, String) {
        let (script, address) = Self::new().await;
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let tls = Some(TlsAcceptor::from(Arc::new(config)));
        (Self { tls, ..script }, address.replace("ws://", "wss://"), own.cert.pem())
    }

    /// The next connection, before anything was read.
    pub(crate) async fn accept(&self) -> Box<dyn Wire> {
        let stream = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap().0;
        match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(timeout(PATIENCE, tls.accept(stream)).await.unwrap().unwrap()),
        }
    }

    /// The next connection, on which the client does not get through its TLS handshake.
    pub(crate) async fn reject(&self) {
        let stream = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap().0;
        let accepted = timeout(PATIENCE, self.tls.as_ref().unwrap().accept(stream)).await.unwrap();
        assert!(accepted.is_err());
    }

    /// The next WebSocket connection.
    pub(crate) async fn open(&self) -> Peer {
        self.open_as(Some("parlor.v1")).await
    }

    /// The next WebSocket connection, with the subprotocol that is chosen for it.
    pub(crate) async fn open_as(&self, protocol: Option<&str>) -> Peer {
        let mut stream = self.accept().await;
        let mut reader = RequestReader::default();
        let request = loop {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            if let Some((request, _)) = reader.receive(&buffer[..length]).unwrap() {
                break request;
            }
        };
        let accepted = request.check().unwrap();
        let mut out = Vec::new();
        write_response(&accepted, protocol, None, &[], &mut out);
        stream.write_all(&out).await.unwrap();
        let authorization = request.header("Authorization").map(str::to_owned);
        let target = request.target().to_owned();
        let conn = Connection::new(Role::Server, &Config::default());
        Peer { stream, conn, texts: Vec::new(), target, authorization }
    }

    /// The next WebSocket connection, welcomed as `user`.
    pub(crate) async fn welcome(&self, user: &str) -> Peer {
        let mut peer = self.open().await;
        let welcome = format!(
            r#"{{"type":"welcome","session":"s","user":"{user}","name":"ann","token":"secret","protocol":1,"server":"test","limits":{{"data":65536}}}}"#
        );
        peer.say(&welcome).await;
        peer
    }
}

impl Peer {
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Kind::Text, text.as_bytes()).await;
    }

    pub(crate) async fn say_binary(&mut self, bytes: &[u8]) {
        self.send(Kind::Binary, bytes).await;
    }

    async fn send(&mut self, kind: Kind, payload: &[u8]) {
        let mut out = Vec::new();
        self.conn.write_message(kind, payload, &mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn expect(&mut self, text: &str) {
        assert_eq!(self.hear().await, text);
    }

    /// The next text, whatever it is; "binary […]" for bytes, and "closed CODE" at the end.
    pub(crate) async fn hear(&mut self) -> String {
        while self.texts.is_empty() {
            let mut buffer = [0; 4096];
            let length = timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap().unwrap();
            let mut arrived = self.conn.receive(Instant::now(), &mut buffer[..length]);
            while let Some(event) = arrived.poll_event() {
                match event {
                    Event::Text(text) => self.texts.push(text.to_owned()),
                    Event::Binary(bytes) => self.texts.push(format!("binary {bytes:?}")),
                    Event::Closed { code, .. } => self.texts.push(format!("closed {code}")),
                    _ => {}
                }
            }
            drop(arrived);
            if length == 0 {
                self.texts.push("end".to_owned());
            }
            self.flush().await;
        }
        self.texts.remove(0)
    }

    pub(crate) async fn close(mut self, code: u16) {
        self.conn.close(Instant::now(), CloseCode(code), "");
        self.flush().await;
        let mut heard = String::new();
        while !heard.starts_with("closed") {
            heard = self.hear().await;
            assert_ne!(heard, "end", "the close was not answered");
        }
    }

    async fn flush(&mut self) {
        let mut out = Vec::new();
        self.conn.poll_transmit(&mut out);
        // The other side may be gone already.
        let _ = self.stream.write_all(&out).await;
    }
}
