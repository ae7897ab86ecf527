//! The one pass over a command's JSON: known fields as raw text, unknown ones skipped, doubled ones refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::codes::{Code, Refusal};

/// The known fields of all commands, as text. Filled field by field, so that what came before a fault is kept.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) kind: Option<&'a RawValue>,
    pub(super) id: Option<&'a RawValue>,
    pub(super) data: Option<&'a RawValue>,
    others: [Option<&'a RawValue>; OTHERS.len()],
}

/// The fields beside `type`, `id` and `data`.
const OTHERS: [&str; 16] = [
    "room", "since", "last", "to", "event", "key", "echo", "store", "with", "before", "after", "limit",
    "prefix", "offset", "method", "token",
];

impl<'a> Fields<'a> {
    /// A field other than `type`, `id` and `data`, if it is there and not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let place = OTHERS.iter().position(|&other| other == name)?;
        self.others[place].filter(|value| value.get() != "null")
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        match name {
            "type" => Some(&mut self.kind),
            "id" => Some(&mut self.id),
            "data" => Some(&mut self.data),
            _ => {
                let place = OTHERS.iter().position(|&other| other == name)?;
                Some(&mut self.others[place])
            }
        }
    }
}

/// Reads the object `text` into `fields`; after a refusal they hold what came before the fault.
pub(super) fn read_fields<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<(), Refusal> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Reader { fields }.deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| match error.classify() {
        Category::Data => Refusal::new(Code::BadMessage, format!("not a command: {error}; one is {EXAMPLE}")),
        _ => Refusal::new(Code::BadJson, format!("not JSON: {error}; a command is {EXAMPLE}")),
    })
}

const EXAMPLE: &str = r#"{"type":"publish","room":"lobby","data":"hi"}"#;

struct Reader<'f, 'a> {
    fields: &'f mut Fields<'a>,
}

impl<'a> DeserializeSeed<'a> for Reader<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(place) = map.next_key_seed(Slot { fields: self.fields })? {
            match place {
                Place::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                Place::Known(name) => {
                    let value = map.next_value()?;
                    if let Some(slot) = self.fields.slot(name) {
                        *slot = Some(value);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads a field's name without keeping it.
struct Slot<'f, 'a> {
    fields: &'f mut Fields<'a>,
}

enum Place {
    Known(&'static str),
    Unknown,
}

impl<'a> DeserializeSeed<'a> for Slot<'_, 'a> {
    type Value = Place;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Place, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Slot<'_, 'a> {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Place, E> {
        let known = ["type", "id", "data"].iter().chain(&OTHERS).find(|&&known| known == name);
        let Some(&known) = known else {
            return Ok(Place::Unknown);
        };
        // Two readers of one text must not see two commands.
        match self.fields.slot(known) {
            Some(Some(_)) => Err(E::custom(format_args!("\"{known}\" is given twice"))),
            _ => Ok(Place::Known(known)),
        }
    }
}
