//! Writing JSON objects into a caller's buffer, field by field, without anything in between.

use std::fmt::Display;
use std::io::Write;

use crate::json::write_text;

/// An object that is being written. It must be ended.
#[must_use]
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// Nothing stands behind the opening brace yet.
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>, kind: &str) -> Self {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        Self { out, empty: false }
    }

    /// An object inside another: without a `type`.
    pub(super) fn bare(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// A reply: the object with the `id` of its command, which is JSON text.
    pub(super) fn reply(out: &'o mut Vec<u8>, kind: &str, id: Option<&str>) -> Self {
        let object = Self::new(out, kind);
        match id {
            Some(id) => object.raw("id", id),
            None => object,
        }
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if self.empty { b"\"" } else { b",\"" });
        self.empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        write_text(self.out, value);
        self
    }

    pub(super) fn number(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        number(self.out, value);
        self
    }

    pub(super) fn flag(mut self, name: &str, value: bool) -> Self {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A value that is JSON text already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// A value whose text needs no escapes, such as a position.
    pub(super) fn plain(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        write(self.out, format_args!("\"{value}\""));
        self
    }

    /// A time to wait, in seconds with three decimals at most.
    pub(super) fn seconds(mut self, name: &str, value: std::time::Duration) -> Self {
        self.name(name);
        write(self.out, format_args!("{}", value.as_millis() as f64 / 1000.0));
        self
    }

    pub(super) fn object(mut self, name: &str, fields: impl FnOnce(Object<'_>) -> Object<'_>) -> Self {
        self.name(name);
        fields(Object::bare(self.out)).end();
        self
    }

    pub(super) fn list<T>(
        mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Vec<u8>, T),
    ) -> Self {
        self.name(name);
        list(self.out, items, &mut item);
        self
    }

    /// The same object, with whatever `more` adds when there is a value.
    pub(super) fn maybe<T>(self, value: Option<T>, more: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => more(self, value),
            None => self,
        }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    serde_json::to_writer(out, &value).unwrap_or_default();
}

pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    item: &mut impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (place, value) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        item(out, value);
    }
    out.push(b']');
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}
