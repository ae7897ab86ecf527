//! `POST /api/publish`: a message from the application into a room.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use parlor_hub::command::Publish;
use parlor_hub::publish::Publisher;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{DATA, EVENT, KEY};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode::{self, Of};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Api, Refused, json, wait};
use crate::clock::now_ms;

/// The body. `data` is any JSON value.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(default = "yes")]
    store: bool,
}

fn yes() -> bool {
    true
}

/// Answers `{"type":"published",…}` when the ack is true.
pub(super) async fn publish(State(api): State<Api>, body: String) -> Result<Response, Refused> {
    let publish = read(&body)?;
    let room = publish.room.clone();
    let published = wait(|done| api.hub.publish(Publisher::Backend, publish, now_ms(), done)).await?;
    let mut out = Vec::new();
    encode::published(&mut out, None, Of::Room(&room), published.position, published.ack.as_str());
    Ok(json(out))
}

fn read(body: &str) -> Result<Publish, Refusal> {
    let body: Body<'_> = serde_json::from_str(body).map_err(|error| {
        let code = if error.is_data() { Code::BadMessage } else { Code::BadJson };
        Refusal::new(code, format!(r#"{error}; a correct body is {{"room":"lobby","data":"hi"}}"#))
    })?;
    let size = body.data.get().len();
    if size > DATA {
        return Err(Refusal::too_large("data", size, DATA));
    }
    let printable =
        |text: &str, limit| (1..=limit).contains(&text.len()) && !text.chars().any(char::is_control);
    if body.event.as_ref().is_some_and(|event| !printable(event, EVENT)) {
        return Err(Refusal::new(
            Code::BadMessage,
            format!("event is 1 to {EVENT} bytes without control characters"),
        ));
    }
    if body.key.as_ref().is_some_and(|key| !printable(key, KEY)) {
        return Err(Refusal::new(
            Code::BadMessage,
            format!("key is 1 to {KEY} bytes without control characters"),
        ));
    }
    Ok(Publish {
        room: RoomName::parse(&body.room)?,
        event: body.event.filter(|event| event != "message").map(Arc::from),
        data: body.data.get().into(),
        author: None,
        to: None,
        key: body.key.map(Arc::from),
        echo: true,
        store: body.store,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, Code>) {
        let read = read(body);
        let got = read.as_ref().map(|publish| &*publish.data).map_err(|refusal| refusal.code);
        assert_eq!(got, expected, "{body}");
    }

    #[test]
    fn a_body_is_a_room_and_any_json() {
        check(r#"{"room":"lobby","data":"sold"}"#, Ok(r#""sold""#));
        check(r#"{"room":"lobby","data":{"b":1, "a":[2]},"unknown":0}"#, Ok(r#"{"b":1, "a":[2]}"#));
        check(r#"{"room":"lobby"}"#, Err(Code::BadMessage));
        check(r#"{"room":"lobby","data":1"#, Err(Code::BadJson));
        check(r#"{"room":"../x","data":1}"#, Err(Code::BadName));
        check(r#"{"room":"$d:a:b","data":1}"#, Err(Code::BadName));
        check(r#"{"room":"a","data":1,"event":""}"#, Err(Code::BadMessage));
        check(&format!(r#"{{"room":"a","data":"{}"}}"#, "x".repeat(DATA)), Err(Code::TooLarge));
    }
}
