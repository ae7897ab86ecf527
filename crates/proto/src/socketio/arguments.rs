//! `Arguments`: what an event carries, or an ack.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::binary::with_attachments;
use super::value::Value;
use crate::json;
use crate::limits::{ATTACHMENTS, DEPTH};

/// A list of values: JSON text as it was sent, without brackets and spaces, and the attachments for which placeholders
/// in it stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    text: String,
    count: usize,
    attachments: Vec<Bytes>,
}

/// The text is no list of values, or a value cannot be written as JSON, or read as what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadArguments(String);

impl BadArguments {
    /// An error with this sentence.
    pub fn new(what: impl fmt::Display) -> BadArguments {
        BadArguments(what.to_string())
    }
}

impl fmt::Display for BadArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadArguments {}

impl Arguments {
    /// Reads a JSON list whose placeholders stand for `attachments`.
    pub fn parse(list: &str, attachments: Vec<Bytes>) -> Result<Arguments, BadArguments> {
        let values: Vec<&RawValue> = serde_json::from_str(list).map_err(BadArguments::new)?;
        if json::depth(list) > DEPTH {
            return Err(BadArguments::new(format_args!("it is nested deeper than {DEPTH} levels")));
        }
        if attachments.is_empty() {
            return Ok(Arguments::join(&values));
        }
        // Written anew, so that the placeholders are numbered in the order of the text, once each.
        let (values, _) = with_attachments(attachments, 0, || serde_json::from_str::<Vec<Value>>(list));
        Arguments::of(&values.map_err(BadArguments::new)?)
    }

    /// The values, one after the other.
    pub(super) fn join(values: &[&RawValue]) -> Arguments {
        let mut text = String::new();
        for value in values {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&json::compact(value.get()));
        }
        Arguments { text, count: values.len(), attachments: Vec::new() }
    }

    /// The elements of what serializes as a list, with at most [`ATTACHMENTS`] attachments.
    pub fn of<T: Serialize + ?Sized>(list: &T) -> Result<Arguments, BadArguments> {
        Arguments::within(list, ATTACHMENTS)
    }

    /// The same with any number of attachments, for a parser that has no limit.
    pub(super) fn within<T: Serialize + ?Sized>(list: &T, limit: usize) -> Result<Arguments, BadArguments> {
        let (text, attachments) = with_attachments(Vec::new(), limit, || serde_json::to_string(list));
        let text = text.map_err(BadArguments::new)?;
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(|| BadArguments::new("this is not a list"))?;
        let values: Vec<&RawValue> = serde_json::from_str(&text).map_err(BadArguments::new)?;
        Ok(Arguments { count: values.len(), text: inner.to_owned(), attachments })
    }

    /// One value.
    pub fn one<T: Serialize + ?Sized>(value: &T) -> Result<Arguments, BadArguments> {
        let (text, attachments) = with_attachments(Vec::new(), ATTACHMENTS, || serde_json::to_string(value));
        Ok(Arguments { text: text.map_err(BadArguments::new)?, count: 1, attachments })
    }

    /// What [`Arguments::text`] and [`Arguments::attachments`] of others say; nothing is checked.
    pub fn from_parts(text: impl Into<String>, count: usize, attachments: Vec<Bytes>) -> Arguments {
        Arguments { text: text.into(), count, attachments }
    }

    /// The values as JSON text with commas between them, and no brackets around them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same in a packet with as many attachments before these: placeholders count from `first`.
    pub fn text_numbered_from(&self, first: usize) -> String {
        const PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":";
        // In a string the quotes would be escaped.
        let mut parts = self.text.split(PLACEHOLDER);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (number, part) in parts.enumerate() {
            let behind = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
            text.extend([PLACEHOLDER, &(first + number).to_string(), behind]);
        }
        text
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Reads the whole list as `T`: a tuple, a `Vec` of values, and so on.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        self.reading(|| serde_json::from_str(&format!("[{}]", self.text)))
    }

    /// Reads the first value as `T`; `null` stands for one that is not there.
    pub fn first<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        self.reading(|| {
            let mut reader =
                serde_json::Deserializer::from_str(if self.count == 0 { "null" } else { &self.text });
            T::deserialize(&mut reader)
        })
    }

    pub(super) fn reading<T>(&self, read: impl FnOnce() -> serde_json::Result<T>) -> Result<T, BadArguments> {
        let (value, _) = with_attachments(self.attachments.clone(), 0, read);
        value.map_err(BadArguments::new)
    }

    /// Every value by itself.
    pub fn values(&self) -> Vec<Value> {
        self.read().unwrap_or_default()
    }

    /// The same values without attachments: base64 text stands for bytes.
    pub fn without_binary(&self) -> Arguments {
        if self.attachments.is_empty() {
            return self.clone();
        }
        let values: Vec<Value> = self.values().into_iter().map(Value::without_binary).collect();
        Arguments::of(&values).unwrap_or_default()
    }
}
