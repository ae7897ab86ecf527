//! The fuzzers' corpora of Engine.IO and Socket.IO, replayed, and the same bodies over a few random bytes.

mod socketio_common;

use std::path::Path;

use proptest::prelude::*;
use socketio_common::{engineio_payload, socketio_packets};

#[track_caller]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        body(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn the_corpora_of_the_fuzzers_hold() {
    replay("engineio_payload", engineio_payload);
    replay("socketio_packets", socketio_packets);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_hold_for_pieces_of_payloads(
        limit in any::<u8>(),
        pieces in proptest::collection::vec("(4.{0,12}|b[A-Za-z0-9+/=]{0,8}|\u{1e}|[0-9]{1,2}:)", 0..20),
    ) {
        engineio_payload(&[&[limit][..], pieces.concat().as_bytes()].concat());
    }

    #[test]
    fn packets_hold_for_pieces_of_packets(
        pieces in proptest::collection::vec("([0-6][1-3]?-?(/a,)?[0-9]{0,2}|\\[\"e\"(,[0-9]{1,3})*\\]|\\{\"a\":1\\}|\u{1})", 0..8),
    ) {
        let data: Vec<u8> = pieces.concat().bytes().map(|byte| if byte == 1 { 255 } else { byte }).collect();
        socketio_packets(&data);
    }
}
