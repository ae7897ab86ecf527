//! `POST /api/publish`: a message from the application into a room.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use parlor_hub::command::Publish;
use parlor_hub::publish::Publisher;
use parlor_proto::codes::Refusal;
use parlor_proto::name::RoomName;
use parlor_proto::native::encode::{self, Of};
use parlor_proto::native::{DEFAULT_EVENT, command as wire};

use super::{Api, Refused, json, wait};
use crate::clock::now_ms;

/// Answers `{"type":"published",…}` when the ack is true.
pub(super) async fn publish(State(api): State<Api>, body: String) -> Result<Response, Refused> {
    let publish = read(&body)?;
    api.take()?;
    let room = publish.room.clone();
    let published = wait(|done| api.hub.publish(Publisher::Backend, publish, now_ms(), done)).await?;
    let mut out = Vec::new();
    encode::published(&mut out, None, Of::Room(&room), published.position, published.ack.as_str());
    Ok(json(out))
}

/// The rules are those of the native protocol's `publish`.
fn read(body: &str) -> Result<Publish, Refusal> {
    let wire::Publish { room, data, event, key, store, echo: _ } = wire::Publish::parse(body)?;
    Ok(Publish {
        event: (event != DEFAULT_EVENT).then(|| Arc::from(event)),
        key: key.map(Arc::from),
        store,
        ..Publish::new(RoomName::parse(&room)?, data.get())
    })
}

#[cfg(test)]
mod tests {
    use parlor_proto::codes::Code;
    use parlor_proto::limits::{DATA, DEPTH};

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
        check(r#"{"room":"a","data":1,"key":"a b"}"#, Err(Code::BadMessage));
        check(r#"{"room":"a","data":"\ud800"}"#, Err(Code::BadJson));
        check("[]", Err(Code::BadMessage));
        check(&format!(r#"{{"room":"a","data":"{}"}}"#, "x".repeat(DATA)), Err(Code::TooLarge));
        let deep = format!("{}{}", "[".repeat(DEPTH + 1), "]".repeat(DEPTH + 1));
        check(&format!(r#"{{"room":"a","data":{deep}}}"#), Err(Code::TooDeep));
    }
}
