//! The chat in a terminal: lines go to a room, what happens is printed.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use parlor_client::wire::{Member, ServerMessage};
use parlor_client::{Client, Error, Event, Events, Message};
use parlor_proto::native::command::Command;

use super::super::show::{Style, Table, count, harmless};
use super::input::Input;
use super::line::{HELP, Line};

#[derive(Debug)]
pub(super) struct Chat {
    client: Client,
    /// The rooms that were joined; what is typed goes to the last.
    rooms: Vec<String>,
    style: Style,
    name: String,
}

/// Tries of a line that the server asks to send again later; a pipe is faster than the limits for people.
const TRIES: u32 = 100;

impl Chat {
    /// `rooms` are joined in their order; the first one is typed to.
    pub(super) fn new(client: Client, mut rooms: Vec<String>) -> Self {
        rooms.reverse();
        Self { client, rooms, style: Style::stdout(), name: String::new() }
    }

    pub(super) async fn run(&mut self, events: &mut Events, mut input: Input, last: u32) -> Result<()> {
        let client = self.client.clone();
        let rooms = self.rooms.clone();
        let join = async {
            for room in &rooms {
                client.join(room, last).await?;
            }
            Ok::<(), Error>(())
        };
        tokio::pin!(join);
        let mut joining = true;
        while joining {
            tokio::select! {
                joined = &mut join => {
                    joined?;
                    joining = false;
                }
                event = events.next() => self.event(event)?,
            }
        }
        self.note(
            &format!(
                "you are {} in {}; /help lists what you can do, Ctrl-D ends",
                harmless(&self.name),
                self.rooms.iter().rev().map(|room| harmless(room)).collect::<Vec<_>>().join(", ")
            ),
            input.terminal,
        );
        loop {
            tokio::select! {
                line = input.next() => match line? {
                    Some(line) => if !self.line(&line, events, input.terminal).await? {
                        return Ok(());
                    },
                    None => return Ok(()),
                },
                event = events.next() => self.event(event)?,
            }
        }
    }

    /// Does what a line asks for; `false` ends the chat.
    async fn line(&mut self, line: &str, events: &mut Events, terminal: bool) -> Result<bool> {
        // A pipe carries text; only people type commands.
        let line = if terminal || line.starts_with("/msg ") || line.starts_with("/join ") {
            Line::parse(line)
        } else if line.trim().is_empty() {
            Line::Nothing
        } else {
            Line::Say(line)
        };
        match line {
            Line::Nothing => {}
            Line::Quit => return Ok(false),
            Line::Help => self.note(HELP, true),
            Line::Wrong(sentence) => self.note(&sentence, true),
            Line::Say(text) => match self.rooms.last().cloned() {
                Some(room) => self.send(Message::to_room(room, &text)?.without_echo(), events).await?,
                None => self.note("you are in no room; /join lobby takes you to one", true),
            },
            Line::Tell { name, text } => self.send(Message::to_user(name, &text)?, events).await?,
            Line::Join(room) => {
                let room = room.to_owned();
                let client = self.client.clone();
                let joined = self.during(client.join(&room, 10), events).await?;
                match joined {
                    Ok(_) => {
                        self.rooms.retain(|known| *known != room);
                        self.note(&format!("you are in {}", harmless(&room)), true);
                        self.rooms.push(room);
                    }
                    Err(error) => self.failed("not joined", error)?,
                }
            }
            Line::Leave => {
                if let Some(room) = self.rooms.pop() {
                    let client = self.client.clone();
                    if let Err(error) = self.during(client.leave(&room), events).await? {
                        self.failed("not left", error)?;
                    }
                    let next = self.rooms.last().map_or_else(
                        || "you are in no room now".to_owned(),
                        |room| format!("you are in {} now", harmless(room)),
                    );
                    self.note(&next, true);
                }
            }
            Line::Who => self.who(events).await?,
            Line::Rooms => self.list_rooms(events).await?,
        }
        Ok(true)
    }

    /// Sends, printing what happens meanwhile, until the server has it.
    async fn send(&mut self, message: Message, events: &mut Events) -> Result<()> {
        let mut message = message;
        for _ in 0..TRIES {
            let client = self.client.clone();
            let sent = self.during(client.send(&message), events).await?;
            let wait = match sent {
                Ok(_) => return Ok(()),
                Err(Error::Refused(refused)) if refused.code == "no_log" => {
                    // The room keeps nothing, so it knows no keys.
                    message = message.without_key();
                    Duration::ZERO
                }
                Err(Error::Refused(refused)) if matches!(&*refused.code, "rate_limited" | "busy") => {
                    refused.retry_after.unwrap_or(Duration::from_secs(1))
                }
                Err(error) => return self.failed("not sent", error),
            };
            self.during(tokio::time::sleep(wait), events).await?;
        }
        self.note("not sent: the server asks to wait again and again", true);
        Ok(())
    }

    async fn who(&mut self, events: &mut Events) -> Result<()> {
        let Some(room) = self.rooms.last().cloned() else {
            self.note("you are in no room; /join lobby takes you to one", true);
            return Ok(());
        };
        let client = self.client.clone();
        match self.during(client.members(&room), events).await? {
            Ok(members) => {
                let names = names(&members.members);
                self.note(&format!("{} in {}: {names}", count(members.count, "user"), harmless(&room)), true);
                Ok(())
            }
            Err(error) => self.failed("no list", error),
        }
    }

    async fn list_rooms(&mut self, events: &mut Events) -> Result<()> {
        let client = self.client.clone();
        let command = Command::Rooms { prefix: None, after: None, limit: None };
        match self.during(client.request(&command), events).await? {
            Ok(ServerMessage::Rooms(rooms)) => {
                let mut table = Table::new(["ROOM", "HERE", "UNREAD"]);
                for room in &rooms.rooms {
                    let unread = room.unread.map_or_else(|| "-".to_owned(), |unread| unread.to_string());
                    table.row([harmless(&room.room), room.count.to_string(), unread]);
                }
                Ok(table.write(&mut io::stdout().lock())?)
            }
            Ok(_) => Ok(()),
            Err(error) => self.failed("no list", error),
        }
    }

    /// Waits for `work` and prints what happens meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = T>, events: &mut Events) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = events.next() => self.event(event)?,
            }
        }
    }

    fn event(&mut self, event: Option<Event>) -> Result<()> {
        let Some(event) = event else { return Err(Error::Closed.into()) };
        match event {
            Event::Welcome(welcome) => self.name = welcome.name,
            Event::Message(message) => self.print(&self.style.message(&message, self.rooms.len() > 1))?,
            Event::Direct(direct) => self.print(&self.style.direct(&direct))?,
            Event::Presence(presence) => {
                let room = harmless(&presence.room);
                let others = |members: Vec<Member>| -> Vec<Member> {
                    members.into_iter().filter(|member| member.name != self.name).collect()
                };
                for (members, what) in [(others(presence.joined), "came to"), (others(presence.left), "left")]
                {
                    if !members.is_empty() {
                        self.note(&format!("{} {what} {room}", names(&members)), true);
                    }
                }
            }
            Event::Joined(joined) if joined.recovered == Some(false) => {
                let room = harmless(&joined.room.unwrap_or_default());
                let why = harmless(&joined.reason.unwrap_or_default());
                self.note(&format!("some messages of {room} were missed ({why})"), true);
            }
            Event::JoinRefused { room, refused } => {
                self.rooms.retain(|known| *known != room);
                self.note(&format!("{} is closed to you: {refused}", harmless(&room)), true);
            }
            Event::Error(refused) => self.note(&refused.to_string(), true),
            Event::Waiting { wait, error } => {
                self.note(&format!("{error}; trying again in {:.1} s", wait.as_secs_f64()), true);
            }
            Event::Closed(error) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    /// A refusal is told and the chat goes on; an end is an end.
    fn failed(&self, what: &str, error: Error) -> Result<()> {
        match error {
            Error::Closed | Error::Ended { .. } => Err(error.into()),
            error => {
                self.note(&format!("{what}: {error}"), true);
                Ok(())
            }
        }
    }

    fn print(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// What is not a message goes to stderr, so that a pipe gets messages only.
    fn note(&self, text: &str, wanted: bool) {
        if wanted {
            eprintln!("{}", self.style.quiet(&format!("-- {text}")));
        }
    }
}

fn names(members: &[Member]) -> String {
    members.iter().map(|member| harmless(&member.name)).collect::<Vec<_>>().join(", ")
}
