//! The parser's simple twin: the same rules, written down for a buffer that is all there and without compression.

use parlor_proto::ws::{ClosedBy, Config, Failure, Role};

use super::Got;

/// Everything that `bytes`, sent to `role`, mean.
pub fn events(role: Role, config: &Config, bytes: &[u8]) -> Vec<Got> {
    let mut model = Model { events: Vec::new(), message: None };
    let _ = model.run(role, config, bytes);
    model.events
}

struct Model {
    events: Vec<Got>,
    /// Whether the message under way is text, its payload so far, and its frames.
    message: Option<(bool, Vec<u8>, u32)>,
}

/// The end of what can be said; the events say why.
struct End;

impl Model {
    fn run(&mut self, role: Role, config: &Config, mut bytes: &[u8]) -> Result<(), End> {
        while let Some(&first) = bytes.first() {
            let (fin, opcode) = (first >= 0x80, first & 0x0f);
            self.refuse(first & 0x30 != 0, Failure::ReservedBits)?;
            self.refuse(!matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10), Failure::ReservedOpcode)?;
            self.refuse(opcode >= 8 && !fin, Failure::FragmentedControl)?;

            let second = *bytes.get(1).ok_or(End)?;
            let masked = second >= 0x80;
            self.refuse(role == Role::Server && !masked, Failure::Unmasked)?;
            self.refuse(role == Role::Client && masked, Failure::Masked)?;
            let short = second & 0x7f;
            self.refuse(opcode >= 8 && short > 125, Failure::LongControl)?;
            let extra = [0, 2, 8][match short {
                126 => 1,
                127 => 2,
                _ => 0,
            }];
            let digits = bytes.get(2..2 + extra).ok_or(End)?;
            let long = digits.iter().fold(0u64, |sum, digit| sum * 256 + u64::from(*digit));
            self.refuse(extra == 2 && long < 126, Failure::BadLength)?;
            self.refuse(extra == 8 && !(65536..1 << 63).contains(&long), Failure::BadLength)?;
            let len = if extra == 0 { u64::from(short) } else { long };
            let key_at = 2 + extra;
            let start = key_at + if masked { 4 } else { 0 };
            let key = bytes.get(key_at..start).ok_or(End)?;

            self.refuse(first & 0x40 != 0, Failure::ReservedBits)?;
            match (&mut self.message, opcode) {
                (None, 0) => return self.fail(Failure::UnexpectedContinuation),
                (Some(_), 1 | 2) => return self.fail(Failure::InterruptedMessage),
                (Some((_, payload, frames)), 0) => {
                    *frames += 1;
                    let (frames, before) = (*frames, payload.len() as u64);
                    self.refuse(frames > config.max_fragments, Failure::TooManyFragments)?;
                    self.refuse(
                        before.saturating_add(len) > config.max_message as u64,
                        Failure::MessageTooBig,
                    )?;
                }
                (None, 1 | 2) => {
                    self.refuse(len > config.max_message as u64, Failure::MessageTooBig)?;
                    self.message = Some((opcode == 1, Vec::new(), 1));
                }
                _ => {}
            }

            let there = (bytes.len() - start).min(usize::try_from(len).unwrap_or(usize::MAX));
            let payload: Vec<u8> = bytes[start..start + there]
                .iter()
                .enumerate()
                .map(|(i, byte)| if masked { byte ^ key[i % 4] } else { *byte })
                .collect();
            let whole = there as u64 == len;
            if opcode < 8 {
                self.data(fin && whole, &payload)?;
            } else if whole {
                self.control(opcode, payload)?;
            }
            bytes = &bytes[start + there..];
            if !whole {
                return Err(End);
            }
        }
        Ok(())
    }

    fn data(&mut self, complete: bool, payload: &[u8]) -> Result<(), End> {
        let Some((text, mut all, frames)) = self.message.take() else { return Ok(()) };
        all.extend_from_slice(payload);
        if text {
            match std::str::from_utf8(&all) {
                Ok(text) if complete => self.events.push(Got::Text(text.to_owned())),
                Ok(_) => {}
                Err(error) if !complete && error.error_len().is_none() => {}
                Err(_) => return self.fail(Failure::BadUtf8),
            }
        } else if complete {
            self.events.push(Got::Binary(all.clone()));
        }
        if !complete {
            self.message = Some((text, all, frames));
        }
        Ok(())
    }

    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), End> {
        match opcode {
            9 => self.events.push(Got::Ping(payload)),
            10 => self.events.push(Got::Pong(payload)),
            _ => {
                let (code, reason) = match payload.len() {
                    0 => (1005, Vec::new()),
                    1 => return self.fail(Failure::BadClosePayload),
                    _ => (u16::from_be_bytes([payload[0], payload[1]]), payload[2..].to_vec()),
                };
                let allowed = (1000..5000).contains(&code) && ![1004, 1006].contains(&code);
                let allowed =
                    allowed && !(1015..3000).contains(&code) && (code != 1005 || payload.is_empty());
                self.refuse(!allowed, Failure::BadCloseCode)?;
                match String::from_utf8(reason) {
                    Ok(reason) => self.events.push(Got::Closed(code, reason, ClosedBy::Peer)),
                    Err(_) => return self.fail(Failure::BadUtf8),
                }
                return Err(End);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, wrong: bool, failure: Failure) -> Result<(), End> {
        if wrong { self.fail(failure) } else { Ok(()) }
    }

    fn fail(&mut self, failure: Failure) -> Result<(), End> {
        self.events.push(Got::Failed(failure));
        Err(End)
    }
}
