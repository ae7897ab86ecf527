//! Waiting for an engine: its callbacks as futures, and its records as JSON.

use std::future::Future;
use std::sync::Arc;

use parlor_hub::engine::{Done, Engine, Expect, Record};
use parlor_proto::codes::{Code, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

/// Calls `ask` with a callback and waits for it.
pub(crate) fn wait<T: Send + 'static>(
    ask: impl FnOnce(Done<T>),
) -> impl Future<Output = Result<T, Refusal>> + Send + 'static {
    let (sender, receiver) = oneshot::channel();
    ask(Box::new(move |result| {
        // Nobody waits any more: the connection is gone.
        let _ = sender.send(result);
    }));
    async move {
        receiver.await.unwrap_or_else(|_| Err(Refusal::new(Code::Unavailable, "the server is stopping")))
    }
}

/// The value of a record, if there is one that this version can read.
pub(crate) async fn get<T: DeserializeOwned>(
    engine: &Arc<dyn Engine>,
    kind: &'static str,
    key: &str,
    now: u64,
) -> Result<Option<T>, Refusal> {
    let record = wait(|done| engine.records().get(kind, key, now, done)).await?;
    Ok(record.and_then(|record| serde_json::from_slice(&record.value).ok()))
}

/// Writes a record whatever was there.
pub(crate) async fn put<T: Serialize>(
    engine: &Arc<dyn Engine>,
    kind: &'static str,
    key: &str,
    value: &T,
    expires: Option<u64>,
    now: u64,
) -> Result<(), Refusal> {
    let value = serde_json::to_vec(value).map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let put =
        wait(|done| engine.records().put(kind, key, Some(&value), expires, Expect::Anything, now, done));
    put.await.map(drop)
}

/// All records of a kind below a prefix, at most `limit`.
pub(crate) async fn list(
    engine: &Arc<dyn Engine>,
    kind: &'static str,
    prefix: &str,
    limit: u32,
    now: u64,
) -> Result<Vec<Record>, Refusal> {
    wait(|done| engine.records().list(kind, prefix, None, limit, now, done)).await
}
