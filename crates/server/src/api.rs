//! The HTTP API for backends: JSON in, JSON out, an API key in `Authorization`.

pub(crate) mod key;
mod publish;
mod rooms;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parlor_hub::Hub;
use parlor_hub::engine::Done;
use parlor_hub::rate::Bucket;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{API_RATE, API_TIMEOUT, NATIVE_MESSAGE};
use tokio::time::timeout;

use crate::clock::now_ms;

/// What every route needs.
#[derive(Clone)]
pub(crate) struct Api {
    hub: Arc<Hub>,
    key: Arc<str>,
    /// Publishes of the one key that there is.
    rate: Arc<Mutex<Bucket>>,
}

pub(crate) fn router(hub: Arc<Hub>, key: String) -> Router {
    let rate = Arc::new(Mutex::new(Bucket::full(API_RATE, now_ms())));
    let api = Api { hub, key: key.into(), rate };
    Router::new()
        .route("/api/publish", post(publish::publish))
        .route("/api/rooms", get(rooms::rooms))
        .route("/api/rooms/{room}/members", get(rooms::members))
        .route("/api/rooms/{room}/history", get(rooms::history))
        .layer(axum::extract::DefaultBodyLimit::max(NATIVE_MESSAGE))
        .layer(middleware::from_fn_with_state(api.clone(), check_key))
        .with_state(api)
}

async fn check_key(State(api): State<Api>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(given) if same(given.trim(), &api.key) => match timeout(API_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => refused(&Refusal::new(
                Code::Timeout,
                "the request was not whole, or not done, in time; with the same key it can be sent again",
            )),
        },
        Some(_) => refused(&Refusal::new(
            Code::Unauthenticated,
            "this is not the API key; it is in api.key in the data directory",
        )),
        None => refused(&Refusal::new(
            Code::Unauthenticated,
            "the API needs its key: send the header Authorization: Bearer KEY, with the key from api.key in the data directory",
        )),
    }
}

/// Compares in a time that does not tell how much was right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

impl Api {
    /// Takes one publish from what the key may do now.
    fn take(&self) -> Result<(), Refusal> {
        if !self.hub.is_limited() {
            return Ok(());
        }
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(API_RATE, now_ms()).map_err(|wait| {
            Refusal::rate_limited("publishes with this key", Duration::from_millis(u64::from(wait)))
        })
    }
}

/// Waits for one of the hub's callbacks.
async fn wait<T: Send + 'static>(ask: impl FnOnce(Done<T>)) -> Result<T, Refused> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    ask(Box::new(move |result| {
        // Whoever asked has hung up.
        let _ = sender.send(result);
    }));
    match receiver.await {
        Ok(result) => result.map_err(Refused),
        Err(_) => Err(Refused(Refusal::new(Code::Unavailable, "the server is stopping"))),
    }
}

/// A refusal as a handler's error.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refused(&self.0)
    }
}

/// JSON text as an answer.
fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let mut body = Vec::new();
    parlor_proto::native::encode::error(&mut body, None, refusal);
    let mut response = json(body);
    *response.status_mut() = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use parlor_hub::mailbox::Mailbox;
    use parlor_hub::memory::MemoryEngine;
    use parlor_hub::policy::{Policies, Policy};

    use super::*;

    #[test]
    fn a_backend_that_floods_is_told_to_wait_unless_limits_are_lifted() {
        let flood = |limited| {
            let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
            let hub = Hub::start(
                Arc::new(MemoryEngine::new([0; 16])),
                mailboxes,
                Policies::new(Policy::stock),
                limited,
            );
            let rate = Arc::new(Mutex::new(Bucket::full(API_RATE, now_ms())));
            let api = Api { hub, key: "key".into(), rate };
            (0..1_000_000).find_map(|_| api.take().err())
        };
        let refusal = flood(true).expect("a million at once are too many");
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(refusal.retry_after.is_some());
        assert!(flood(false).is_none());
    }
}
