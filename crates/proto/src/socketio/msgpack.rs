//! The other parser: a packet is one MessagePack map in one binary message, as `socket.io-msgpack-parser` writes it.

use bytes::Bytes;
use rmp::Marker;
use rmp::encode::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_sint, write_str,
    write_uint,
};

use super::arguments::Arguments;
use super::binary::Binary;
use super::decode::{Packet, ParseError, check_name};
use super::value::Value;
use crate::limits::DEPTH;

/// Reads a client's packet.
pub fn decode(bytes: &[u8]) -> Result<Packet, ParseError> {
    let mut reader = Reader { bytes, at: 0 };
    let packet = reader.value(DEPTH + 1)?.unwrap_or_default();
    if reader.at != bytes.len() {
        return Err(bad("something stands behind the packet"));
    }
    let number = |name: &str| match packet.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_u64().map(Some).ok_or(ParseError::BadId),
        Some(_) => Err(ParseError::BadId),
    };
    let namespace = packet.get("nsp").and_then(Value::as_str).ok_or(ParseError::BadNamespace)?.to_owned();
    let id = number("id")?;
    let data = packet.get("data").unwrap_or(&Value::Null);
    match number("type")? {
        Some(0) => {
            let auth = match data {
                Value::Null => None,
                Value::Object(_) => Some(Arguments::within(&[data], usize::MAX).map_err(bad)?),
                _ => return Err(bad("auth is an object")),
            };
            Ok(Packet::Connect { namespace, auth })
        }
        Some(1) => Ok(Packet::Disconnect { namespace }),
        Some(2 | 5) => {
            let Value::Array(values) = data else { return Err(bad("an event is a list")) };
            let Some((Value::String(event), rest)) = values.split_first() else {
                return Err(bad("an event begins with its name"));
            };
            check_name(event)?;
            let arguments = Arguments::within(rest, usize::MAX).map_err(bad)?;
            Ok(Packet::Event { namespace, id, event: event.clone(), arguments })
        }
        Some(3 | 6) => {
            let Value::Array(values) = data else { return Err(bad("an ack is a list")) };
            let id = id.ok_or(ParseError::BadId)?;
            Ok(Packet::Ack { namespace, id, arguments: Arguments::within(values, usize::MAX).map_err(bad)? })
        }
        _ => Err(ParseError::UnknownType),
    }
}

/// Appends an event; see [`super::encode::event`].
pub fn event(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    arguments: &Arguments,
    offset: Option<&str>,
) {
    let mut values = vec![Value::String(name.to_owned())];
    values.extend(arguments.values());
    values.extend(offset.map(|offset| Value::String(offset.to_owned())));
    packet(out, 2, namespace, id, Some(&Value::Array(values)));
}

/// Appends an ack.
pub fn ack(out: &mut Vec<u8>, namespace: &str, id: u64, arguments: &Arguments) {
    packet(out, 3, namespace, Some(id), Some(&Value::Array(arguments.values())));
}

/// Appends the answer to a CONNECT.
pub fn connect(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    let text = |text: &str| Value::String(text.to_owned());
    let mut fields = vec![("sid".to_owned(), text(sid))];
    fields.extend(pid.map(|pid| ("pid".to_owned(), text(pid))));
    packet(out, 0, namespace, None, Some(&Value::Object(fields)));
}

/// Appends a refusal; `data` is JSON text.
pub fn connect_error(out: &mut Vec<u8>, namespace: &str, message: &str, data: Option<&str>) {
    let mut fields = vec![("message".to_owned(), Value::String(message.to_owned()))];
    fields.extend(data.and_then(|data| Some(("data".to_owned(), serde_json::from_str(data).ok()?))));
    packet(out, 4, namespace, None, Some(&Value::Object(fields)));
}

/// Appends the end of a namespace.
pub fn disconnect(out: &mut Vec<u8>, namespace: &str) {
    packet(out, 1, namespace, None, None);
}

fn packet(out: &mut Vec<u8>, kind: u64, namespace: &str, id: Option<u64>, data: Option<&Value>) {
    let fields = 2 + u32::from(id.is_some()) + u32::from(data.is_some());
    let written = write_map_len(out, fields).map(drop).and_then(|()| {
        write_str(out, "type")?;
        write_uint(out, kind)?;
        if let Some(data) = data {
            write_str(out, "data")?;
            write(out, data)?;
        }
        if let Some(id) = id {
            write_str(out, "id")?;
            write_uint(out, id)?;
        }
        write_str(out, "nsp")?;
        write_str(out, namespace)
    });
    debug_assert!(written.is_ok(), "a buffer in memory takes every byte");
}

type Written = Result<(), rmp::encode::ValueWriteError>;

fn write(out: &mut Vec<u8>, value: &Value) -> Written {
    match value {
        Value::Null => write_nil(out).map_err(rmp::encode::ValueWriteError::InvalidMarkerWrite),
        Value::Bool(value) => {
            write_bool(out, *value).map_err(rmp::encode::ValueWriteError::InvalidMarkerWrite)
        }
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => write_uint(out, number).map(drop),
            (None, Some(number)) => write_sint(out, number).map(drop),
            (None, None) => write_f64(out, number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => write_str(out, text),
        Value::Binary(Binary(bytes)) => write_bin(out, bytes),
        Value::Array(values) => {
            write_array_len(out, values.len() as u32)?;
            values.iter().try_for_each(|value| write(out, value))
        }
        Value::Object(fields) => {
            write_map_len(out, fields.len() as u32)?;
            fields.iter().try_for_each(|(name, value)| {
                write_str(out, name)?;
                write(out, value)
            })
        }
    }
}

fn bad(error: impl std::fmt::Display) -> ParseError {
    ParseError::BadPayload(error.to_string())
}

/// Reads values; nothing is allocated because of a length that was only announced.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ParseError> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        self.at += length;
        taken.ok_or_else(|| bad("it ends in the middle"))
    }

    /// A big-endian number of `width` bytes.
    fn unsigned(&mut self, width: usize) -> Result<u64, ParseError> {
        Ok(self.take(width)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn length(&mut self, width: usize) -> Result<usize, ParseError> {
        Ok(self.unsigned(width)? as usize)
    }

    /// The next value; `None` is JavaScript's `undefined`. `depth` levels may lie in each other.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, ParseError> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        let signed = |number: u64, width: usize| (number << (64 - 8 * width)) as i64 >> (64 - 8 * width);
        Ok(Some(match marker {
            Marker::Null => Value::Null,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(number) => Value::Number(number.into()),
            Marker::FixNeg(number) => Value::Number(number.into()),
            Marker::U8 => Value::Number(self.unsigned(1)?.into()),
            Marker::U16 => Value::Number(self.unsigned(2)?.into()),
            Marker::U32 => Value::Number(self.unsigned(4)?.into()),
            Marker::U64 => Value::Number(self.unsigned(8)?.into()),
            Marker::I8 => Value::Number(signed(self.unsigned(1)?, 1).into()),
            Marker::I16 => Value::Number(signed(self.unsigned(2)?, 2).into()),
            Marker::I32 => Value::Number(signed(self.unsigned(4)?, 4).into()),
            Marker::I64 => Value::Number((self.unsigned(8)? as i64).into()),
            Marker::F32 => float(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            Marker::F64 => float(f64::from_bits(self.unsigned(8)?)),
            Marker::FixStr(length) => self.text(usize::from(length))?,
            Marker::Str8 => self.measured(1, Reader::text)?,
            Marker::Str16 => self.measured(2, Reader::text)?,
            Marker::Str32 => self.measured(4, Reader::text)?,
            Marker::Bin8 => self.measured(1, Reader::binary)?,
            Marker::Bin16 => self.measured(2, Reader::binary)?,
            Marker::Bin32 => self.measured(4, Reader::binary)?,
            Marker::FixArray(length) => self.array(usize::from(length), depth)?,
            Marker::Array16 => self.measured(2, |reader, length| reader.array(length, depth))?,
            Marker::Array32 => self.measured(4, |reader, length| reader.array(length, depth))?,
            Marker::FixMap(length) => self.map(usize::from(length), depth)?,
            Marker::Map16 => self.measured(2, |reader, length| reader.map(length, depth))?,
            Marker::Map32 => self.measured(4, |reader, length| reader.map(length, depth))?,
            Marker::FixExt1 => return self.extension(1),
            Marker::FixExt2 => return self.extension(2),
            Marker::FixExt4 => return self.extension(4),
            Marker::FixExt8 => return self.extension(8),
            Marker::FixExt16 => return self.extension(16),
            Marker::Ext8 => return self.measured(1, Reader::extension),
            Marker::Ext16 => return self.measured(2, Reader::extension),
            Marker::Ext32 => return self.measured(4, Reader::extension),
            Marker::Reserved => return Err(bad("this marker is reserved")),
        }))
    }

    fn measured<T>(
        &mut self,
        width: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let length = self.length(width)?;
        read(self, length)
    }

    fn text(&mut self, length: usize) -> Result<Value, ParseError> {
        let text = simdutf8::basic::from_utf8(self.take(length)?).map_err(bad)?;
        Ok(Value::String(text.to_owned()))
    }

    fn binary(&mut self, length: usize) -> Result<Value, ParseError> {
        Ok(Value::Binary(Binary(Bytes::copy_from_slice(self.take(length)?))))
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Value, ParseError> {
        let depth = deeper(depth)?;
        let mut values = Vec::new();
        for _ in 0..length {
            values.push(self.value(depth)?.unwrap_or_default());
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, ParseError> {
        let depth = deeper(depth)?;
        let mut fields = Vec::new();
        for _ in 0..length {
            let Some(Value::String(name)) = self.value(depth)? else { return Err(bad("a key is text")) };
            // A field that is `undefined` is one that is not there.
            fields.extend(self.value(depth)?.map(|value| (name, value)));
        }
        Ok(Value::Object(fields))
    }

    /// What notepack writes for JavaScript's own types, all under number 0.
    fn extension(&mut self, length: usize) -> Result<Option<Value>, ParseError> {
        let kind = self.take(1)?[0];
        let data = self.take(length)?;
        match (kind, data) {
            (0, [0]) => Ok(None),
            (0, data) if data.len() == 8 => {
                let milliseconds = data.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)) as i64;
                Ok(Some(Value::String(date(milliseconds))))
            }
            _ => Err(bad("this extension type is unknown")),
        }
    }
}

fn deeper(depth: usize) -> Result<usize, ParseError> {
    depth.checked_sub(1).ok_or_else(|| bad(format_args!("it is nested deeper than {DEPTH} levels")))
}

fn float(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// A time in the form that JSON has for JavaScript's dates.
fn date(milliseconds: i64) -> String {
    let (days, ms) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    // The civil calendar from a count of days, in eras of 400 years that begin in March.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn undefined_is_absent_and_a_date_is_text() {
        // {type: 0, nsp: "/", data: undefined}
        let connect = hex("83 a474797065 00 a36e7370 a12f a464617461 d40000");
        assert_eq!(decode(&connect), Ok(Packet::Connect { namespace: "/".into(), auth: None }));
        // {type: 2, nsp: "/", data: ["e", new Date(0), undefined]}
        let event = hex("83 a474797065 02 a36e7370 a12f a464617461 93 a165 d7000000000000000000 d40000");
        let Ok(Packet::Event { arguments, .. }) = decode(&event) else { panic!("an event") };
        assert_eq!(arguments.text(), r#""1970-01-01T00:00:00.000Z",null"#);
        assert_eq!(date(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(date(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_event_is_one_map_and_bytes_stay_bytes() {
        let arguments = Arguments::of(&(1, Binary(Bytes::from_static(b"\x01\x02")))).unwrap();
        let mut out = Vec::new();
        event(&mut out, "/chat", Some(7), "e", &arguments, None);
        let expected = hex("84 a474797065 02 a464617461 93 a165 01 c4020102 a26964 07 a36e7370 a52f63686174");
        assert_eq!(out, expected);
        let packet = Packet::Event { namespace: "/chat".into(), id: Some(7), event: "e".into(), arguments };
        assert_eq!(decode(&out), Ok(packet));
    }

    #[test]
    fn a_number_is_the_nearest_one_to_its_text() {
        // The first is one that a reader which rounds as it goes takes for its neighbour.
        for number in [-4.1e300, 0.1, 1.0e23, f64::MIN_POSITIVE, f64::MAX] {
            let arguments = Arguments::of(&(number,)).unwrap();
            let mut out = Vec::new();
            event(&mut out, "/", None, "e", &arguments, None);
            let bytes = [&[0xcb], &number.to_be_bytes()[..]].concat();
            assert!(out.windows(bytes.len()).any(|window| window == bytes), "{number:e}");
        }
    }

    #[track_caller]
    fn refused(text: &str) {
        assert!(decode(&hex(text)).is_err(), "{text}");
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        refused("");
        refused("c0");
        // The type is unknown, or missing.
        refused("82 a474797065 09 a36e7370 a12f");
        refused("81 a36e7370 a12f");
        // An array of 2^32 - 1 values that are not there.
        refused("83 a474797065 02 a36e7370 a12f a464617461 ddffffffff");
        // Something behind it.
        refused("82 a474797065 01 a36e7370 a12f 00");
        // A reserved name.
        refused("83 a474797065 02 a36e7370 a12f a464617461 91 a7636f6e6e656374");
        let deep = format!("83 a474797065 02 a36e7370 a12f a464617461 92 a165 {} c0", "91".repeat(DEPTH + 1));
        refused(&deep);
    }
}
