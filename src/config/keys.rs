//! The keys of a raw map, as serde knows them: there is no second list to keep in step.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

/// The keys of a raw map.
pub(super) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // The lister always answers with an error; what it saw is in `keys`.
    drop(T::deserialize(KeyLister(&mut keys)));
    keys
}

struct KeyLister<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for KeyLister<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only keys are listed"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
