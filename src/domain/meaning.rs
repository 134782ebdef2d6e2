//! What events mean, in one digest: that of values, written so that different ones never share their bytes.
//!
//! Any value that serde can take apart: numbers as their big-endian bytes, texts, lists and maps behind their lengths, an
//! option behind a byte that says whether it is there, a variant behind its name. Names of fields are left out: a type has its
//! fields in one order. JSON would do as well, and took 2 CPU-seconds for a million events.

use super::digest::Digest;
use super::event::Event;
use super::ids::CycleNumber;
use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt;

/// Folds the meaning of a run's events into one digest, so that two runs can be compared by one line.
#[derive(Debug, Clone, Default)]
pub struct SemanticDigest {
    digest: Digest,
    /// The bytes of the event that came last; kept for their room.
    bytes: Vec<u8>,
}

impl SemanticDigest {
    /// Takes in the next event of a run; see [`Event::semantic`] for what counts.
    pub fn add(&mut self, cycle: CycleNumber, event: &Event) {
        if let Some(event) = event.semantic() {
            self.bytes.clear();
            // Plain enums, lists and maps of known lengths: writing them has no way to fail.
            let _cannot_fail = event.serialize(Plain(&mut self.bytes));
            let cycle = cycle.0.to_be_bytes();
            self.digest = Digest::of_parts([self.digest.as_bytes(), &cycle[..], &self.bytes]);
        }
    }

    /// The digest of all that was added.
    #[must_use]
    pub const fn finish(&self) -> Digest {
        self.digest
    }
}

/// Writes values as bytes.
struct Plain<'a>(&'a mut Vec<u8>);

impl Plain<'_> {
    fn put(self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// What follows is as long as this.
    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&(length as u64).to_be_bytes());
    }

    /// What follows is of this variant.
    fn name(&mut self, name: &str) {
        self.length(name.len());
        self.0.extend_from_slice(name.as_bytes());
    }
}

/// Why a value has no bytes: it does not know how long it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unwritable(String);

impl Error for Unwritable {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.put(&value.to_be_bytes())
        })*
    };
}

impl Serializer for Plain<'_> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64
    );

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.put(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.put(&u32::from(value).to_be_bytes())
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Unwritable> {
        self.name(value);
        Ok(())
    }

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), Unwritable> {
        self.length(value.len());
        self.put(value)
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.put(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        self.0.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Unwritable> {
        self.name(name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.name(name);
        value.serialize(self)
    }

    fn serialize_seq(mut self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.length(length.ok_or_else(|| Unwritable::custom("a list of unknown length"))?);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.name(name);
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.serialize_seq(length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.name(name);
        Ok(self)
    }
}

/// The parts of a value, one after the other.
macro_rules! parts {
    ($($trait:ident::$method:ident($($name:ty)?)),*) => {
        $(impl $trait for Plain<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $(_: $name,)?
                part: &T,
            ) -> Result<(), Unwritable> {
                part.serialize(Plain(self.0))
            }

            fn end(self) -> Result<(), Unwritable> {
                Ok(())
            }
        })*
    };
}

parts!(
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str)
);

impl SerializeMap for Plain<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        key.serialize(Plain(self.0))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(Plain(self.0))
    }

    fn end(self) -> Result<(), Unwritable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    fn bytes(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.serialize(Plain(&mut bytes)).unwrap();
        bytes
    }

    type Value = (Vec<String>, Option<Vec<u8>>, BTreeMap<String, (u16, bool)>, Result<u8, char>);

    quickcheck! {
        fn different_values_have_different_bytes(a: Value, b: Value) -> bool {
            (a == b) == (bytes(&a) == bytes(&b))
        }

        fn no_value_begins_like_another(a: Value, b: Value) -> bool {
            a == b || !bytes(&a).starts_with(&bytes(&b))
        }
    }

    #[test]
    fn where_one_part_ends_and_the_next_begins_counts() {
        assert_ne!(bytes(&("ab", "c")), bytes(&("a", "bc")));
        assert_ne!(bytes(&(vec![1_u8], vec![2_u8, 3])), bytes(&(vec![1_u8, 2], vec![3_u8])));
        assert_ne!(bytes(&(None::<u8>, Some(0_u8))), bytes(&(Some(0_u8), None::<u8>)));
        assert_ne!(bytes(&Ok::<u8, u8>(1)), bytes(&Err::<u8, u8>(1)));
    }
}
