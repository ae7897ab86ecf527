//! Server-sent events: the server's half of the event stream format (WHATWG HTML, section 9.2), written.
//!
//! One event is one object of the native protocol in `data:`, without an `event:` field, so that a page needs nothing
//! but `onmessage`. The `id:` is a [`Cursor`]: a browser gives the last one back as `Last-Event-ID` when it reconnects.

use std::io::Write;
use std::time::Duration;

use crate::position::Cursor;

/// A comment, which clients ignore: it keeps proxies and the connection awake.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// Appends one event. Line ends in `data` (JSON may hold them between its tokens) begin another `data:` line, as the
/// format wants it; the client sees them as line feeds.
pub fn event(out: &mut Vec<u8>, id: Option<Cursor>, data: &[u8]) {
    if let Some(id) = id {
        write(out, format_args!("id: {id}\n"));
    }
    for line in lines(data) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Appends an id alone: the client's place moves, and no event is dispatched.
pub fn id(out: &mut Vec<u8>, id: Cursor) {
    write(out, format_args!("id: {id}\n\n"));
}

/// Appends how long a client waits before it comes back.
pub fn retry(out: &mut Vec<u8>, after: Duration) {
    write(out, format_args!("retry: {}\n\n", after.as_millis()));
}

/// The pieces between line ends: `\r\n`, `\n` or `\r`.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let Some(end) = data.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            return rest.take();
        };
        let ended = if data[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&data[end + ended..]);
        Some(&data[..end])
    })
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    out.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::position::MessageId;

    const CURSOR: Cursor =
        Cursor { life: 723, seq: 42, id: MessageId(0x0198_3A1B_2C3D_0011_2233_4455_6677_8899) };

    #[track_caller]
    fn check(id: Option<Cursor>, data: &str, expected: &str) {
        let mut out = Vec::new();
        event(&mut out, id, data.as_bytes());
        assert_eq!(String::from_utf8_lossy(&out), expected, "{data:?}");
    }

    #[test]
    fn an_event_is_its_data_and_the_place_behind_it() {
        check(None, r#"{"type":"pong"}"#, "data: {\"type\":\"pong\"}\n\n");
        check(Some(CURSOR), "{}", "id: k3-42-01K0X1PB1X008J4CT4ANK7F24S\ndata: {}\n\n");
        check(None, "{\n}", "data: {\ndata: }\n\n");
        check(None, "{\r\n\r}\n", "data: {\ndata: \ndata: }\ndata: \n\n");
        check(None, "", "data: \n\n");
    }

    #[test]
    fn what_is_no_event_is_not_dispatched() {
        let mut out = Vec::new();
        retry(&mut out, Duration::from_millis(1500));
        id(&mut out, CURSOR);
        assert_eq!(out, b"retry: 1500\n\nid: k3-42-01K0X1PB1X008J4CT4ANK7F24S\n\n");
        assert_eq!(HEARTBEAT, b":\n\n");
    }

    /// What a browser makes of a stream: the data of each event, and the last id.
    fn read(stream: &str) -> (Vec<String>, Option<String>) {
        let (mut events, mut data, mut last) = (Vec::new(), Vec::new(), None);
        for line in stream.split_terminator('\n') {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("", "") if !data.is_empty() => events.push(std::mem::take(&mut data).join("\n")),
                ("data", text) => data.push(text.to_owned()),
                ("id", text) => last = Some(text.to_owned()),
                _ => {}
            }
        }
        (events, last)
    }

    proptest! {
        #[test]
        fn a_browser_reads_what_was_written(texts in prop::collection::vec("[ -~\n\r]{1,40}", 1..5), seq: u64) {
            let mut out = Vec::new();
            let cursor = Cursor { seq, ..CURSOR };
            for text in &texts {
                event(&mut out, Some(cursor), text.as_bytes());
                out.extend_from_slice(HEARTBEAT);
            }
            let (events, last) = read(std::str::from_utf8(&out).unwrap());
            let sent: Vec<_> = texts.iter().map(|text| text.replace("\r\n", "\n").replace('\r', "\n")).collect();
            prop_assert_eq!(events, sent);
            prop_assert_eq!(last.unwrap().parse(), Ok(cursor));
        }
    }
}
