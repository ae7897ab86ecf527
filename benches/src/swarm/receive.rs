//! What arrives: frames of WebSockets, events, and the answers to polls.

use std::io::{ErrorKind, Read};

use memchr::memmem;

use super::{Carrier, LONGEST, Stage, Swarm};
use crate::clients::Step;
use crate::{http, wire};

impl Swarm {
    pub(super) fn readable<F>(&mut self, index: usize, ends: bool, each: &mut F)
    where
        F: FnMut(usize, &[u8]) -> bool,
    {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let connection = &mut self.connections[index];
            let start = connection.carry.len();
            buffer[..start].copy_from_slice(&connection.carry);
            match connection.stream.read(&mut buffer[start..]) {
                Ok(0) => {
                    self.close(index);
                    break;
                }
                Ok(count) => {
                    connection.carry.clear();
                    let end = start + count;
                    let at = self.bytes(index, &buffer[..end], each);
                    if end - at > LONGEST {
                        self.refuse("a frame that is too long for a benchmark");
                        self.close(index);
                        break;
                    }
                    self.connections[index].carry.extend_from_slice(&buffer[at..end]);
                    // A short read has emptied the socket; the next byte is a new event, but the end is not
                    // if it is already there.
                    if end < buffer.len() && !ends {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.close(index);
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    /// Walks what is whole in `bytes` and returns where the rest begins.
    fn bytes<F>(&mut self, index: usize, bytes: &[u8], each: &mut F) -> usize
    where
        F: FnMut(usize, &[u8]) -> bool,
    {
        let expected: &[u8] = match self.connections[index].carrier {
            Carrier::Polls(_) => return self.answers(index, bytes, each),
            Carrier::Events => b"HTTP/1.1 200 ",
            Carrier::WebSocket => b"HTTP/1.1 101 ",
        };
        let mut at = 0;
        if self.connections[index].stage == Stage::Head {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return 0 };
            if !bytes.starts_with(expected) {
                self.refuse(&String::from_utf8_lossy(bytes));
            }
            at = end + 4;
            self.connections[index].stage = Stage::Greeting;
            if self.client.ready_at_once() {
                self.make_ready(index);
            }
        }
        if let Carrier::Events = self.connections[index].carrier {
            return at + self.events(index, &bytes[at..], each);
        }
        while let Some(frame) = wire::frame(&bytes[at..]) {
            at += frame.length;
            match frame.opcode {
                wire::PING => self.send_frame(index, wire::PONG, frame.payload),
                wire::PONG => {}
                wire::CLOSE => self.refuse(&format!("closed: {}", String::from_utf8_lossy(frame.payload))),
                _ => {
                    if !each(index, frame.payload) {
                        self.other(index, frame.payload);
                    }
                }
            }
        }
        at
    }

    /// Walks the events that are whole. What frames chunks stands between them, and nobody looks at it.
    fn events<F>(&mut self, index: usize, bytes: &[u8], each: &mut F) -> usize
    where
        F: FnMut(usize, &[u8]) -> bool,
    {
        let mut at = 0;
        while let Some(end) = memmem::find(&bytes[at..], b"\n\n") {
            let event = &bytes[at..at + end];
            at += end + 2;
            if !each(index, event) {
                let data = memmem::find(event, b"data: ").map_or(&event[..0], |data| &event[data + 6..]);
                self.other(index, data);
            }
        }
        at
    }

    /// Walks the answers to a poller's requests; the next request leaves at once.
    fn answers<F>(&mut self, index: usize, bytes: &[u8], each: &mut F) -> usize
    where
        F: FnMut(usize, &[u8]) -> bool,
    {
        let mut at = 0;
        loop {
            let answer = match http::answer(&bytes[at..]) {
                Ok(Some(answer)) => answer,
                Ok(None) => return at,
                Err(error) => {
                    self.refuse(&format!("{error:#}"));
                    return bytes.len();
                }
            };
            at += answer.length;
            let Carrier::Polls(poller) = &mut self.connections[index].carrier else { return at };
            let (heard, begun) = (poller.hear(&answer), poller.has_begun());
            match heard {
                Ok(packets) => {
                    for packet in packets {
                        if !each(index, packet) {
                            self.other(index, packet);
                        }
                    }
                }
                Err(error) => self.refuse(&format!("{error:#}")),
            }
            if begun {
                self.make_ready(index);
            }
            self.ask(index);
        }
    }

    /// A packet that the scenario did not know: part of a greeting, a ping of Engine.IO, a refusal.
    fn other(&mut self, index: usize, payload: &[u8]) {
        match self.client.step(payload) {
            Step::Nothing => {}
            Step::Ready => self.make_ready(index),
            Step::Reply(text) => match &mut self.connections[index].carrier {
                Carrier::Polls(poller) => poller.say(&text),
                _ => self.send_frame(index, wire::TEXT, &text),
            },
            Step::Refused => self.refuse(&String::from_utf8_lossy(payload)),
        }
    }
}
