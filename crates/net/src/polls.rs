//! Polls on a connection that does nothing else: read and answered here, and from the first other request on by hyper.
//!
//! A poll is the one request that comes again for every message. Hyper's way through one, with a body, a map of headers
//! and an answer that may be anything, cost more than all that is done for it here and in the hub (`benches/README.md`,
//! "Where the time goes").

use std::cell::Cell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use parlor_proto::limits::{HEADERS, HEADERS_BYTES, REQUEST_LINE};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::application::{Http, Route};
use crate::errand::Errands;
use crate::patient::Patient;
use crate::takeover::{self, Accepted, Exit, Front, Way};
use crate::{exchange, head};

/// An answer's head is shorter.
const HEAD: usize = 256;

/// Serves HTTP/1.1 on a stream, of which `come` is read already, until it ends or is taken over: then it is given back,
/// with what came behind the request.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    mut come: Vec<u8>,
    peer: SocketAddr,
    front: Arc<Front>,
    worker: Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) -> Option<(S, Bytes, Accepted)> {
    let mut stream = Patient::new(stream);
    while let Some((request, route, length)) = read(&come, &front) {
        come.drain(..length);
        let exit = Exit::Upgrade(None);
        let way = Way { peer: Some(peer), front: &front, worker: &worker, exit };
        let out = tokio::select! {
            biased;
            // Whoever asked and left is not waited for.
            () = gone(&mut stream, &mut come) => return None,
            out = answer(request, way, route, &stopping) => out,
        };
        stream.write_all(&out).await.ok()?;
        let next = if *stopping.borrow() { None } else { head::read(&mut stream, come, &mut stopping).await };
        match next {
            Some(next) => come = next,
            None => {
                let _ = stream.shutdown().await;
                return None;
            }
        }
    }
    let (stream, _) = stream.into_parts();
    // Boxed, because whoever polls should not hold room for it.
    Box::pin(takeover::serve(stream, come.into(), peer, front, worker, stopping)).await
}

/// The request at the beginning of `come` and its length, if it is a whole poll that asks for nothing else of HTTP.
fn read(come: &[u8], front: &Front) -> Option<(Parts, Route, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    // What cannot be read is refused by hyper.
    let httparse::Status::Complete(length) = request.parse(come).ok()? else { return None };
    let (Some("GET"), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return None;
    };
    if target.len() > REQUEST_LINE || length > HEADERS_BYTES || !target.starts_with('/') {
        return None;
    }
    let uri: Uri = target.parse().ok()?;
    let route = front.application.route(uri.path())?;
    if !matches!(route.http, Some(Http::Requests("GET"))) || front.application.plain(uri.path()).is_some() {
        return None;
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri;
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let is_plain = match name {
            header::CONNECTION => field.value.eq_ignore_ascii_case(b"keep-alive"),
            header::CONTENT_LENGTH => field.value == b"0",
            header::TRANSFER_ENCODING | header::EXPECT | header::UPGRADE => false,
            _ => true,
        };
        if !is_plain {
            return None;
        }
        parts.headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some((parts, route, length))
}

/// Returns when the peer has ended its side. What it sends meanwhile is its next request.
async fn gone<S: AsyncRead + Unpin>(stream: &mut S, come: &mut Vec<u8>) {
    while come.len() < head::MOST {
        match stream.read_buf(come).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    std::future::pending::<()>().await;
}

/// The answer, as bytes.
async fn answer(request: Parts, way: Way<'_>, route: Route, stopping: &watch::Receiver<bool>) -> Vec<u8> {
    let clock = &way.front.clock;
    let mut out = Vec::new();
    let body = if request.headers.contains_key(header::ORIGIN) {
        // Whether a page may ask is decided where it is for all requests.
        begin(&mut out, exchange::answer(request, Body::empty(), way, route, "GET").await).await
    } else {
        match exchange::serve(&request, Bytes::new(), &way, route).await {
            Ok((200, body)) => {
                out.reserve(HEAD + body.len());
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
                out.extend_from_slice(exchange::FIELDS);
                body.into()
            }
            Ok(answered) => begin(&mut out, exchange::respond(answered)).await,
            Err(response) => begin(&mut out, *response).await,
        }
    };
    let last = if *stopping.borrow() { "connection: close\r\n" } else { "" };
    let _ = write!(out, "{last}content-length: {}\r\ndate: ", body.len());
    out.extend_from_slice(&date(clock.wall() / 1000));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(&body);
    out
}

/// Writes what a response says of itself, and gives its body.
async fn begin(out: &mut Vec<u8>, mut response: Response<Body>) -> Bytes {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in response.headers() {
        let _ = write!(out, "{name}: ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    to_bytes(std::mem::take(response.body_mut()), usize::MAX).await.unwrap_or_default()
}

/// An answer's date (RFC 9110 section 6.6.1), which is written once a second.
fn date(second: u64) -> [u8; 29] {
    thread_local! {
        static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((u64::MAX, [0; 29])) };
    }
    let (written, date) = DATE.get();
    if written == second {
        return date;
    }
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    let date = text.as_bytes().try_into().unwrap_or(date);
    DATE.set((second, date));
    date
}
