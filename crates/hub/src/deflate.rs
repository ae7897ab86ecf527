//! The compressed form of a frame that many connections share. Each publication is compressed alone: were somebody's
//! words in one message with another's secret, the length would tell of it (CRIME).

use std::cell::RefCell;

use bytes::Bytes;
use parlor_proto::limits::COMPRESS_FROM;
use parlor_proto::ws::Role;
use parlor_proto::ws::deflate::Compressor;
use parlor_proto::ws::frame::{Header, MAX_HEADER, write_header};

thread_local! {
    /// Made when a worker first needs it: 260 KB.
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::shared());
}

/// A server's frame compressed (RFC 7692 section 7.2.1), or as it is if that gains nothing.
pub(crate) fn deflated(frame: Bytes) -> Bytes {
    let Ok(Some((header, used))) = Header::parse(&frame, Role::Client) else { return frame };
    let payload = &frame[used..];
    if payload.len() < COMPRESS_FROM {
        return frame;
    }
    let mut compressed = Vec::new();
    COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(payload, &mut compressed));
    #[cfg(test)]
    tests::TIMES.set(tests::TIMES.get() + 1);
    if compressed.len() >= payload.len() {
        return frame;
    }
    let mut whole = Vec::with_capacity(MAX_HEADER + compressed.len());
    write_header(&mut whole, true, true, header.opcode, compressed.len());
    whole.extend_from_slice(&compressed);
    whole.into()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Instant;

    use parlor_proto::name::RoomName;
    use parlor_proto::ws::deflate::{Agreement, Offer, Settings, accept};
    use parlor_proto::ws::frame::write_message;
    use parlor_proto::ws::{Config, Connection, Event, Kind};

    use super::*;
    use crate::command::{Command, Publish, Ticket};
    use crate::encode::WireFormat;
    use crate::hub::Hub;
    use crate::mailbox::Mailbox;
    use crate::memory::MemoryEngine;
    use crate::policy::{Policies, Policy};
    use crate::{ConnectionId, Shard};

    thread_local! {
        /// How often this thread has compressed something.
        pub(super) static TIMES: Cell<u64> = const { Cell::new(0) };
    }

    const NOW: u64 = 1_790_000_000_000;

    fn receive(shards: &mut [Shard]) {
        while shards.iter_mut().any(|shard| shard.receive_mail(NOW, |_, _| {})) {}
    }

    fn publish(shards: &mut [Shard], by: ConnectionId, text: &str) {
        let publish = Publish::new(RoomName::internal("memory:talk"), format!("\"{text}\""));
        shards[0].execute(by, Ticket(1), Command::Publish(publish), NOW);
        receive(shards);
    }

    /// What a client reads that has agreed to the server's answer to the plainest offer.
    fn inflated(mut frame: Vec<u8>) -> String {
        let deflate: Option<Agreement> = accept(&[Offer::default()], &Settings::default());
        let mut client = Connection::new(Role::Client, &Config { deflate, ..Config::default() });
        let mut received = client.receive(Instant::now(), &mut frame);
        match received.poll_event() {
            Some(Event::Text(text)) => text.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_publication_is_compressed_once_for_all_who_agreed() {
        let mailboxes = vec![Arc::new(Mailbox::new(|| {})), Arc::new(Mailbox::new(|| {}))];
        let engine = Arc::new(MemoryEngine::new([7; 16]));
        let hub = Hub::start(engine, mailboxes, Policies::new(Policy::stock), false);
        let mut shards = [0, 1].map(|worker| Shard::new(Arc::clone(&hub), worker));
        let formats = [WireFormat::Native, WireFormat::NativeDeflated];
        let mut people = Vec::new();
        for number in 0..40 {
            let (worker, format) = (number % 2, formats[number / 20]);
            let person = shards[worker].connect(number as u128 + 1, None, format);
            let join = Command::Join { room: RoomName::internal("memory:talk"), begin: None, format: None };
            shards[worker].execute(person, Ticket(0), join, NOW);
            people.push((worker, person, format));
        }
        receive(&mut shards);
        let heard = |shards: &mut [Shard], text: &str| {
            people.iter().for_each(|(worker, person, _)| shards[*worker].drop_queued(person.slot()));
            let before = TIMES.get();
            publish(shards, people[0].1, text);
            let of = |format| {
                let who = people.iter().filter(move |(_, _, speaks)| *speaks == format);
                let mut heard: Vec<Vec<u8>> = who
                    .map(|(worker, person, _)| {
                        shards[*worker].outbox(person.slot()).unwrap().single().expect("one frame").to_vec()
                    })
                    .collect();
                heard.dedup();
                assert_eq!(heard.len(), 1, "all get the same");
                heard.remove(0)
            };
            let [plain, compressed] = formats.map(of);
            (TIMES.get() - before, plain, compressed)
        };

        let (times, plain, compressed) = heard(&mut shards, &"what is said again and again, ".repeat(100));
        assert_eq!(times, 1, "for twenty subscribers on two workers");
        assert_eq!((plain[0], compressed[0]), (0x81, 0xc1));
        assert!(compressed.len() * 10 < plain.len(), "{} of {} bytes", compressed.len(), plain.len());
        assert_eq!(inflated(compressed), inflated(plain));

        let (times, plain, compressed) = heard(&mut shards, "short");
        assert_eq!((times, plain), (0, compressed));
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        let mut state = 1_u32;
        let noise = (0..COMPRESS_FROM).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let mut frame = Vec::new();
        write_message(&mut frame, Kind::Binary, &noise.collect::<Vec<_>>());
        let frame = Bytes::from(frame);
        assert_eq!(deflated(frame.clone()), frame);
    }
}
