//! From a request to a connection: hyper reads the head, and a WebSocket request leaves hyper with its socket.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parlor_hub::encode::WireFormat;
use parlor_hub::{Author, ConnectionId};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::engineio::Revision;
use parlor_proto::limits::{
    CLOSE_TIMEOUT, COMPRESS_FROM, HEAD_TIMEOUT, HEADERS, HEADERS_BYTES, MEMORY_RETRY, PING_INTERVAL,
    PONG_TIMEOUT, REQUEST_LINE,
};
use parlor_proto::ws::handshake::{self, Rejection};
use parlor_proto::ws::{self, deflate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::admission::{Admission, Admitted, Limits};
use crate::application::{Application, Conversation, Http, Opened, Opening, Route};
use crate::clock::Clock;
use crate::engineio::EngineIo;
use crate::errand::{Errand, Errands};
use crate::memory::Pressure;
use crate::mount;
use crate::origin::Origins;
use crate::patient::Patient;
use crate::proxy::Proxies;
use crate::stream::{self, Stream};
use crate::worker::RETRY_AFTER_STOP;
use crate::{exchange, head, polling};

/// What every request is decided with.
pub(crate) struct Front {
    pub(crate) clock: Clock,
    pub(crate) application: Arc<dyn Application>,
    /// Everything that is not a WebSocket route.
    pub(crate) router: Router,
    /// On our own listener.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) pressure: Arc<Pressure>,
    /// All of them, for requests about sessions that another one owns.
    pub(crate) workers: Vec<Arc<Errands>>,
}

/// A socket on its way from hyper to its worker, with the answer that it has not been given yet.
pub(crate) struct Taken {
    pub(crate) stream: std::net::TcpStream,
    /// Bytes that came behind the request's head.
    pub(crate) early: Bytes,
    /// The head of the 101 answer, if it was not given yet.
    pub(crate) head: Option<Vec<u8>>,
    pub(crate) accepted: Accepted,
}

pub(crate) struct Accepted {
    pub(crate) start: Start,
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
    /// It is none, but a response that does not end.
    Stream(Stream),
}

/// What the peer is told before anything else.
pub(crate) enum Start {
    Switch(Switch),
    /// A response that does not end; the origin of the page that asked.
    Stream(Stream, Option<HeaderValue>),
}

impl Start {
    /// As bytes, for a socket that hyper has left.
    fn head(&self) -> Vec<u8> {
        match self {
            Start::Switch(switch) => switch.head(),
            Start::Stream(stream, origin) => stream.head(origin.as_ref()),
        }
    }
}

/// What was agreed on: what the 101 answer says.
pub(crate) struct Switch {
    pub(crate) accepted: handshake::Accepted,
    pub(crate) protocol: Option<String>,
    pub(crate) agreement: Option<deflate::Agreement>,
}

impl Switch {
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(256);
        let Switch { accepted, protocol, agreement } = self;
        handshake::write_response(accepted, protocol.as_deref(), agreement.as_ref(), &[], &mut head);
        head
    }
}

type Slot = Arc<Mutex<Option<Accepted>>>;

/// How a request's socket leaves hyper.
pub(crate) enum Exit {
    /// On our own listener: its connection is taken apart, and hyper never answers.
    TakenApart(Slot),
    /// On somebody else's: hyper answers and then gives it away. `None`: it cannot.
    Upgrade(Option<OnUpgrade>),
}

/// A request's way: who asks, who is asked for a new connection, and how the socket gets there.
pub(crate) struct Way<'a> {
    /// `None`: nobody knows.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) front: &'a Arc<Front>,
    pub(crate) worker: &'a Arc<Errands>,
    pub(crate) exit: Exit,
}

impl Way<'_> {
    /// Has the request's connection leave hyper.
    pub(crate) async fn leave(self, accepted: Accepted) -> Response<Body> {
        match self.exit {
            Exit::TakenApart(slot) => {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
                pending().await
            }
            Exit::Upgrade(upgrade) => mount::upgrade(upgrade, accepted, self.front, self.worker).await,
        }
    }
}

/// Serves HTTP/1.1 on a stream, of which `early` is read already, until it ends or becomes a WebSocket: then it is given
/// back, with what came behind the request.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    early: Bytes,
    peer: SocketAddr,
    front: Arc<Front>,
    worker: Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) -> Option<(S, Bytes, Accepted)> {
    let slot: Slot = Arc::default();
    let service = {
        let slot = Arc::clone(&slot);
        service_fn(move |request| {
            let (slot, front, worker) = (Arc::clone(&slot), Arc::clone(&front), Arc::clone(&worker));
            // Boxed, because hyper wants to be able to move it.
            Box::pin(async move {
                let exit = Exit::TakenApart(slot);
                let way = Way { peer: Some(peer), front: &front, worker: &worker, exit };
                answer(request.map(Body::new), way).await
            }) as Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS)
        // Room for the request line and the headers; what is longer is answered 431.
        .max_buf_size(head::MOST)
        .serve_connection(TokioIo::new(Patient::behind(early, stream)), service);
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
    let (mut stream, unread) = parts.io.into_inner().into_parts();
    let Some(accepted) = accepted else {
        // `poll_without_shutdown` leaves the end to us.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        return None;
    };
    Some((stream, Bytes::from([parts.read_buf, unread].concat()), accepted))
}

/// Serves HTTP/2 on a stream until it ends. Nothing on it becomes a WebSocket: browsers open another connection for
/// those, because RFC 8441 is not offered.
pub(crate) async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    front: Arc<Front>,
    worker: Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, worker) = (Arc::clone(&front), Arc::clone(&worker));
        Box::pin(async move {
            let way = Way { peer: Some(peer), front: &front, worker: &worker, exit: Exit::Upgrade(None) };
            answer(request.map(Body::new), way).await
        }) as Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        // Who answers no ping is gone, as on a WebSocket.
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PONG_TIMEOUT)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = pin!(connection);
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.as_mut() => connection.as_mut().graceful_shutdown(),
    }
    // What is asked already is answered, and then it ends.
    let _ = connection.await;
}

/// Requests at once on one connection of HTTP/2: a page's files, its stream and what it sends.
const STREAMS: u32 = 100;

impl Taken {
    /// A socket that hyper has left, with the answer that it is owed.
    pub(crate) fn new(stream: std::net::TcpStream, early: Bytes, accepted: Accepted) -> Taken {
        Taken { stream, early, head: Some(accepted.start.head()), accepted }
    }

    /// Gives it to the worker that owns the session which it wants to take over, or to `worker`.
    pub(crate) fn hand_over(self, front: &Front, worker: &Errands) {
        let owner = match self.accepted.role {
            Role::Probe(target, _) => front.workers.get(usize::from(target.worker())).map(|owner| &**owner),
            _ => None,
        };
        owner.unwrap_or(worker).push(Errand::Adopt(Box::new(self)));
    }
}

/// Answers one request.
pub(crate) async fn answer(request: Request<Body>, way: Way<'_>) -> Result<Response<Body>, Infallible> {
    let front = way.front;
    let (request, body) = request.into_parts();
    if request.uri.path_and_query().is_some_and(|target| target.as_str().len() > REQUEST_LINE) {
        return Ok(refuse(StatusCode::URI_TOO_LONG, &[], "The request line is longer than 8 KB."));
    }
    // hyper bounds the whole head; a short request line leaves no room for longer headers.
    let headers: usize =
        request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    if headers > HEADERS_BYTES {
        let sentence = "The headers are longer than 16 KB.";
        return Ok(refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &[], sentence));
    }
    if is_plain(&request)
        && let Some(response) = front.application.plain(request.uri.path())
    {
        return Ok(response);
    }
    let Some(route) = front.application.route(request.uri.path()) else {
        let mut request = Request::from_parts(request, body);
        if let Some(peer) = way.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        return front.router.clone().call(request).await;
    };
    if let Some(settings) = route.engine_io {
        return Ok(polling::answer(request, body, way, route, settings).await);
    }
    let opened = match route.http {
        Some(Http::Requests(method)) => {
            return Ok(exchange::answer(request, body, way, route, method).await);
        }
        Some(Http::Stream(stream)) => stream::open(&request, &way, route, stream).await,
        None => open(&request, &way, route, Role::Plain).await,
    };
    match opened {
        Ok(accepted) => Ok(way.leave(accepted).await),
        Err(response) => Ok(*response),
    }
}

/// Whether it asks for a page: a GET or HEAD without `Upgrade: websocket` (RFC 6455 section 4.2.1).
fn is_plain(request: &Parts) -> bool {
    let elements = |value: &HeaderValue| {
        let words = value.as_bytes().split(|byte| *byte == b',');
        words.into_iter().any(|word| word.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    matches!(request.method, Method::GET | Method::HEAD)
        && !request.headers.get_all(header::UPGRADE).iter().any(elements)
}

/// Opens a WebSocket, with the checks and limits that hold for all of them.
pub(crate) async fn open(
    request: &Parts,
    way: &Way<'_>,
    route: Route,
    role: Role,
) -> Result<Accepted, Box<Response<Body>>> {
    let version = match request.version {
        Version::HTTP_11 => (1, 1),
        Version::HTTP_10 => (1, 0),
        _ => (2, 0),
    };
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let accepted = handshake::check(request.method.as_str(), version, headers).map_err(
        |Rejection { status, headers, message }| Box::new(refuse(status_of(status), headers, message)),
    )?;
    check_origin(way.front, &request.headers)?;
    let (mut opened, mut protocol) = (None, None);
    let mut agreement = None;
    if !matches!(role, Role::Probe(..)) {
        let revision = match role {
            Role::EngineIo(_, revision) => Some(revision),
            _ => None,
        };
        let taken = attach(request, way, accepted.protocols.clone(), revision).await?;
        protocol = taken.0.protocol;
        agreement = route.deflate.and_then(|settings| deflate::accept(&accepted.deflate, &settings));
        let shares = agreement.is_some_and(deflate::Agreement::takes_shared);
        opened = Some(Unattached {
            conversation: taken.0.conversation,
            author: taken.0.author,
            format: if shares { route.format.deflated() } else { route.format },
            admitted: taken.1,
            config: config(route, None),
        });
    }
    let config = config(route, agreement);
    Ok(Accepted { start: Start::Switch(Switch { accepted, protocol, agreement }), config, role, opened })
}

/// Opens a session that has no socket of its own.
pub(crate) async fn open_without_socket(
    request: &Parts,
    way: &Way<'_>,
    route: Route,
    revision: Revision,
) -> Result<Unattached, Box<Response<Body>>> {
    let (opened, admitted) = attach(request, way, Vec::new(), Some(revision)).await?;
    let Opened { conversation, author, .. } = opened;
    Ok(Unattached { conversation, author, format: route.format, admitted, config: config(route, None) })
}

/// Asks the limits, and then the application, for a connection.
pub(crate) async fn attach(
    request: &Parts,
    way: &Way<'_>,
    protocols: Vec<String>,
    revision: Option<Revision>,
) -> Result<(Opened, Option<Admitted>), Box<Response<Body>>> {
    let front = way.front;
    if way.worker.is_over() {
        return Err(Box::new(refuse_at_the_end()));
    }
    if front.pressure.refuses() {
        let refusal = Refusal::new(Code::Busy, "the server is short of memory; try again in some seconds");
        return Err(Box::new(refuse_with(&refusal.retry_after(MEMORY_RETRY))));
    }
    let now = front.clock.wall();
    let address = way.peer.map(|peer| front.proxies.client(peer.ip(), &request.headers));
    let opening = Opening {
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        protocols,
        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        revision,
        now,
    };
    let admitted = match (front.limits, address) {
        (Limits::On, Some(address)) => {
            let comes_back = front.application.comes_back(&opening);
            let admitted = front.admission.admit(address, comes_back, now);
            Some(admitted.map_err(|refusal| Box::new(refuse_with(&refusal)))?)
        }
        // Counting all whom nobody knows as one would refuse them together.
        (Limits::Off, _) | (_, None) => None,
    };
    let opened = front.application.open(opening).await.map_err(|refusal| Box::new(refuse_with(&refusal)))?;
    Ok((opened, admitted))
}

/// Refuses pages that may not connect here.
pub(crate) fn check_origin(front: &Front, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    front.origins.check(headers).map_err(|origin| {
        tracing::warn!(
            origin,
            "a page was refused; to let it connect, start with --origin {origin}, or with --public-url {origin} if it \
             is this server's own behind a proxy"
        );
        let refusal = Refusal::new(Code::OriginDenied, "pages of this origin may not connect here");
        Box::new(refuse_with(&refusal))
    })
}

pub(crate) fn config(route: Route, deflate: Option<deflate::Agreement>) -> ws::Config {
    ws::Config {
        max_message: route.max_message,
        max_fragments: route.max_fragments,
        close_timeout: CLOSE_TIMEOUT,
        deflate,
        compress_from: match route.format {
            // What is published is compressed for all at once. Replies may hold the words of several people, and never are.
            WireFormat::Native => usize::MAX,
            _ => COMPRESS_FROM,
        },
        ..ws::Config::default()
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A refusal as the HTTP API gives it: its status and `{"type":"error",…}`.
pub(crate) fn refuse_with(refusal: &Refusal) -> Response<Body> {
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

/// The answer to a method that a path does not know.
pub(crate) fn refuse_method(allowed: &'static str) -> Response<Body> {
    let refusal = Refusal::new(Code::BadMessage, format!("this path takes {allowed} only"));
    let mut response = refuse_with(&refusal);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// To whoever comes when everything has ended.
pub(crate) fn refuse_at_the_end() -> Response<Body> {
    let refusal = Refusal::new(Code::Unavailable, "the server is stopping; try again in some seconds");
    refuse_with(&refusal.retry_after(RETRY_AFTER_STOP))
}

pub(crate) fn refuse(
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
