//! Compressed messages (RFC 7692 sections 6 and 7.2), in literal bytes and through both roles.

mod ws_common;

use parlor_proto::ws::deflate::{Agreement, Compressor};
use parlor_proto::ws::{Config, Failure, Kind, Role, frame};
use ws_common::*;

fn config(agreement: Agreement) -> Config {
    Config { deflate: Some(agreement), compress_from: 0, ..Config::default() }
}

fn peer(role: Role) -> Peer {
    Peer::new(role, &config(Agreement::default()))
}

/// Some compressible text.
fn prose(len: usize) -> String {
    let words = ["room ", "message ", "lobby ", "alice ", "said ", "hello ", "to ", "bob "];
    let mut state = 1u32;
    let mut text = String::new();
    while text.len() < len {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        text.push_str(words[(state >> 16) as usize % words.len()]);
    }
    text.truncate(len);
    text
}

// Section 7.2.3: the examples.

#[test]
fn the_examples_of_the_rfc_inflate() {
    fn check(frames: &[u8], expected: &[&str]) {
        let expected: Vec<Got> = expected.iter().copied().map(text).collect();
        assert_eq!(peer(Role::Client).receive(frames), expected);
        assert_eq!(peer(Role::Client).receive_slowly(frames), expected);
    }
    check(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", &["Hello"]);
    check(b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00", &["Hello"]);
    check(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00", &["Hello", "Hello"]);
    check(b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", &["Hello"]);
    check(b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00", &["Hello"]);
    check(b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", &["Hello"]);
    check(b"\xc1\x01\x00", &[""]);
    check(b"\x81\x05Hello\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", &["Hello", "Hello"]);
}

// Section 7.2.3.4: BFINAL ends a block, not the connection, and not even the message.
#[test]
fn a_stream_that_was_ended_goes_on_with_the_next_block() {
    let ended = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let mut message = ended.to_vec();
    message.extend(ended);
    message.push(0);
    let mut server = peer(Role::Server);
    for _ in 0..2 {
        assert_eq!(server.receive(&masked(0xc1, &message)), [text("HelloHello")]);
    }
    assert_eq!(server.receive(&masked(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")), [text("Hello")]);
}

#[test]
fn what_is_sent_is_what_the_rfc_shows() {
    let mut server = peer(Role::Server);
    assert_eq!(server.message(Kind::Text, b"Hello"), b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_eq!(server.message(Kind::Text, b"Hello"), b"\xc1\x05\xf2\x00\x11\x00\x00", "refers to the first");
    assert_eq!(server.message(Kind::Text, b""), b"\xc1\x01\x00");
    assert_eq!(server.message(Kind::Text, b""), b"\xc1\x01\x00");

    let fresh = Agreement { server_no_context_takeover: true, ..Agreement::default() };
    let mut server = Peer::new(Role::Server, &config(fresh));
    for _ in 0..2 {
        assert_eq!(server.message(Kind::Text, b"Hello"), b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
    }
}

#[test]
fn what_one_compressor_makes_is_for_all_who_take_it() {
    let mut shared = Compressor::shared();
    for _ in 0..2 {
        let mut hello = Vec::new();
        shared.compress(b"Hello", &mut hello);
        assert_eq!(hello, b"\xf2\x48\xcd\xc9\xc9\x07\x00", "refers to nothing before it");
    }
    let text = prose(64 * 1024);
    let mut compressed = Vec::new();
    shared.compress(text.as_bytes(), &mut compressed);
    let mut frame = Vec::new();
    frame::write_header(&mut frame, true, true, frame::Opcode::Text, compressed.len());
    frame.extend(compressed);
    for (fresh, bits, takes) in [(true, 15, true), (true, 12, true), (true, 11, false), (false, 15, false)] {
        let agreement = Agreement {
            server_no_context_takeover: fresh,
            server_max_window_bits: bits,
            ..Agreement::default()
        };
        assert_eq!(agreement.takes_shared(), takes, "{agreement}");
        if takes {
            assert_eq!(Peer::new(Role::Client, &config(agreement)).receive(&frame), [self::text(&text)]);
        }
    }
}

#[test]
fn short_messages_are_not_compressed() {
    let mut server =
        Peer::new(Role::Server, &Config { deflate: Some(Agreement::default()), ..Config::default() });
    assert_eq!(server.message(Kind::Text, &[b'a'; 1023])[..4], *b"\x81\x7e\x03\xff");
    assert_eq!(server.message(Kind::Text, &[b'a'; 1024])[0], 0xc1);
}

#[test]
fn every_agreement_carries_messages_both_ways() {
    for (server_fresh, client_fresh, server_bits, client_bits) in [
        (false, false, 15, 15),
        (true, false, 9, 15),
        (false, true, 15, 9),
        (true, true, 12, 12),
        (false, false, 8, 8),
    ] {
        let agreement = Agreement {
            server_no_context_takeover: server_fresh,
            client_no_context_takeover: client_fresh,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        };
        let mut server = Peer::new(Role::Server, &config(agreement));
        let mut client = Peer::new(Role::Client, &config(agreement));
        for len in [0, 1, 5, 600, 5, 70_000, 300, 200_000, 0, 0, 10] {
            let sent = prose(len);
            let bytes = server.message(Kind::Text, sent.as_bytes());
            assert_eq!(
                bytes[0] & 0x40 != 0,
                server_bits > 8,
                "without a window of its size zlib is not used"
            );
            assert!(server_bits == 8 || len < 300 || bytes.len() < len / 2);
            assert_eq!(client.receive(&bytes), [text(&sent)], "{agreement} {len}");
            let bytes = client.message(Kind::Binary, sent.as_bytes());
            assert_eq!(server.receive(&bytes), [Binary(sent.into_bytes())], "{agreement} {len}");
        }
    }
}

#[test]
fn what_does_not_shrink_still_arrives() {
    let mut state = 1u64;
    let noise: Vec<u8> = (0..100_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let bytes = peer(Role::Server).message(Kind::Binary, &noise);
    assert_eq!(peer(Role::Client).receive(&bytes), [Binary(noise)]);
}

// Section 6: which frames may carry the bit.

#[test]
fn the_bit_stands_on_first_frames_of_messages_only() {
    fn check(frames: &[u8]) {
        let events = peer(Role::Server).receive(frames);
        assert_eq!(events, [Failed(Failure::ReservedBits)], "{}", frames.escape_ascii());
    }
    check(&masked(0xc9, b""));
    check(&masked(0xc8, b""));
    check(&[masked(0x41, b"\xf2"), masked(0xc0, b"\x48")].concat());
    check(&[masked(0x01, b"a"), masked(0xc0, b"b")].concat());
    check(&masked(0xa1, b""));
    check(&masked(0x91, b""));
    assert_eq!(Peer::server().receive(&masked(0xc1, b"\x00")), [Failed(Failure::ReservedBits)]);
}

// Bad content and limits.

#[test]
fn what_does_not_inflate_is_refused() {
    fn check(payload: &[u8], failure: Failure) {
        let mut server = peer(Role::Server);
        assert_eq!(server.receive(&masked(0xc1, payload)), [Failed(failure)]);
        assert_eq!(server.transmit(), close_frame(1007, failure.reason()));
    }
    check(b"\xff\xff\xff", Failure::BadDeflate);
    check(b"\x07\x00", Failure::BadDeflate);
    // "Hello" with a byte that is not UTF-8 in it, stored.
    check(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\xff\x6f\x00", Failure::BadUtf8);
    // Half a character.
    check(b"\x00\x01\x00\xfe\xff\xce\x00", Failure::BadUtf8);
}

#[test]
fn text_is_refused_at_its_first_bad_byte_even_compressed() {
    let stored = b"\x00\x05\x00\xfa\xff\x48\xff\x6c\x6c\x6f\x00";
    let frame = masked(0xc1, stored);
    let header = frame.len() - stored.len();
    let mut server = peer(Role::Server);
    assert_eq!(server.receive_slowly(&frame[..header + 6]), []);
    assert_eq!(server.receive_slowly(&frame[header + 6..]), [Failed(Failure::BadUtf8)]);
}

#[test]
fn a_bomb_goes_off_at_the_limit() {
    let mut bomb = Vec::new();
    Compressor::new(15, 9).compress(&vec![0; 4 * 1024 * 1024], &mut bomb);
    assert!(bomb.len() < 5_000);
    let mut frame = Vec::new();
    frame::write_header(&mut frame, true, true, frame::Opcode::Binary, bomb.len());
    frame.extend(bomb);
    let mut client = peer(Role::Client);
    // One megabyte is the limit; a thousandth of it on the wire shows that it is passed, though more would follow.
    assert_eq!(client.receive(&frame[..2000]), [Failed(Failure::MessageTooBig)]);
}

#[test]
fn the_limit_counts_what_was_inflated() {
    let agreement = Agreement::default();
    let small = Config { max_message: 1000, ..config(agreement) };
    for (len, fits) in [(1000, true), (1001, false)] {
        let bytes = Peer::new(Role::Client, &config(agreement)).message(Kind::Text, prose(len).as_bytes());
        let events = Peer::new(Role::Server, &small).receive(&bytes);
        assert_eq!(events == [text(&prose(len))], fits);
        assert_eq!(events == [Failed(Failure::MessageTooBig)], !fits);
    }
}

#[test]
fn frames_that_inflate_to_nothing_come_to_an_end() {
    let mut server = Peer::new(Role::Server, &Config { max_message: 1000, ..config(Agreement::default()) });
    let nothing = b"\x00\x00\x00\xff\xff".repeat(1000);
    assert_eq!(server.receive(&masked(0x41, &nothing)), []);
    let more = (0..20).flat_map(|_| server.receive(&masked(0x00, &nothing))).collect::<Vec<_>>();
    assert_eq!(more, [Failed(Failure::MessageTooBig)]);
    let claim = b"\xc1\xff\x00\x00\x00\x00\x7f\xff\xff\xff\0\0\0\0";
    assert_eq!(peer(Role::Server).receive(claim), [Failed(Failure::MessageTooBig)]);
}

// One compressor for many.

#[test]
fn a_shared_compressor_serves_all_who_agreed_on_no_takeover() {
    let agreement =
        Agreement { server_no_context_takeover: true, server_max_window_bits: 10, ..Agreement::default() };
    let mut shared = Compressor::new(10, 3);
    let mut clients = [(); 3].map(|()| Peer::new(Role::Client, &config(agreement)));
    for len in [5000, 20, 5000] {
        let sent = prose(len);
        let mut payload = Vec::new();
        shared.compress(sent.as_bytes(), &mut payload);
        let mut bytes = Vec::new();
        frame::write_header(&mut bytes, true, true, frame::Opcode::Text, payload.len());
        bytes.extend(payload);
        for client in &mut clients {
            assert_eq!(client.receive(&bytes), [text(&sent)]);
        }
    }
}
