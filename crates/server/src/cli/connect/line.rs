//! What a typed line means in the chat.

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Text for the room.
    Say(&'a str),
    /// Text for one person.
    Tell {
        name: String,
        text: &'a str,
    },
    Join(&'a str),
    Leave,
    Who,
    Rooms,
    Help,
    Quit,
    Nothing,
    /// The sentence says what is wrong.
    Wrong(String),
}

pub(super) const HELP: &str = "\
  /join ROOM       go to a room
  /leave           leave this room
  /msg NAME TEXT   write to one person ('/msg \"Ann B\" hi' for a name with spaces)
  /who             who is here
  /rooms           which rooms there are
  /quit            end (Ctrl-D does too)
  //text           say something that begins with a slash";

impl<'a> Line<'a> {
    pub(super) fn parse(line: &'a str) -> Self {
        let line = line.trim_end();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Line::Nothing } else { Line::Say(line) };
        };
        if command.starts_with('/') {
            return Line::Say(command);
        }
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim();
        match word {
            "join" | "j" if !rest.is_empty() => Line::Join(rest),
            "join" | "j" => Line::Wrong("which room? As in: /join lobby".to_owned()),
            "leave" => Line::Leave,
            "msg" | "w" => Self::tell(rest),
            "who" => Line::Who,
            "rooms" => Line::Rooms,
            "help" | "?" => Line::Help,
            "quit" | "exit" | "q" => Line::Quit,
            _ => Line::Wrong(format!("there is no /{word}; /help lists what there is")),
        }
    }

    fn tell(rest: &'a str) -> Self {
        let (name, text) = match rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((name, text)) => (name, text.trim()),
            None => rest.split_once(' ').map_or((rest, ""), |(name, text)| (name, text.trim())),
        };
        if name.is_empty() || text.is_empty() {
            return Line::Wrong("to whom, and what? As in: /msg bob psst".to_owned());
        }
        Line::Tell { name: name.to_owned(), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        for (line, expected) in [
            ("hi there ", Line::Say("hi there")),
            ("  indented", Line::Say("  indented")),
            ("", Line::Nothing),
            ("//etc", Line::Say("/etc")),
            ("/join ops", Line::Join("ops")),
            ("/msg bob psst now", Line::Tell { name: "bob".into(), text: "psst now" }),
            ("/msg \"Ann B\" hi", Line::Tell { name: "Ann B".into(), text: "hi" }),
            ("/who", Line::Who),
            ("/quit", Line::Quit),
            ("/msg bob", Line::Wrong("to whom, and what? As in: /msg bob psst".into())),
            ("/join", Line::Wrong("which room? As in: /join lobby".into())),
            ("/dance", Line::Wrong("there is no /dance; /help lists what there is".into())),
        ] {
            assert_eq!(Line::parse(line), expected, "{line}");
        }
    }
}
