//! Redis's protocol: commands to bytes, bytes to values. RESP3, so that answers and what is spread come over one
//! connection in the order in which Redis did things.

use bytes::{Bytes, BytesMut};
use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp3::decode::complete::decode_bytes_mut;
use redis_protocol::resp3::types::BytesFrame;

/// What Redis says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(Bytes),
    Int(i64),
    List(Vec<Value>),
    /// Pairs, one after the other.
    Map(Vec<Value>),
    Null,
    Error(String),
    /// Not an answer: something was spread.
    Push(Vec<Value>),
    /// A kind that no command of ours is answered with.
    Other,
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes that it holds, about.
    pub(super) fn weight(&self) -> usize {
        let held = match self {
            Value::Text(bytes) => bytes.len(),
            Value::List(values) | Value::Map(values) | Value::Push(values) => {
                values.iter().map(Value::weight).sum()
            }
            _ => 0,
        };
        size_of::<Value>() + held
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A number, as such or as text.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Value::Int(number) => (*number).try_into().ok(),
            Value::Text(_) => super::entry::number(self.text()?),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The value of a name in a map, or in a list of pairs as older answers have it.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        let (Value::Map(pairs) | Value::List(pairs)) = self else { return None };
        pairs.chunks_exact(2).find(|pair| pair[0].text() == Some(name)).map(|pair| &pair[1])
    }
}

/// Writes one command.
pub(super) fn command(out: &mut BytesMut, parts: &[&[u8]]) {
    let number = |kind: u8, number: usize, out: &mut BytesMut| {
        out.extend_from_slice(&[kind]);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    number(b'*', parts.len(), out);
    for part in parts {
        number(b'$', part.len(), out);
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// Takes one value from the front of what was read; `None` if it is not all there yet.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<Value>, RedisProtocolError> {
    if input.is_empty() {
        return Ok(None);
    }
    Ok(decode_bytes_mut(input)?.map(|(frame, _, _)| value(frame)))
}

fn value(frame: BytesFrame) -> Value {
    match frame {
        BytesFrame::BlobString { data, .. } | BytesFrame::SimpleString { data, .. } => Value::Text(data),
        BytesFrame::VerbatimString { data, .. } => Value::Text(data),
        BytesFrame::Number { data, .. } => Value::Int(data),
        BytesFrame::Array { data, .. } => Value::List(data.into_iter().map(value).collect()),
        BytesFrame::Map { data, .. } => {
            Value::Map(data.into_iter().flat_map(|(name, of)| [value(name), value(of)]).collect())
        }
        BytesFrame::Null => Value::Null,
        BytesFrame::SimpleError { data, .. } => Value::Error(data.to_string()),
        BytesFrame::BlobError { data, .. } => Value::Error(String::from_utf8_lossy(&data).into_owned()),
        BytesFrame::Push { data, .. } => Value::Push(data.into_iter().map(value).collect()),
        _ => Value::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_command_is_a_list_of_counted_texts() {
        let mut out = BytesMut::new();
        command(&mut out, &[b"PUBLISH", b"c", b"\r\n\0"]);
        assert_eq!(&out[..], b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$3\r\n\r\n\0\r\n");
    }

    #[test]
    fn answers_and_pushes_are_told_apart_however_they_are_cut() {
        let all = b"*2\r\n$6\r\nstored\r\n:3\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n-OOM no\r\n_\r\n%1\r\n+a\r\n:1\r\n";
        for cut in 0..all.len() {
            let mut input = BytesMut::from(&all[..cut]);
            let mut values = Vec::new();
            while let Some(value) = take(&mut input).unwrap() {
                values.push(value);
            }
            input.extend_from_slice(&all[cut..]);
            while let Some(value) = take(&mut input).unwrap() {
                values.push(value);
            }
            let expected = [
                Value::List(vec![text("stored"), Value::Int(3)]),
                Value::Push(vec![text("message"), text("c"), text("hi")]),
                Value::Error("OOM no".to_owned()),
                Value::Null,
                Value::Map(vec![text("a"), Value::Int(1)]),
            ];
            assert_eq!(values, expected, "cut at {cut}");
        }
    }
}
