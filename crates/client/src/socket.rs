//! One WebSocket connection over TCP or TLS: any server's, whatever it speaks.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parlor_proto::native::decode::ServerMessage;
use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest, Established, Refused as HandshakeRefused};
use parlor_proto::ws::{CloseCode, Config, Connection, Event, Kind, Role, deflate::Offer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{timeout, timeout_at};

use crate::address::Address;
use crate::error::{Error, Refused};
use crate::stream::Stream;
use crate::tls::Tls;

/// How to open a socket.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Subprotocols, the preferred one first.
    pub protocols: Vec<String>,
    /// Further headers of the request, such as `Origin` or `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Bytes of one message that is received.
    pub max_message: usize,
    /// `Some` offers compression.
    pub deflate: Option<Offer>,
    /// Whom a `wss://` address must convince.
    pub tls: Tls,
    /// For name look-up, TCP, TLS and the opening handshake together.
    pub timeout: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            protocols: Vec::new(),
            headers: Vec::new(),
            // A page of a replay is 256 KB, and servers of other makes send more.
            max_message: 16 * 1024 * 1024,
            deflate: None,
            tls: Tls::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// An open WebSocket.
///
/// [`Socket::recv`] also writes what is queued; a program that only sends must call [`Socket::flush`], and one that
/// does neither answers no pings.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    conn: Connection,
    protocol: Option<String>,
    /// Frames that wait to be written, from `written` on; emptied when the stream has flushed them.
    out: Vec<u8>,
    written: usize,
    /// What one read gave and nobody has taken yet.
    received: VecDeque<Received>,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping (which has been answered) or a pong: the other side lives.
    Alive,
    /// The connection is over; 1006 when it broke, 1005 when the peer gave no code. Given again at every call.
    Closed {
        /// Of the close frame.
        code: u16,
        /// What the peer said with it, or what broke; may be empty.
        reason: String,
    },
}

impl Socket {
    /// Connects to an address such as `ws://localhost:8765`, with the usual options.
    ///
    /// # Errors
    /// The address is none, or as [`Socket::open`].
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Socket::open(&Address::parse(address)?, &SocketOptions::default()).await
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The address cannot be reached, or what answers refuses or is no WebSocket server.
    pub async fn open(address: &Address, options: &SocketOptions) -> Result<Self, Error> {
        let opened = timeout(options.timeout, open(address, options)).await;
        opened.map_err(|_| Error::Timeout(options.timeout))?
    }

    /// The subprotocol that the server chose.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The next thing that arrives. Dropping the future loses nothing.
    ///
    /// # Errors
    /// None after the handshake: a broken connection is [`Received::Closed`] with 1006.
    pub async fn recv(&mut self) -> Received {
        loop {
            if let Some(received) = self.recv_or_drain().await {
                return received;
            }
        }
    }

    /// The next text, for programs that take nothing else; `None` when the other side has closed with 1000. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// [`Error::Ended`]: the connection ended in any other way.
    pub async fn recv_text(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.recv().await {
                Received::Text(text) => return Ok(Some(text)),
                Received::Binary(_) | Received::Alive => {}
                Received::Closed { code: 1000, .. } => return Ok(None),
                Received::Closed { code, reason } => {
                    return Err(Error::Ended { code, reason, retry_after: None });
                }
            }
        }
    }

    /// The same as [`Socket::recv`]; `None` when nothing has arrived, but all that was queued is written.
    pub(crate) async fn recv_or_drain(&mut self) -> Option<Received> {
        let queued = self.queued() > 0;
        while self.received.is_empty() {
            if let Err(error) = self.turn().await {
                self.lost(&error.to_string());
            } else if queued && self.queued() == 0 && self.received.is_empty() {
                return None;
            }
        }
        let received = self.received.pop_front();
        if let Some(closed @ Received::Closed { .. }) = &received {
            self.received.push_back(closed.clone());
        }
        received
    }

    /// Queues a text message; `false` when the connection is closing.
    pub fn queue_text(&mut self, text: &str) -> bool {
        self.conn.write_message(Kind::Text, text.as_bytes(), &mut self.out)
    }

    /// Queues a binary message; `false` when the connection is closing.
    pub fn queue_binary(&mut self, bytes: &[u8]) -> bool {
        self.conn.write_message(Kind::Binary, bytes, &mut self.out)
    }

    /// Queues a ping.
    pub fn queue_ping(&mut self) {
        self.conn.ping(b"");
        self.conn.poll_transmit(&mut self.out);
    }

    /// Bytes that are queued and not written yet; 1 while what was written still lies in the TLS layer.
    pub fn queued(&self) -> usize {
        (self.out.len() - self.written).max(usize::from(!self.out.is_empty()))
    }

    /// Writes all that is queued. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// The connection broke or is closing.
    pub async fn send_text(&mut self, text: &str) -> io::Result<()> {
        if !self.queue_text(text) {
            return Err(ErrorKind::NotConnected.into());
        }
        self.flush().await
    }

    /// Starts the closing handshake; [`Socket::recv`] goes on until [`Received::Closed`].
    pub fn start_close(&mut self, code: u16, reason: &str) {
        self.conn.close(Instant::now(), CloseCode(code), reason);
        self.conn.poll_transmit(&mut self.out);
    }

    /// Closes politely and waits for the other side, at most for the handshake's own deadline.
    pub async fn close(mut self, code: u16, reason: &str) {
        self.start_close(code, reason);
        while !matches!(self.recv().await, Received::Closed { .. }) {}
        // The other side may have gone already, or may have stopped reading; there is nobody left to tell.
        let _ = timeout(GOODBYE, async {
            self.flush().await?;
            self.stream.shutdown().await
        })
        .await;
    }

    /// Waits until the socket can do something, and does it.
    async fn turn(&mut self) -> io::Result<()> {
        let Some(deadline) = self.conn.poll_timeout() else {
            return poll_fn(|cx| self.poll_turn(cx)).await;
        };
        match timeout_at(deadline.into(), poll_fn(|cx| self.poll_turn(cx))).await {
            Ok(done) => done,
            Err(_) => {
                self.conn.handle_timeout(Instant::now());
                Err(ErrorKind::TimedOut.into())
            }
        }
    }

    /// Writes what can be written, and reads; is ready once something was read, or the last of the queue written.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let queued = self.queued() > 0;
        let drained = self.poll_write(cx)?.is_ready() && queued;
        match self.poll_read(cx) {
            Poll::Pending if drained => Poll::Ready(Ok(())),
            read => read,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => self.ended(),
            Ok(()) => {
                self.take(buffer.filled_mut());
                // Pongs should not wait for the next turn.
                let _ = self.poll_write(cx)?;
            }
            // A server that ends TLS without saying so has ended the connection all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.ended(),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let length = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]))?;
            if length == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += length;
        }
        if !self.out.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        // An idle socket keeps no buffer.
        self.out = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn ended(&mut self) {
        if let Some(Event::Closed { code, reason, .. }) = self.conn.receive_eof() {
            let reason = if reason.is_empty() { "the connection broke" } else { reason };
            self.received.push_back(Received::Closed { code, reason: reason.to_owned() });
        } else {
            self.lost("the connection broke");
        }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut arrived = self.conn.receive(Instant::now(), bytes);
        while let Some(event) = arrived.poll_event() {
            self.received.push_back(match event {
                Event::Text(text) => Received::Text(text.to_owned()),
                Event::Binary(bytes) => Received::Binary(bytes.to_owned()),
                Event::Ping(_) | Event::Pong(_) => Received::Alive,
                Event::Closed { code, reason, .. } => Received::Closed { code, reason: reason.to_owned() },
                Event::Failed(failure) => {
                    Received::Closed { code: failure.close_code().0, reason: failure.reason().to_owned() }
                }
            });
        }
        drop(arrived);
        self.conn.poll_transmit(&mut self.out);
    }

    fn lost(&mut self, why: &str) {
        self.received.push_back(Received::Closed { code: CloseCode::LOST.0, reason: why.to_owned() });
    }
}

/// For the answer to a close and the end of TLS: they fit into any buffer that is not full already.
const GOODBYE: Duration = Duration::from_secs(1);

/// Bytes of one read: what a loopback or network burst gives, and still fine on a stack.
const READ: usize = 16 * 1024;

/// The most that is kept of an answer other than 101: enough for any sentence.
const MAX_REFUSAL: usize = 16 * 1024;

async fn open(address: &Address, options: &SocketOptions) -> Result<Socket, Error> {
    let mut stream = Stream::connect(address, &options.tls).await?;
    let mut out = Vec::new();
    let protocols: Vec<&str> = options.protocols.iter().map(String::as_str).collect();
    let headers: Vec<(&str, &str)> =
        options.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let request = ClientRequest {
        host: &address.authority,
        target: &address.target,
        protocols: &protocols,
        deflate: options.deflate,
        headers: &headers,
    };
    let mut handshake = ClientHandshake::new(&request, random()?, &mut out);
    stream.write_all(&out).await?;
    stream.flush().await?;
    let (established, mut rest) = answer(&mut stream, &mut handshake).await?;
    let config = Config {
        max_message: options.max_message,
        deflate: established.deflate,
        mask_seed: random()?,
        ..Config::default()
    };
    let mut socket = Socket {
        stream,
        conn: Connection::new(Role::Client, &config),
        protocol: established.protocol,
        out: Vec::new(),
        written: 0,
        received: VecDeque::new(),
    };
    // The server's first frames may have come with its answer.
    socket.take(&mut rest);
    // It may have pinged already, or closed.
    let _ = poll_fn(|cx| Poll::Ready(socket.poll_write(cx))).await?;
    Ok(socket)
}

async fn answer(
    stream: &mut Stream,
    handshake: &mut ClientHandshake,
) -> Result<(Established, Vec<u8>), Error> {
    // Kept besides, because a refusal's body stands behind its head.
    let mut all = Vec::new();
    loop {
        let mut buffer = vec![0; 4096];
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(Error::BadAnswer("the server ended the connection without an answer".into()));
        }
        all.extend_from_slice(&buffer[..length]);
        match handshake.receive(&buffer[..length]) {
            Ok(None) => {}
            Ok(Some((established, used))) => return Ok((established, buffer[used..length].to_vec())),
            Err(HandshakeRefused::Status(response)) => {
                let wanted = response.header("Content-Length").and_then(|text| text.parse().ok());
                let body = body(stream, all, wanted.unwrap_or(0)).await?;
                return Err(refusal(response.status, &body));
            }
            Err(error) => return Err(Error::BadAnswer(error.to_string())),
        }
    }
}

/// The `wanted` bytes behind the head in `all`, or as many of them as are reasonable.
async fn body(stream: &mut Stream, mut all: Vec<u8>, wanted: usize) -> Result<Vec<u8>, Error> {
    let start = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |end| end + 4);
    let end = start + wanted.min(MAX_REFUSAL);
    while all.len() < end {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).await? {
            0 => break,
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(all.get(start..end.min(all.len())).unwrap_or_default().to_vec())
}

#[derive(serde::Deserialize)]
struct Said {
    message: String,
}

/// What an answer other than 101 says: Parlor's own refusals are JSON, other servers get a sentence made for them.
pub(crate) fn refusal(status: u16, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    if let Ok(ServerMessage::Error(error)) = ServerMessage::parse(&text) {
        return Error::Refused(Refused::from(error));
    }
    let hint = match status {
        429 | 502..=504 => return Error::Unavailable { status },
        300..=399 => "; it points elsewhere, and this client does not follow",
        401 | 403 => "; it wants to know who this is, or does not want this one",
        404 => "; nothing is at this path",
        426 => "; it is not a WebSocket address",
        _ => "",
    };
    // Engine.IO servers, and many others, say more in this form.
    let said = serde_json::from_slice::<Said>(body).map(|said| format!(": {}", said.message));
    Error::BadAnswer(format!("the server answered with status {status}{hint}{}", said.unwrap_or_default()))
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}
