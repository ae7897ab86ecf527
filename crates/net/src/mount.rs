//! `Mount`: the requests of somebody else's listener, for the workers.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::admission::Limits;
use crate::bridge::bridge;
use crate::errand::Errands;
use crate::takeover::{self, Accepted, Exit, Front, Taken, Way};

/// A service for hyper and axum. Its connections are taken over by the workers as on a listener of our own, if below
/// them is a TCP stream of tokio's; everything else is bridged. Must be called inside a runtime of tokio's.
#[derive(Clone)]
pub struct Mount {
    front: Arc<Front>,
    next: Arc<AtomicUsize>,
    warned: Arc<AtomicBool>,
}

impl Mount {
    pub(crate) fn new(front: Arc<Front>) -> Mount {
        Mount { front, next: Arc::default(), warned: Arc::default() }
    }

    /// The peer's address, if the application has noted it.
    fn peer(&self, request: &Request<Body>) -> Option<SocketAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        if peer.is_none() && self.front.limits == Limits::On && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "limits by address do not hold: requests come without ConnectInfo<SocketAddr>; \
                 serve `app.into_make_service_with_connect_info::<SocketAddr>()`"
            );
        }
        peer
    }
}

impl Service<Request<Body>> for Mount {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = self.peer(&request);
        let exit = Exit::Upgrade(request.extensions_mut().remove::<OnUpgrade>());
        let front = Arc::clone(&self.front);
        // In turn, because nothing says which one has less to do.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % front.workers.len();
        let worker = Arc::clone(&front.workers[turn]);
        Box::pin(async move {
            takeover::answer(request, Way { peer, front: &front, worker: &worker, exit }).await
        })
    }
}

/// Answers 101 and takes the connection when hyper lets it go.
pub(crate) fn upgrade(
    upgrade: Option<OnUpgrade>,
    accepted: Accepted,
    front: &Arc<Front>,
    worker: &Arc<Errands>,
) -> Response<Body> {
    let Some(upgrade) = upgrade else {
        tracing::error!(
            "the HTTP server below the application cannot upgrade connections, so nobody can connect"
        );
        let sentence = "The HTTP server cannot upgrade connections.";
        return takeover::refuse(StatusCode::INTERNAL_SERVER_ERROR, &[], sentence);
    };
    let response = switching(&accepted);
    let (front, worker) = (Arc::clone(front), Arc::clone(worker));
    tokio::spawn(async move {
        let taken = async { take(upgrade.await.map_err(io::Error::other)?) };
        match taken.await {
            Ok((stream, early)) => Taken { stream, early, head: None, accepted }.hand_over(&front, &worker),
            Err(error) => tracing::debug!(%error, "a connection ended while it was opened"),
        }
    });
    response
}

fn switching(accepted: &Accepted) -> Response<Body> {
    let switch = &accepted.switch;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let extensions = switch.agreement.as_ref().map(ToString::to_string);
    let rest = [
        (header::SEC_WEBSOCKET_ACCEPT, Some(switch.accepted.accept())),
        (header::SEC_WEBSOCKET_PROTOCOL, switch.protocol.as_deref()),
        (header::SEC_WEBSOCKET_EXTENSIONS, extensions.as_deref()),
    ];
    for (name, value) in rest {
        // Base64, a token that the client sent in a header, and our own words: all of them may stand in one.
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// The TCP stream below, or a bridge to what else is there, and what was read behind the request.
fn take(upgraded: Upgraded) -> io::Result<(std::net::TcpStream, Bytes)> {
    // axum serves with the one kind of connection, other users of hyper with the other.
    let (stream, early) = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (parts.io, parts.read_buf),
            Err(upgraded) => return Ok((bridge(TokioIo::new(upgraded))?, Bytes::new())),
        },
    };
    let stream = stream.into_inner();
    // Small frames must not wait for the peer's acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    Ok((stream.into_std()?, early))
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("workers", &self.front.workers.len()).finish_non_exhaustive()
    }
}
