//! What must hold for any bytes under Engine.IO and Socket.IO: the bodies of the fuzz targets, and of the test that
//! replays their corpus.
#![allow(unreachable_pub, reason = "a fuzz target is a crate of its own")]

use bytes::Bytes;
use parlor_proto::engineio::payload::{Answer, Record, Records};
use parlor_proto::engineio::{Packet as Engine, Revision};
use parlor_proto::limits::POLL_PACKETS_OUT;
use parlor_proto::socketio::client::{Entry, ServerDecoder, enter};
use parlor_proto::socketio::{Decoder, Packet, encode, msgpack};
use parlor_proto::ws::{Kind, frame};

/// What stands between the packets of a payload of revision 4.
const SEPARATOR: u8 = 0x1e;

/// A body from a stranger in every form that a body has; then its pieces as the messages of a session, which a poller
/// must get back as they were, in answers of any size.
pub fn engineio_payload(data: &[u8]) {
    let [limit, body @ ..] = data else { return };
    for (revision, binary) in [(Revision::V4, false), (Revision::V3, false), (Revision::V3, true)] {
        let mut records = Records::new(body, revision, binary);
        let mut before = body.len() + 1;
        while let Some(record) = records.next() {
            let rest = records.rest().map_or(0, |rest| rest + 1);
            assert!(rest < before, "each packet takes some of the body");
            assert!(record.is_ok() || rest == 0, "nothing comes behind a bad packet");
            before = rest;
        }
        answers(body, revision, !binary, usize::from(*limit) * 16);
    }
}

fn answers(body: &[u8], revision: Revision, b64: bool, limit: usize) {
    let mut frames = Vec::new();
    let mut sent: Vec<Record<'_>> = Vec::new();
    for piece in body.split(|&byte| byte == SEPARATOR) {
        match (piece, std::str::from_utf8(piece).map(Engine::parse)) {
            // A frame of the transport: not the session's.
            ([], _) => frame::write_header(&mut frames, true, false, frame::Opcode::Ping, 0),
            (_, Ok(Ok(packet))) => {
                frame::write_message(&mut frames, Kind::Text, piece);
                sent.push(Record::Text(packet));
            }
            _ => {
                let marked = [&[4][..], piece].concat();
                let payload = if revision == Revision::V3 { &marked } else { piece };
                frame::write_message(&mut frames, Kind::Binary, payload);
                sent.push(Record::Binary(piece.to_vec()));
            }
        }
    }

    let mut at = 0;
    let mut expected = sent.iter();
    while at < frames.len() {
        let mut answer = Answer::new(revision, b64, limit.max(1));
        let taken = answer.push_frames(&frames[at..]);
        assert!(taken > 0, "an answer takes at least one frame");
        at += taken;
        if answer.is_empty() {
            continue;
        }
        let (body, kind) = answer.finish();
        let got: Vec<_> = Records::new(&body, revision, kind == "application/octet-stream").collect();
        assert!(got.len() <= POLL_PACKETS_OUT);
        for record in got {
            assert_eq!(record.as_ref().ok(), expected.next(), "{}", body.escape_ascii());
        }
    }
    assert_eq!(expected.next(), None, "everything has been answered");
}

/// The messages of a session: one packet of the other parser; or texts and attachments (a piece that begins with 254)
/// with a byte between them that no text has. What is read is written and read again.
pub fn socketio_packets(data: &[u8]) {
    if let Ok(packet) = msgpack::decode(data) {
        same_in_msgpack(&packet);
    }
    let (mut decoder, mut of_server) = (Decoder::default(), ServerDecoder::default());
    for piece in data.split(|&byte| byte == 255) {
        let packet = match (piece, std::str::from_utf8(piece)) {
            (_, Ok(text)) => {
                let _ = of_server.receive_text(text);
                decoder.receive_text(text)
            }
            ([254, attachment @ ..] | attachment, Err(_)) => {
                let attachment = Bytes::copy_from_slice(attachment);
                let _ = of_server.receive_binary(attachment.clone());
                decoder.receive_binary(attachment)
            }
        };
        match packet {
            Ok(Some(packet)) => {
                same_in_text(&packet);
                same_in_msgpack(&packet);
            }
            Ok(None) => {}
            Err(_) => decoder = Decoder::default(),
        }
    }
}

fn same_in_text(packet: &Packet) {
    let mut out = Vec::new();
    let mut attachments = &[][..];
    match packet {
        Packet::Connect { namespace, auth } => {
            let auth = auth.as_ref().map(|auth| auth.text());
            enter(&mut out, namespace, Entry { auth, ..Entry::default() });
        }
        Packet::Disconnect { namespace } => encode::disconnect(&mut out, namespace),
        Packet::Event { namespace, id, event, arguments } => {
            encode::event(&mut out, namespace, *id, event, arguments, None);
            attachments = arguments.attachments();
        }
        Packet::Ack { namespace, id, arguments } => {
            encode::ack(&mut out, namespace, *id, arguments);
            attachments = arguments.attachments();
        }
    }
    let text = std::str::from_utf8(&out).expect("packets are text");
    let mut decoder = Decoder::default();
    let mut again = decoder.receive_text(text);
    for attachment in attachments {
        assert_eq!(again, Ok(None), "{text}");
        again = decoder.receive_binary(attachment.clone());
    }
    assert_eq!(again.as_ref().map(Option::as_ref), Ok(Some(packet)), "{text}");
}

/// Written once, a packet stays as it is: the first writing may change how a number is spelled.
fn same_in_msgpack(packet: &Packet) {
    let Some(once) = in_msgpack(packet) else { return };
    let twice = in_msgpack(&once);
    assert_eq!(Some(&once), twice.as_ref(), "{packet:?}");
}

fn in_msgpack(packet: &Packet) -> Option<Packet> {
    let mut out = Vec::new();
    match packet {
        // What a client shows at the door is not written by a server.
        Packet::Connect { .. } => return None,
        Packet::Disconnect { namespace } => msgpack::disconnect(&mut out, namespace),
        Packet::Event { namespace, id, event, arguments } => {
            msgpack::event(&mut out, namespace, *id, event, arguments, None);
        }
        Packet::Ack { namespace, id, arguments } => msgpack::ack(&mut out, namespace, *id, arguments),
    }
    Some(msgpack::decode(&out).expect("what is written can be read"))
}
