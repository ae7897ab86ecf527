//! How a value becomes arguments and back: a tuple is a list of arguments, everything else is one.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::{self, Impossible, Serializer};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::arguments::{Arguments, BadArguments};

impl Arguments {
    /// A tuple's elements are the arguments, and `()` is none; any other value is one argument.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Arguments, BadArguments> {
        match value.serialize(Probe) {
            Err(Shape::Tuple) => Arguments::of(value),
            // A null of some type that can be more is an argument; `()` is nothing at all.
            Err(Shape::Unit) if size_of_val(value) == 0 => Ok(Arguments::default()),
            _ => Arguments::one(value),
        }
    }

    /// Reads a tuple from the list, with `null` for what is missing and without what is left over, and any other type
    /// from the first argument.
    pub fn to_value<T: DeserializeOwned>(&self) -> Result<T, BadArguments> {
        let list = format!("[{}]", self.text());
        let first = if self.is_empty() { "null" } else { self.text() };
        self.reading(|| T::deserialize(Reader { first, list: &list }))
    }
}

/// What a value turned out to be.
#[derive(Debug)]
enum Shape {
    Tuple,
    Unit,
    One,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Shape {}

impl ser::Error for Shape {
    fn custom<T: fmt::Display>(_message: T) -> Shape {
        Shape::One
    }
}

/// A serializer that only looks at the outermost kind of a value.
struct Probe;

/// Kinds that are one argument, whatever is in them.
macro_rules! one {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method(self, _value: $kind) -> Result<(), Shape> {
            Err(Shape::One)
        })*
    };
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Shape;
    type SerializeSeq = Impossible<(), Shape>;
    type SerializeTuple = Impossible<(), Shape>;
    type SerializeTupleStruct = Impossible<(), Shape>;
    type SerializeTupleVariant = Impossible<(), Shape>;
    type SerializeMap = Impossible<(), Shape>;
    type SerializeStruct = Impossible<(), Shape>;
    type SerializeStructVariant = Impossible<(), Shape>;

    one!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );

    fn serialize_none(self) -> Result<(), Shape> {
        Err(Shape::One)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _value: &T) -> Result<(), Shape> {
        Err(Shape::One)
    }

    fn serialize_unit(self) -> Result<(), Shape> {
        Err(Shape::Unit)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Shape> {
        Err(Shape::One)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), Shape> {
        Err(Shape::One)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Shape> {
        Err(Shape::One)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Shape> {
        Err(Shape::One)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Shape> {
        Err(Shape::Tuple)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Shape> {
        Err(Shape::One)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Shape> {
        Err(Shape::One)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Shape> {
        Err(Shape::One)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Shape> {
        Err(Shape::One)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Shape> {
        Err(Shape::One)
    }
}

/// Reads from the first argument, or a tuple from all.
struct Reader<'de> {
    first: &'de str,
    /// All of them, in brackets.
    list: &'de str,
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.first).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.first).deserialize_option(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.first).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.first).deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        let values: Vec<&'de RawValue> = serde_json::from_str(self.list)?;
        visitor.visit_seq(Elements { values: values.into_iter(), left: len })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple_struct map struct identifier ignored_any
    }
}

/// As many arguments as a tuple wants.
struct Elements<'de> {
    values: std::vec::IntoIter<&'de RawValue>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.values.next() {
            Some(value) => seed.deserialize(value).map(Some),
            None => seed.deserialize(&mut serde_json::Deserializer::from_str("null")).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::socketio::{Binary, Value};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Small,
    }

    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T, text: &str, count: usize) {
        let arguments = Arguments::from_value(&value).unwrap();
        assert_eq!((arguments.text(), arguments.len()), (text, count));
        assert_eq!(arguments.to_value::<T>().unwrap(), value);
    }

    #[test]
    fn a_tuple_is_a_list_and_everything_else_is_one_argument() {
        check("hi".to_owned(), "\"hi\"", 1);
        check((), "", 0);
        check(Some(1), "1", 1);
        check(None::<u8>, "null", 1);
        check(vec![1, 2], "[1,2]", 1);
        check((1, "two".to_owned()), "1,\"two\"", 2);
        check((vec![1],), "[1]", 1);
        check(Point { x: 1 }, "{\"x\":1}", 1);
        check(Kind::Small, "\"Small\"", 1);
        check(Value::Null, "null", 1);
        check(Binary(Bytes::from_static(b"x")), "{\"_placeholder\":true,\"num\":0}", 1);
    }

    #[test]
    fn what_is_missing_is_null_and_what_is_left_over_is_left() {
        let arguments = Arguments::parse("[1,2,3]", Vec::new()).unwrap();
        assert_eq!(arguments.to_value::<(u8, u8)>().unwrap(), (1, 2));
        assert_eq!(arguments.to_value::<u8>().unwrap(), 1);
        assert_eq!(arguments.to_value::<(u8, u8, u8, Option<u8>)>().unwrap(), (1, 2, 3, None));
        assert!(arguments.to_value::<(u8, u8, u8, u8)>().is_err());
        assert_eq!(Arguments::default().to_value::<Option<u8>>().unwrap(), None);
        assert!(Arguments::default().to_value::<u8>().is_err());
    }
}
