//! Requests that a connection answers: how they find it, or get one of their own.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{API_TIMEOUT, POLL_WAIT_MAX};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::application::{Answer, Answered, Exchange, Opened, Route};
use crate::errand::{Errand, Errands, Target};
use crate::origin::allow;
use crate::polling;
use crate::takeover::{Unattached, Way, attach, check_origin, config, refuse_method, refuse_with};

/// An answer is held no longer than a poll may be, and takes no longer than a request to the API.
const PATIENCE: std::time::Duration = POLL_WAIT_MAX.saturating_add(API_TIMEOUT);

/// Answers one request of a path that takes `method`.
pub(crate) async fn answer(
    request: Parts,
    body: Body,
    way: Way<'_>,
    route: Route,
    method: &'static str,
) -> Response<Body> {
    if let Err(response) = check_origin(way.front, &request.headers) {
        return *response;
    }
    let origin = request.headers.get(header::ORIGIN).cloned();
    let mut response = match request.method {
        Method::OPTIONS => polling::preflight(&request.headers),
        ref given if given.as_str() != method => refuse_method(method),
        _ => match receive(body, route).await {
            Ok(body) => match serve(&request, body, &way, route).await {
                Ok(answered) => respond(answered),
                Err(response) => *response,
            },
            Err(refusal) => refuse_with(&refusal),
        },
    };
    allow(response.headers_mut(), origin.as_ref());
    response
}

async fn receive(body: Body, route: Route) -> Result<Bytes, Refusal> {
    match timeout(API_TIMEOUT, to_bytes(body, route.max_message)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let sentence = format!("the body is longer than {} bytes", route.max_message);
            Err(Refusal::new(Code::TooLarge, sentence))
        }
        Err(_) => Err(Refusal::new(Code::Timeout, "the body was not whole in time")),
    }
}

/// Finds the connection that a request is for, or makes one, and waits for its answer; otherwise it says why there is none.
pub(crate) async fn serve(
    request: &Parts,
    body: Bytes,
    way: &Way<'_>,
    route: Route,
) -> Result<Answered, Box<Response<Body>>> {
    let refuse = |refusal: Refusal| Box::new(refuse_with(&refusal));
    let front = way.front;
    if let Some(connection) = front.application.speaks_for(&request.uri, &request.headers) {
        let owner = front.workers.get(usize::from(connection.worker()));
        let answered = match owner {
            Some(owner) => ask(owner, Target::Of(connection), request, &body).await,
            None => None,
        };
        match answered {
            Some(answered) => return Ok(answered),
            // What only reads may begin anew; what was to be done may have been done.
            None if request.method.is_safe() => {}
            None => {
                let sentence = "the connection that this request speaks for is over; connect again";
                return Err(refuse(Refusal::new(Code::Unauthenticated, sentence)));
            }
        }
    }
    let (Opened { conversation, author, .. }, admitted) = attach(request, way, Vec::new(), None).await?;
    let opened =
        Unattached { conversation, author, format: route.format, admitted, config: config(route, None) };
    match ask(way.worker, Target::New(Box::new(opened)), request, &body).await {
        Some(answered) => Ok(answered),
        None => Err(refuse(Refusal::new(Code::Unavailable, "no answer came; try again"))),
    }
}

/// `None`: the connection is not there, or ended before it answered.
async fn ask(worker: &Errands, target: Target, request: &Parts, body: &Bytes) -> Option<Answered> {
    let (answer, answered) = oneshot::channel();
    let exchange = Exchange { uri: request.uri.clone(), body: body.clone(), answer: Answer(answer) };
    worker.push(Errand::Exchange(target, Box::new(exchange)));
    timeout(PATIENCE, answered).await.ok()?.ok()
}

/// What every answer says of itself.
pub(crate) const FIELDS: &[u8] = b"content-type: application/json\r\ncache-control: no-store\r\n";

/// The same as a response.
pub(crate) fn respond((status, body): Answered) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
