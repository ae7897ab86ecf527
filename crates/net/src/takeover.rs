//! From a request to a connection: hyper reads the head, and a WebSocket request leaves hyper with its socket.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parlor_hub::encode::WireFormat;
use parlor_hub::{Author, ConnectionId};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::engineio::Revision;
use parlor_proto::limits::{CLOSE_TIMEOUT, HEAD_TIMEOUT, HEADERS, HEADERS_BYTES, MEMORY_RETRY, REQUEST_LINE};
use parlor_proto::ws::handshake::{self, Rejection};
use parlor_proto::ws::{self, deflate};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

use crate::admission::{Admission, Admitted, Limits};
use crate::application::{Application, Conversation, Opened, Opening, Route};
use crate::clock::Clock;
use crate::engineio::EngineIo;
use crate::errand::Errands;
use crate::memory::Pressure;
use crate::origin::Origins;
use crate::patient::Patient;
use crate::polling;

/// What every request is decided with.
pub(crate) struct Front {
    pub(crate) clock: Clock,
    pub(crate) application: Arc<dyn Application>,
    /// Everything that is not a WebSocket route.
    pub(crate) router: Router,
    pub(crate) origins: Origins,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) pressure: Arc<Pressure>,
    /// All of them, for requests about sessions that another one owns.
    pub(crate) workers: Vec<Arc<Errands>>,
}

/// A socket on its way from hyper to its worker, with the answer that it has not been given yet.
pub(crate) struct Taken {
    pub(crate) stream: TcpStream,
    /// Bytes that came behind the request's head.
    pub(crate) early: Bytes,
    pub(crate) accepted: Accepted,
}

pub(crate) struct Accepted {
    /// The 101 answer.
    pub(crate) head: Vec<u8>,
    pub(crate) config: ws::Config,
    pub(crate) role: Role,
    /// `None` for one that takes over a session, which has one.
    pub(crate) opened: Option<Unattached>,
}

/// A connection that an application takes, without a wire yet.
pub(crate) struct Unattached {
    pub(crate) conversation: Box<dyn Conversation>,
    pub(crate) author: Option<Author>,
    pub(crate) format: WireFormat,
    pub(crate) admitted: Option<Admitted>,
    /// What its WebSocket machine is made with, now or when it gets one.
    pub(crate) config: ws::Config,
}

/// What a WebSocket is for.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Its messages are the conversation's.
    Plain,
    /// A new session of Engine.IO.
    EngineIo(EngineIo, Revision),
    /// It wants to take over this session.
    Probe(ConnectionId, EngineIo),
}

pub(crate) type Slot = Arc<Mutex<Option<Accepted>>>;

/// Has the request's connection leave hyper.
pub(crate) fn hand_over(slot: &Slot, accepted: Accepted) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
}

/// Serves HTTP on a socket until it ends or becomes a WebSocket.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    worker: Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) -> Option<Taken> {
    let slot: Slot = Arc::default();
    let service = {
        let slot = Arc::clone(&slot);
        service_fn(move |request| {
            let (slot, front, worker) = (Arc::clone(&slot), Arc::clone(&front), Arc::clone(&worker));
            // Boxed, because hyper wants to be able to move it.
            Box::pin(async move { answer(request, peer, &front, &worker, &slot).await })
                as Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS)
        // Room for the request line and the headers; what is longer is answered 431.
        .max_buf_size(REQUEST_LINE + HEADERS_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let mut stopped = false;
    let accepted = poll_fn(|cx| {
        // What is asked already is answered, and then it ends.
        if !stopped && stop.as_mut().poll(cx).is_ready() {
            stopped = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match connection.poll_without_shutdown(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(accepted) => Poll::Ready(Some(accepted)),
                None => Poll::Pending,
            },
        }
    })
    .await;
    let parts = connection.into_parts();
    let Some(accepted) = accepted else {
        // `poll_without_shutdown` leaves the end to us.
        let mut stream = parts.io.into_inner().into_inner();
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        return None;
    };
    Some(Taken { stream: parts.io.into_inner().into_inner(), early: parts.read_buf, accepted })
}

/// Answers one request. A WebSocket request is put into `slot` and never answered by hyper.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    front: &Front,
    worker: &Arc<Errands>,
    slot: &Slot,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > REQUEST_LINE) {
        return Ok(refuse(StatusCode::URI_TOO_LONG, &[], "The request line is longer than 8 KB."));
    }
    // hyper bounds the whole head; a short request line leaves no room for longer headers.
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum();
    if headers > HEADERS_BYTES {
        let sentence = "The headers are longer than 16 KB.";
        return Ok(refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &[], sentence));
    }
    if is_plain(&request)
        && let Some(response) = front.application.plain(request.uri().path())
    {
        return Ok(response);
    }
    let Some(route) = front.application.route(request.uri().path()) else {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        return front.router.clone().call(request).await;
    };
    if let Some(settings) = route.engine_io {
        return Ok(polling::answer(request, peer, front, worker, slot, route, settings).await);
    }
    match open(&request, peer, front, route, Role::Plain).await {
        Ok(accepted) => {
            hand_over(slot, accepted);
            pending().await
        }
        Err(response) => Ok(*response),
    }
}

/// Whether it asks for a page: a GET or HEAD without `Upgrade: websocket` (RFC 6455 section 4.2.1).
fn is_plain(request: &Request<Incoming>) -> bool {
    let elements = |value: &HeaderValue| {
        let words = value.as_bytes().split(|byte| *byte == b',');
        words.into_iter().any(|word| word.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().get_all(header::UPGRADE).iter().any(elements)
}

/// Opens a WebSocket, with the checks and limits that hold for all of them.
pub(crate) async fn open(
    request: &Request<Incoming>,
    peer: SocketAddr,
    front: &Front,
    route: Route,
    role: Role,
) -> Result<Accepted, Box<Response<Body>>> {
    let version = match request.version() {
        Version::HTTP_11 => (1, 1),
        Version::HTTP_10 => (1, 0),
        _ => (2, 0),
    };
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let accepted = handshake::check(request.method().as_str(), version, headers).map_err(
        |Rejection { status, headers, message }| Box::new(refuse(status_of(status), headers, message)),
    )?;
    check_origin(front, request.headers())?;
    let (mut opened, mut protocol) = (None, None);
    let mut agreement = None;
    if !matches!(role, Role::Probe(..)) {
        let revision = match role {
            Role::EngineIo(_, revision) => Some(revision),
            _ => None,
        };
        let taken = attach(request, peer, front, accepted.protocols.clone(), revision).await?;
        protocol = taken.0.protocol;
        agreement = route.deflate.and_then(|settings| deflate::accept(&accepted.deflate, &settings));
        opened = Some(Unattached {
            conversation: taken.0.conversation,
            author: taken.0.author,
            format: route.format,
            admitted: taken.1,
            config: config(route, None),
        });
    }
    let mut head = Vec::with_capacity(256);
    handshake::write_response(&accepted, protocol.as_deref(), agreement.as_ref(), &[], &mut head);
    Ok(Accepted { head, config: config(route, agreement), role, opened })
}

/// Opens a session that has no socket of its own.
pub(crate) async fn open_without_socket(
    request: &Request<Incoming>,
    peer: SocketAddr,
    front: &Front,
    route: Route,
    revision: Revision,
) -> Result<Unattached, Box<Response<Body>>> {
    let (opened, admitted) = attach(request, peer, front, Vec::new(), Some(revision)).await?;
    let Opened { conversation, author, .. } = opened;
    Ok(Unattached { conversation, author, format: route.format, admitted, config: config(route, None) })
}

/// Asks the limits, and then the application, for a connection.
async fn attach(
    request: &Request<Incoming>,
    peer: SocketAddr,
    front: &Front,
    protocols: Vec<String>,
    revision: Option<Revision>,
) -> Result<(Opened, Option<Admitted>), Box<Response<Body>>> {
    if front.pressure.refuses() {
        let refusal = Refusal::new(Code::Busy, "the server is short of memory; try again in some seconds");
        return Err(Box::new(refuse_with(&refusal.retry_after(MEMORY_RETRY))));
    }
    let now = front.clock.wall();
    let address = client_address(peer.ip(), request.headers());
    let admitted = match front.limits {
        Limits::On => {
            let comes_back = front.application.comes_back(&protocols);
            let admitted = front.admission.admit(address, comes_back, now);
            Some(admitted.map_err(|refusal| Box::new(refuse_with(&refusal)))?)
        }
        Limits::Off => None,
    };
    let opening = Opening {
        uri: request.uri().clone(),
        headers: request.headers().clone(),
        protocols,
        address,
        revision,
        now,
    };
    let opened = front.application.open(opening).await.map_err(|refusal| Box::new(refuse_with(&refusal)))?;
    Ok((opened, admitted))
}

/// Refuses pages that may not connect here.
pub(crate) fn check_origin(front: &Front, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    front.origins.check(headers).map_err(|origin| {
        tracing::warn!(origin, "a page was refused; to let it connect, start with --origin {origin}");
        let refusal = Refusal::new(Code::OriginDenied, "pages of this origin may not connect here");
        Box::new(refuse_with(&refusal))
    })
}

fn config(route: Route, deflate: Option<deflate::Agreement>) -> ws::Config {
    ws::Config {
        max_message: route.max_message,
        max_fragments: route.max_fragments,
        close_timeout: CLOSE_TIMEOUT,
        deflate,
        ..ws::Config::default()
    }
}

/// The address that limits count for: the last entry of `X-Forwarded-For` if a proxy on this machine wrote it.
fn client_address(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A refusal as the HTTP API gives it: its status and `{"type":"error",…}`.
fn refuse_with(refusal: &Refusal) -> Response<Body> {
    let mut body = Vec::new();
    parlor_proto::native::encode::error(&mut body, None, refusal);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status_of(refusal.code.status());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn refuse(
    status: StatusCode,
    extra: &[(&'static str, &'static str)],
    message: &'static str,
) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{message}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for &(name, value) in extra {
        headers.insert(header::HeaderName::from_static(lower(name)), HeaderValue::from_static(value));
    }
    response
}

/// hyper writes header names in lower case; these are all that rejections use.
fn lower(name: &'static str) -> &'static str {
    match name {
        "Allow" => "allow",
        "Upgrade" => "upgrade",
        "Connection" => "connection",
        _ => "sec-websocket-version",
    }
}
