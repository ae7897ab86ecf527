//! Packets as text: what a server says, without Engine.IO's digit in front.

use super::MAIN;
use super::arguments::Arguments;
use crate::json::write_text;

/// Appends `2[…]`, or `5n-[…]` when attachments follow. `id` asks for an ack; `offset` is a last argument with which
/// a client resumes.
pub fn event(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    arguments: &Arguments,
    offset: Option<&str>,
) {
    head(out, [b'2', b'5'], arguments.attachments().len(), namespace, id);
    out.push(b'[');
    write_text(out, name);
    if !arguments.is_empty() {
        out.push(b',');
        out.extend_from_slice(arguments.text().as_bytes());
    }
    if let Some(offset) = offset {
        out.push(b',');
        write_text(out, offset);
    }
    out.push(b']');
}

/// Appends `3id[…]`, or `6n-id[…]` when attachments follow.
pub fn ack(out: &mut Vec<u8>, namespace: &str, id: u64, arguments: &Arguments) {
    head(out, [b'3', b'6'], arguments.attachments().len(), namespace, Some(id));
    out.push(b'[');
    out.extend_from_slice(arguments.text().as_bytes());
    out.push(b']');
}

/// Appends `0{"sid":…}`; `pid` is there while the namespace recovers connections.
pub fn connect(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    head(out, [b'0', b'0'], 0, namespace, None);
    out.extend_from_slice(b"{\"sid\":");
    write_text(out, sid);
    if let Some(pid) = pid {
        out.extend_from_slice(b",\"pid\":");
        write_text(out, pid);
    }
    out.push(b'}');
}

/// Appends the answer that clients of Socket.IO 2 take: a CONNECT without data.
pub fn connect_v2(out: &mut Vec<u8>, namespace: &str) {
    head(out, [b'0', b'0'], 0, namespace, None);
}

/// Appends `4{"message":…,"data":…}`; `data` is JSON text.
pub fn connect_error(out: &mut Vec<u8>, namespace: &str, message: &str, data: Option<&str>) {
    head(out, [b'4', b'4'], 0, namespace, None);
    out.extend_from_slice(b"{\"message\":");
    write_text(out, message);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

/// Appends the refusal that clients of Socket.IO 2 take: one value.
pub fn connect_error_v2(out: &mut Vec<u8>, namespace: &str, message: &str, data: Option<&str>) {
    head(out, [b'4', b'4'], 0, namespace, None);
    match data {
        Some(data) => out.extend_from_slice(data.as_bytes()),
        None => write_text(out, message),
    }
}

/// Appends `1`.
pub fn disconnect(out: &mut Vec<u8>, namespace: &str) {
    head(out, [b'1', b'1'], 0, namespace, None);
}

pub(super) fn head(out: &mut Vec<u8>, kinds: [u8; 2], attachments: usize, namespace: &str, id: Option<u64>) {
    if attachments == 0 {
        out.push(kinds[0]);
    } else {
        out.push(kinds[1]);
        out.extend_from_slice(attachments.to_string().as_bytes());
        out.push(b'-');
    }
    if namespace != MAIN {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(id.to_string().as_bytes());
    }
}
