//! Streams: connections that only listen, to a response that does not end.
//!
//! The response has no length and no chunks: it ends when the connection does (RFC 9112 section 6.3, case 8). A chunk's
//! header would say no more than an event's own end does, and clients of HTTP/1.0, which some proxies are, know no
//! chunks. That the end came unasked is told by the missing `bye`.

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use parlor_proto::limits::STREAM_RETRY;
use parlor_proto::{json, sse};

use crate::application::{Opened, Route};
use crate::origin::allow;
use crate::polling;
use crate::takeover::{self, Accepted, Role, Start, Unattached, Way};

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Server-sent events.
    Events,
    /// An object per line.
    Lines,
}

impl Stream {
    /// The head of the response as bytes, and what stands before the first object.
    pub(crate) fn head(self, origin: Option<&HeaderValue>) -> Vec<u8> {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        for (name, value) in &self.headers(origin) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"connection: close\r\n\r\n");
        head.extend_from_slice(&self.beginning());
        head
    }

    pub(crate) fn headers(self, origin: Option<&HeaderValue>) -> HeaderMap {
        let kind = match self {
            Stream::Events => "text/event-stream",
            Stream::Lines => "application/x-ndjson",
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx collects a response in buffers unless it is told not to.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        allow(&mut headers, origin);
        headers
    }

    /// What stands before the first object.
    pub(crate) fn beginning(self) -> Vec<u8> {
        let mut beginning = Vec::new();
        if self == Stream::Events {
            sse::retry(&mut beginning, STREAM_RETRY);
        }
        beginning
    }

    /// Appends one object.
    pub(crate) fn write(self, out: &mut Vec<u8>, object: &[u8]) {
        match self {
            Stream::Events => sse::event(out, None, object),
            Stream::Lines => {
                let start = out.len();
                out.extend_from_slice(object);
                json::one_line(&mut out[start..]);
                out.push(b'\n');
            }
        }
    }

    /// What says nothing and shows whether anybody is still there.
    pub(crate) fn heartbeat(self) -> &'static [u8] {
        match self {
            Stream::Events => sse::HEARTBEAT,
            Stream::Lines => b"\n",
        }
    }
}

/// Opens a stream, with the checks and limits of a WebSocket.
pub(crate) async fn open(
    request: &Parts,
    way: &Way<'_>,
    route: Route,
    stream: Stream,
) -> Result<Accepted, Box<Response<Body>>> {
    takeover::check_origin(way.front, &request.headers)?;
    // A page of another origin asks before it shows its token.
    if request.method == Method::OPTIONS {
        let mut response = polling::preflight(&request.headers);
        allow(response.headers_mut(), request.headers.get(header::ORIGIN));
        return Err(Box::new(response));
    }
    if request.method != Method::GET {
        return Err(Box::new(takeover::refuse_method("GET")));
    }
    let origin = request.headers.get(header::ORIGIN).cloned();
    let attached = takeover::attach(request, way, Vec::new(), None).await;
    let (Opened { conversation, author, .. }, admitted) = attached.map_err(|mut response| {
        allow(response.headers_mut(), origin.as_ref());
        response
    })?;
    let config = takeover::config(route, None);
    let opened = Unattached { conversation, author, format: route.format, admitted, config };
    let start = Start::Stream(stream, origin);
    Ok(Accepted { start, config, role: Role::Stream(stream), opened: Some(opened) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begins_with_its_head_and_holds_an_object_per_event_or_line() {
        let page = HeaderValue::from_static("http://localhost:1");
        let mut events = Stream::Events.head(Some(&page));
        Stream::Events.write(&mut events, b"{\n}");
        events.extend_from_slice(Stream::Events.heartbeat());
        assert_eq!(
            String::from_utf8(events).unwrap(),
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
             x-accel-buffering: no\r\nx-content-type-options: nosniff\r\n\
             access-control-allow-origin: http://localhost:1\r\naccess-control-allow-credentials: true\r\n\
             vary: origin\r\nconnection: close\r\n\r\nretry: 1000\n\ndata: {\ndata: }\n\n:\n\n"
        );
        let mut lines = Stream::Lines.head(None);
        Stream::Lines.write(&mut lines, b"{\n}");
        lines.extend_from_slice(Stream::Lines.heartbeat());
        assert!(lines.ends_with(b"connection: close\r\n\r\n{ }\n\n"));
    }
}
