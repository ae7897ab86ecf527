//! Every command is answered, also one that another came before.

use std::sync::Arc;

use parlor_hub::command::{Command, Reply, Ticket};
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::Begin;
use parlor_hub::hub::Hub;
use parlor_hub::mailbox::Mailbox;
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Policies, Policy};
use parlor_hub::shard::{Event, Shard};
use parlor_proto::name::RoomName;

const NOW: u64 = 1_790_000_000_000;

/// What is asked, one thing after the other without waiting, and the answer to each.
#[track_caller]
fn check(room: &str, asked: &[&str], answers: &[&str]) {
    let engine = Arc::new(MemoryEngine::new([7; 16]));
    let mailboxes = vec![Arc::new(Mailbox::new(|| {}))];
    let hub = Hub::start(engine, mailboxes, Policies::new(Policy::stock), false);
    let mut shard = Shard::new(Arc::clone(&hub), 0);
    let connection = shard.connect(1, None, WireFormat::Native);
    for (ticket, what) in asked.iter().enumerate() {
        let room = RoomName::internal(room);
        let command = match *what {
            "join" => Command::Join { room, begin: None, format: None },
            "last" => Command::Join { room, begin: Some(Begin::Last(5)), format: None },
            _ => Command::Leave { room },
        };
        shard.execute(connection, Ticket(ticket as u64), command, NOW);
    }
    let mut told = vec![Vec::new(); asked.len()];
    while shard.receive_mail(NOW, |_, event| {
        if let Event::Reply { ticket, result, .. } = event {
            told[ticket.0 as usize].push(match result {
                Ok(Reply::Joined(_)) => "joined",
                Ok(Reply::Left { .. }) => "left",
                Ok(_) => "something else",
                Err(refusal) => refusal.code.as_str(),
            });
        }
    }) {}
    let answers: Vec<_> = answers.iter().map(|answer| vec![*answer]).collect();
    assert_eq!(told, answers, "{room}: {asked:?}");
}

#[test]
fn every_join_is_answered_once_whatever_comes_before_it_is_done() {
    for room in ["logged", "memory:a", "live:a"] {
        check(room, &["join"], &["joined"]);
        check(room, &["join", "join"], &["not_joined", "joined"]);
        check(room, &["join", "leave"], &["not_joined", "left"]);
        check(room, &["join", "leave", "leave"], &["not_joined", "left", "not_joined"]);
        check(room, &["join", "leave", "join"], &["not_joined", "left", "joined"]);
        check(room, &["join", "join", "leave"], &["not_joined", "not_joined", "left"]);
    }
    check("logged", &["last", "join", "last"], &["not_joined", "not_joined", "joined"]);
}
