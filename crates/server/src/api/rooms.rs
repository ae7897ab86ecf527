//! `GET /api/rooms`, `/api/rooms/ROOM/members` and `/api/rooms/ROOM/history`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use parlor_hub::encode::{entry, member};
use parlor_hub::engine::Range;
use parlor_hub::policy::Log;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{PAGE_MESSAGES, ROOMS_LISTED};
use parlor_proto::name::RoomName;
use parlor_proto::native::encode::{self, Of};
use parlor_proto::position::{Position, Since};
use serde::Deserialize;

use super::{Api, Refused, json, wait};

#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn rooms(
    State(api): State<Api>,
    Query(listing): Query<Listing>,
) -> Result<Response, Refused> {
    let limit = listing.limit.unwrap_or(ROOMS_LISTED as u32).clamp(1, ROOMS_LISTED as u32);
    let (rooms, more) =
        wait(|done| api.hub.rooms(&listing.prefix, listing.after.as_deref(), limit, done)).await?;
    let rows: Vec<_> = rooms
        .iter()
        .map(|info| encode::Room {
            room: &info.room,
            count: info.count as u64,
            offset: info.head.map(|head| head.offset),
            unread: None,
        })
        .collect();
    let mut out = Vec::new();
    encode::rooms(&mut out, None, &rows, more);
    Ok(json(out))
}

pub(super) async fn members(State(api): State<Api>, Path(room): Path<String>) -> Result<Response, Refused> {
    let room = RoomName::parse(&room)?;
    let members = api.hub.members(&room);
    let list: Vec<_> = members.list.iter().flatten().map(member).collect();
    let presence = encode::Presence { members: &list, count: members.count as u64, version: members.version };
    let mut out = Vec::new();
    encode::members(&mut out, None, &room, &presence);
    Ok(json(out))
}

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    before: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn history(
    State(api): State<Api>,
    Path(room): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Refused> {
    let room = RoomName::parse(&room)?;
    let range = match (&which.before, &which.after) {
        (None, None) => Range::Before(None),
        (Some(before), None) => Range::Before(Some(offset(before)?)),
        (None, Some(after)) => Range::After(offset(after)?),
        (Some(_), Some(_)) => {
            return Err(Refusal::new(Code::BadMessage, "give either before or after, not both").into());
        }
    };
    let limit = which.limit.unwrap_or(PAGE_MESSAGES as u32).clamp(1, PAGE_MESSAGES as u32);
    let policy = api.hub.policy(&room);
    if policy.log == Log::None {
        return Err(Refusal::no_log(&room, "history").into());
    }
    let page = wait(|done| api.hub.engine().history(&room, policy, range, limit, done)).await?;
    let entries: Vec<_> = page.messages.iter().map(|message| entry(message)).collect();
    let mut out = Vec::new();
    encode::history(&mut out, None, Of::Room(&room), &entries, page.more);
    Ok(json(out))
}

/// A position's string or a plain offset.
fn offset(text: &str) -> Result<u64, Refusal> {
    let since = match text.parse() {
        Ok(offset) => Since::Offset(offset),
        Err(_) => Since::Position(text.parse::<Position>().map_err(|_| {
            Refusal::new(Code::BadMessage, "before and after take an offset, or a pos as messages carry it")
        })?),
    };
    Ok(since.offset())
}
