//! What holds for any message, any cut and any order of calls.

mod ws_common;

use std::path::Path;

use parlor_proto::ws::deflate::{Agreement, Compressor};
use parlor_proto::ws::{Config, Failure, Role, mask, utf8};
use proptest::prelude::*;
use ws_common::*;

/// One message as a peer may send it.
#[derive(Clone, Debug)]
struct Sent {
    got: Got,
    /// Where it is cut into frames, in 256ths of its length.
    cuts: Vec<u8>,
    compressed: bool,
    key: [u8; 4],
    /// Sent before each frame.
    ping: Option<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = prop_oneof![".{0,40}", "[ab]{0,400}", Just("κόσμε 😀".repeat(30))].prop_map(Got::Text);
    let binary = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        (0..70_000usize).prop_map(|len| vec![7; len]),
    ];
    let got = prop_oneof![text, binary.prop_map(Got::Binary)];
    let cuts = proptest::collection::vec(any::<u8>(), 0..5);
    (got, cuts, any::<bool>(), any::<[u8; 4]>(), proptest::option::of(any::<u8>()))
        .prop_map(|(got, cuts, compressed, key, ping)| Sent { got, cuts, compressed, key, ping })
}

impl Sent {
    /// Its frames, as `sender` writes them, and the events that they are.
    fn frames(&self, sender: Role, deflate: bool) -> (Vec<u8>, Vec<Got>) {
        let (opcode, content) = match &self.got {
            Got::Text(text) => (1, text.as_bytes().to_vec()),
            Got::Binary(binary) => (2, binary.clone()),
            other => panic!("{other:?} is not a message"),
        };
        let compressed = self.compressed && deflate;
        let payload = if compressed {
            let mut out = Vec::new();
            Compressor::new(15, 6).compress(&content, &mut out);
            out
        } else {
            content
        };
        let mut cuts: Vec<usize> =
            self.cuts.iter().map(|cut| usize::from(*cut) * payload.len() / 256).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());

        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (i, end) in cuts.iter().copied().enumerate() {
            if let Some(ping) = self.ping {
                write_frame(&mut bytes, sender, 0x89, self.key, &[ping]);
                events.push(Got::Ping(vec![ping]));
            }
            let fin = if i + 1 == cuts.len() { 0x80 } else { 0 };
            let rsv1 = if i == 0 && compressed { 0x40 } else { 0 };
            let opcode = if i == 0 { opcode } else { 0 };
            write_frame(&mut bytes, sender, fin | rsv1 | opcode, self.key, &payload[start..end]);
            start = end;
        }
        events.push(self.got.clone());
        (bytes, events)
    }
}

fn write_frame(out: &mut Vec<u8>, sender: Role, first: u8, key: [u8; 4], payload: &[u8]) {
    let mut frame = masked(first, payload);
    let key_at = frame.len() - payload.len() - 4;
    if sender == Role::Client {
        frame[key_at..key_at + 4].copy_from_slice(&key);
        mask::apply_simple(key, &mut frame[key_at + 4..]);
    } else {
        frame[1] &= 0x7f;
        frame.drain(key_at..key_at + 4);
    }
    out.extend(frame);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_arrive_however_they_are_cut(
        messages in proptest::collection::vec(sent(), 1..5),
        to_server in any::<bool>(),
        deflate in any::<bool>(),
        pieces in proptest::collection::vec(1..5000usize, 1..8),
    ) {
        let (sender, receiver) =
            if to_server { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let config = Config { deflate: deflate.then(Agreement::default), ..Config::default() };
        let mut peer = Peer::new(receiver, &config);
        let (bytes, expected): (Vec<_>, Vec<_>) =
            messages.iter().map(|sent| sent.frames(sender, deflate)).unzip();
        let (mut bytes, expected) = (bytes.concat(), expected.concat());
        let mut got = Vec::new();
        for size in pieces.into_iter().cycle() {
            let rest = bytes.split_off(size.min(bytes.len()));
            got.extend(peer.receive(&bytes));
            bytes = rest;
            if bytes.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn any_bytes_mean_what_the_twin_says(data in frame_like()) {
        bodies::ws_bytes(&data);
    }

    #[test]
    fn any_order_of_calls_loses_nothing(data in proptest::collection::vec(any::<u8>(), 1..200)) {
        bodies::ws_ops(&data);
    }

    #[test]
    fn any_head_is_read_alike_in_any_pieces(data in head_like()) {
        bodies::ws_handshake(&data);
    }

    #[test]
    fn masking_agrees_with_its_twin(key in any::<[u8; 4]>(), data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (mut fast, mut simple) = (data.clone(), data);
        mask::apply(key, &mut fast);
        mask::apply_simple(key, &mut simple);
        prop_assert_eq!(fast, simple);
    }

    #[test]
    fn text_in_pieces_agrees_with_the_standard_library(
        text in ".{0,30}",
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        size in 1..9usize,
    ) {
        let mut bytes = text.into_bytes();
        if let Some((at, byte)) = damage && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut pieces = utf8::Text::default();
        let outcome: Result<(), Failure> = bytes.chunks(size).try_for_each(|piece| pieces.push(piece));
        let outcome = outcome.and_then(|()| pieces.finish());
        prop_assert_eq!(outcome.ok(), String::from_utf8(bytes).ok());
    }
}

/// Bytes that look enough like frames to get past their headers.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8a, 0xc1, 0x41]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        ".{0,10}".prop_map(String::into_bytes),
        (125..200usize).prop_map(|len| vec![b'a'; len]),
        (900..1100u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let frame =
        (first, payload, any::<[u8; 4]>(), any::<bool>()).prop_map(|(first, payload, key, to_server)| {
            let mut out = Vec::new();
            let sender = if to_server { Role::Client } else { Role::Server };
            write_frame(&mut out, sender, first, key, &payload);
            out
        });
    let junk = proptest::collection::vec(any::<u8>(), 0..4);
    let choices = proptest::collection::vec(any::<u8>(), 3);
    (choices, proptest::collection::vec(frame, 0..6), junk)
        .prop_map(|(choices, frames, junk)| [choices, frames.concat(), junk].concat())
}

/// Lines that look enough like a head to get to its rules.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "GET / HTTP/1.1",
            "HTTP/1.1 101 Switching Protocols",
            "Host: a",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "Sec-WebSocket-Protocol: chat",
            "",
        ])
        .prop_map(str::to_owned),
        ("[a-zA-Z -]{0,8}", ":? ?", ".{0,20}").prop_map(|(name, colon, value)| format!("{name}{colon}{value}")),
        "(permessage-deflate(; (client|server)_(max_window_bits|no_context_takeover)(=[0-9]{1,2})?){0,4},? ?){1,3}"
            .prop_map(|value| format!("Sec-WebSocket-Extensions: {value}")),
    ];
    (any::<u8>(), proptest::collection::vec(line, 0..14))
        .prop_map(|(cut, lines)| [&[cut], lines.join("\r\n").as_bytes(), b"\r\n\r\n"].concat())
}

/// The fuzzers' finds, for machines that cannot fuzz.
#[test]
fn the_corpus_of_the_fuzzers_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    replay(&corpus, "ws_bytes", bodies::ws_bytes);
    replay(&corpus, "ws_ops", bodies::ws_ops);
    replay(&corpus, "ws_handshake", bodies::ws_handshake);
}

fn replay(corpus: &Path, target: &str, body: fn(&[u8])) {
    let mut files = 0;
    for entry in std::fs::read_dir(corpus.join(target)).expect("a corpus") {
        let path = entry.expect("a file").path();
        println!("{}", path.display());
        body(&std::fs::read(&path).expect("readable"));
        files += 1;
    }
    assert!(files > 0, "{target} has no corpus");
}
