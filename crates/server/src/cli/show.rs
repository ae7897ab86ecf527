//! How things look in a terminal: tables, times, and text from others made harmless.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, Local};
use parlor_client::wire::{Direct, Entry, Message};
use serde::Serialize;
use serde_json::value::RawValue;
use unicode_width::UnicodeWidthStr;

/// Columns that align, whatever the script.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Writes all rows; columns of numbers are aligned at their right.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns: [(usize, bool); N] = std::array::from_fn(|column| {
            let cells = || self.rows.iter().map(|row| &row[column]);
            let width = cells().map(|cell| cell.width()).max().unwrap_or(0);
            (width, cells().skip(1).all(|cell| is_number(cell)))
        });
        for row in &self.rows {
            let mut line = String::new();
            for (cell, (width, numbers)) in row.iter().zip(columns) {
                let blank = " ".repeat(width - cell.width());
                let (before, after) = if numbers { (&*blank, "") } else { ("", &*blank) };
                line.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number as it stands in a table; a dash is one that nobody knows.
fn is_number(cell: &str) -> bool {
    cell == "-" || cell.chars().all(|c| c.is_ascii_digit() || c == ',')
}

/// Text from somebody else: what would move the cursor, change colours or turn the direction of reading is shown as
/// its number. Line breaks stay and are indented, so that nobody can write a line in another's name.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\n    "),
            '\t' => shown.push(' '),
            c if c.is_control() || turns_direction(c) => shown.push_str(&format!("<{:04X}>", c as u32)),
            c => shown.push(c),
        }
    }
    shown
}

/// Unicode's explicit directional formatting characters (UAX 9 section 2).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `data` as people read it: the text itself if it is text, else the JSON.
pub(super) fn data(data: &RawValue) -> String {
    match serde_json::from_str::<String>(data.get()) {
        Ok(text) => harmless(&text),
        Err(_) => harmless(data.get()),
    }
}

/// A message as one line of JSON, `data` exactly as it was sent.
pub(super) fn json_line(entry: &Entry) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        r#type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pos: Option<&'a str>,
        event: &'a str,
        data: &'a RawValue,
        time: u64,
    }

    serde_json::to_string(&match entry {
        Entry::Message(message) => Line {
            r#type: "message",
            room: Some(&message.room),
            from: message.from.as_deref(),
            user: message.user.as_deref(),
            to: None,
            offset: message.offset,
            pos: message.pos.as_deref(),
            event: &message.event,
            data: &message.data,
            time: message.time,
        },
        Entry::Direct(direct) => Line {
            r#type: "direct",
            room: None,
            from: Some(&direct.from),
            user: Some(&direct.user),
            to: Some(&direct.to),
            offset: direct.offset,
            pos: direct.pos.as_deref(),
            event: &direct.event,
            data: &direct.data,
            time: direct.time,
        },
    })
}

/// A word for a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@=+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// 1234567 as 1,234,567.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// One thing and its number, as in "1 message", "2 messages".
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Lines for people, with colour where the terminal has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    colour: bool,
}

impl Style {
    /// For stdout; `NO_COLOR` (no-color.org) turns colour off.
    pub(super) fn stdout() -> Self {
        Self {
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        }
    }

    pub(super) fn quiet(self, text: &str) -> String {
        if self.colour { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn strong(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One line for one message; `room` stands in front where there are several.
    pub(super) fn message(self, message: &Message, room: bool) -> String {
        let from = message.from.as_deref().map_or_else(|| "(application)".to_owned(), harmless);
        let event = match message.event.as_str() {
            "message" => String::new(),
            event => format!("{}: ", harmless(event)),
        };
        let room = if room { format!("{}  ", self.quiet(&harmless(&message.room))) } else { String::new() };
        let (time, from) = (self.quiet(&time(message.time)), self.strong(&from));
        format!("{time}  {room}{from}  {event}{}", data(&message.data))
    }

    pub(super) fn direct(self, direct: &Direct) -> String {
        let who = self.strong(&format!("{} → {}", harmless(&direct.from), harmless(&direct.to)));
        format!("{}  {who}  {}", self.quiet(&time(direct.time)), data(&direct.data))
    }

    pub(super) fn entry(self, entry: &Entry) -> String {
        match entry {
            Entry::Message(message) => self.message(message, false),
            Entry::Direct(direct) => self.direct(direct),
        }
    }
}

/// Local time; with the date when it is not today.
fn time(ms: u64) -> String {
    let Some(time) = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis) else {
        return "--:--:--".to_owned();
    };
    let time = time.with_timezone(&Local);
    let today = time.date_naive() == Local::now().date_naive();
    time.format(if today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_others_cannot_take_over_the_terminal() {
        for (text, shown) in [
            ("hi 大家 😀", "hi 大家 😀"),
            ("\x1b[2J\x07", "<001B>[2J<0007>"),
            ("a\u{9b}31m", "a<009B>31m"),
            ("two\nann  lines", "two\n    ann  lines"),
            ("a\r\tb", "a<000D> b"),
            ("evil\u{202E}cod.exe", "evil<202E>cod.exe"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn columns_align_in_every_script() {
        let mut table = Table::new(["ROOM", "HERE"]);
        table.row(["大厅".into(), "12".into()]);
        table.row(["lobby".into(), "3".into()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ROOM   HERE\n大厅     12\nlobby     3\n");
    }

    #[test]
    fn words_are_quoted_for_a_shell_only_if_they_must() {
        for (text, expected) in [("ann", "ann"), ("ann b", "'ann b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(thousands(number), expected);
        }
        assert_eq!((count(1, "message"), count(2, "message")), ("1 message".into(), "2 messages".into()));
    }
}
