//! Engine.IO over HTTP: what a request of a polling client asks, and how it is answered.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use parlor_hub::ConnectionId;
use parlor_proto::engineio::handshake::Wanted;
use parlor_proto::engineio::{Fault, Query};
use parlor_proto::limits::API_TIMEOUT;
use tokio::sync::oneshot;

use crate::application::Route;
use crate::engineio::{self, EngineIo};
use crate::errand::{Ask, Errand, Errands};
use crate::origin::allow;
use crate::takeover::{self, Front, Role, Way};

/// Answers one request of an Engine.IO route.
pub(crate) async fn answer(
    request: Parts,
    body: Body,
    way: Way<'_>,
    route: Route,
    settings: EngineIo,
) -> Response<Body> {
    if let Err(response) = takeover::check_origin(way.front, &request.headers) {
        return *response;
    }
    let origin = request.headers.get(header::ORIGIN).cloned();
    let mut response = if request.method == Method::OPTIONS {
        preflight(&request.headers)
    } else {
        match dispatch(request, body, way, route, settings).await {
            Ok(response) => response,
            Err(fault) => refuse(fault),
        }
    };
    allow(response.headers_mut(), origin.as_ref());
    response
}

async fn dispatch(
    request: Parts,
    body: Body,
    way: Way<'_>,
    route: Route,
    settings: EngineIo,
) -> Result<Response<Body>, Fault> {
    let text = request.uri.query().unwrap_or_default().to_owned();
    let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let b64 = value("b64").is_some_and(|value| !value.is_empty());
    let query = Query {
        eio: value("EIO"),
        transport: value("transport"),
        sid: value("sid"),
        b64,
        jsonp: value("j").is_some(),
    };
    let (wanted, revision) = query.check(settings.allow_v3)?;
    let named = query.eio.map(|_| revision);
    let session = match query.sid {
        Some(sid) => Some(find(way.front, sid)?),
        None => None,
    };
    let method = request.method.clone();
    match (wanted, session) {
        (Wanted::WebSocket, session) => {
            let role = match session {
                Some((connection, _)) => Role::Probe(connection, settings),
                None => Role::EngineIo(settings, revision),
            };
            let accepted = takeover::open(&request, &way, route, role).await;
            match accepted {
                Ok(accepted) => Ok(way.leave(accepted).await),
                // What is no WebSocket request is refused in this protocol's words.
                Err(response) if response.status() == StatusCode::UPGRADE_REQUIRED => {
                    Err(Fault::BadRequest("transport=websocket needs a WebSocket"))
                }
                Err(response) => Ok(*response),
            }
        }
        (Wanted::Polling, None) if method == Method::GET => {
            let opened = takeover::open_without_socket(&request, &way, route, revision).await;
            let opened = match opened {
                Ok(opened) => opened,
                Err(response) => return Ok(*response),
            };
            let opened = Box::new(opened);
            let opening = ask(way.worker, |answer| Ask::Open { opened, settings, revision, b64, answer });
            let (body, kind, sid) = opening.await?;
            let mut response = ready((body, kind));
            if let Some(name) = settings.cookie {
                let cookie = format!("{name}={sid}; Path=/; HttpOnly; SameSite=Strict");
                if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
            }
            Ok(response)
        }
        (Wanted::Polling, None) => Err(Fault::BadHandshakeMethod),
        (Wanted::Polling, Some((connection, owner))) if method == Method::GET => {
            let mut gone = Gone { connection, owner, answered: false };
            let answered = ask(gone.owner, |answer| Ask::Poll {
                connection,
                poll: engineio::Poll { answer, b64, revision: named },
            });
            let answered = answered.await;
            gone.answered = true;
            Ok(ready(answered?))
        }
        (Wanted::Polling, Some((connection, owner))) if method == Method::POST => {
            let binary = request
                .headers
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"));
            let reading = to_bytes(body, settings.max_payload);
            let bytes = match tokio::time::timeout(API_TIMEOUT, reading).await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(_)) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE)),
                Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
            };
            let answered = ask(owner, |answer| Ask::Post {
                connection,
                body: engineio::Body { bytes, binary, revision: named, answer },
            });
            Ok(ready(answered.await?))
        }
        (Wanted::Polling, Some(_)) => Err(Fault::BadRequest("polling is GET and POST")),
    }
}

/// The session's id is its connection's, which names its worker.
fn find<'f>(front: &'f Front, sid: &str) -> Result<(ConnectionId, &'f Arc<Errands>), Fault> {
    let connection = ConnectionId::parse(sid).ok_or(Fault::UnknownSid)?;
    let owner = front.workers.get(usize::from(connection.worker())).ok_or(Fault::UnknownSid)?;
    Ok((connection, owner))
}

/// Asks a session's worker and waits for its answer.
async fn ask<T>(
    worker: &Errands,
    ask: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Ask,
) -> Result<T, Fault> {
    let (answer, answered) = oneshot::channel();
    worker.push(Errand::EngineIo(Box::new(ask(answer))));
    // Dropped unanswered: the session ended meanwhile.
    answered.await.unwrap_or(Err(Fault::UnknownSid))
}

/// Reports a poll whose client ended the request before it was answered.
struct Gone<'w> {
    connection: ConnectionId,
    owner: &'w Arc<Errands>,
    answered: bool,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.owner.push(Errand::EngineIo(Box::new(Ask::Gone(self.connection))));
        }
    }
}

fn ready((body, kind): (Vec<u8>, &'static str)) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refuse(fault: Fault) -> Response<Body> {
    if let Some(detail) = fault.detail() {
        tracing::debug!(detail, "an Engine.IO request was refused");
    }
    let mut response = ready((fault.body().into_bytes(), "application/json"));
    *response.status_mut() = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What a browser asks before it sends a request that is not simple.
pub(crate) fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = plain(StatusCode::NO_CONTENT);
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let out = response.headers_mut();
    out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(wanted) = wanted {
        out.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    response
}
