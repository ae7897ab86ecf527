//! What a shard queues when publications come together: one run of bytes per subscriber, the answers behind it.

use std::sync::Arc;

use parlor_hub::command::{Command, Publish, Reply, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_hub::shard::{Event, Shard};
use parlor_proto::name::RoomName;

const NOW: u64 = 1_790_000_000_000;

fn shard() -> Shard {
    let hub = Hub::start(
        Arc::new(MemoryEngine::new([7; 16])),
        vec![Arc::new(Mailbox::new(|| {}))],
        Policies::new(Policy::stock),
        false,
    );
    Shard::new(hub, 0)
}

/// Empties the mailbox and gives the tickets of the replies.
fn receive(shard: &mut Shard) -> Vec<u64> {
    let mut tickets = Vec::new();
    while shard.receive_mail(NOW, |shard, event| {
        if let Event::Reply { ticket, result, connection } = event {
            if let Ok(Reply::Published { .. }) = result {
                // Whoever is answered has the message in its outbox already.
                let waits = shard.outbox(connection.slot()).unwrap().len();
                assert!(waits > 0, "the answer overtook the message");
            }
            tickets.push(ticket.0);
        }
    }) {}
    tickets
}

fn publish(room: &RoomName, number: u64) -> Command {
    Command::Publish(Publish::new(room.clone(), number.to_string()))
}

#[test]
fn publications_that_come_together_are_one_chunk_though_each_is_answered() {
    for name in ["live:a", "memory:a", "a"] {
        let room = RoomName::internal(name);
        let mut shard = shard();
        let people = [1, 2].map(|random| shard.connect(random, None, WireFormat::Native));
        for person in people {
            shard.execute(
                person,
                Ticket(0),
                Command::Join { room: room.clone(), begin: None, format: None },
                NOW,
            );
            receive(&mut shard);
            shard.drop_queued(person.slot());
        }
        for number in 1..=8 {
            shard.execute(people[0], Ticket(number), publish(&room, number), NOW);
        }
        assert_eq!(receive(&mut shard), [1, 2, 3, 4, 5, 6, 7, 8], "{name}");
        for person in people {
            let chunk = shard.outbox(person.slot()).unwrap().single().expect("one chunk, so one plain write");
            let text = String::from_utf8_lossy(chunk);
            let data: Vec<&str> =
                text.match_indices("\"data\":").map(|(at, _)| &text[at + 7..at + 8]).collect();
            assert_eq!(data, ["1", "2", "3", "4", "5", "6", "7", "8"], "{name}");
        }
    }
}
