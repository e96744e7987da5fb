//! Values with a short form (a string, or one instead of a list) beside the long one.
//!
//! Visitors instead of untagged enums: those try every form and then only say that none fits.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::located::Located;

/// The long form of a value that may also be written as a string.
pub(crate) trait LongForm {
    /// What stands in messages after "expected".
    const EXPECTED: &'static str;
}

/// A string, or a table; what the string may be is for `S` to say.
#[derive(Debug, Clone)]
pub(crate) enum Shorthand<L, S = String> {
    Short(S),
    Long(L),
}

impl<'de, L: Deserialize<'de> + LongForm, S: Deserialize<'de>> Deserialize<'de> for Shorthand<L, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<L, S>(PhantomData<(L, S)>);

        impl<'de, L: Deserialize<'de> + LongForm, S: Deserialize<'de>> Visitor<'de> for Reader<L, S> {
            type Value = Shorthand<L, S>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(L::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                S::deserialize(text.into_deserializer()).map(Shorthand::Short)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                L::deserialize(MapAccessDeserializer::new(map)).map(Shorthand::Long)
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<L: JsonSchema, S: JsonSchema> JsonSchema for Shorthand<L, S> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), L::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<S>(), generator.subschema_for::<L>()] })
    }
}

/// `true`, `false`, or what switches it on in more words.
#[derive(Debug, Clone)]
pub(crate) enum Switch<L> {
    Flag(bool),
    With(L),
}

impl<'de, L: Deserialize<'de> + LongForm> Deserialize<'de> for Switch<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<L>(PhantomData<L>);

        impl<'de, L: Deserialize<'de> + LongForm> Visitor<'de> for Reader<L> {
            type Value = Switch<L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(L::EXPECTED)
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Switch::Flag(flag))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                L::deserialize(number.into_deserializer()).map(Switch::With)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                L::deserialize(MapAccessDeserializer::new(map)).map(Switch::With)
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<L: JsonSchema> JsonSchema for Switch<L> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("BooleanOr{}", L::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<L>()] })
    }
}

/// One, or a list of them. Read as a list; `Located` around an element is the element's place.
#[derive(Debug, Clone)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<Located<T>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a table, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Many<T>, E> {
                T::deserialize(text.into_deserializer()).map(Many::One)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Many<T>, E> {
                T::deserialize(number.into_deserializer()).map(Many::One)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(Many::One)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Many::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Many<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many::List)
            }
        }

        enum Many<T> {
            One(T),
            List(Vec<Located<T>>),
        }

        impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Reader(PhantomData))
            }
        }

        let Located { value, span } = Located::<Many<T>>::deserialize(deserializer)?;
        Ok(match value {
            Many::One(value) => Self(vec![Located { value, span }]),
            Many::List(values) => Self(values),
        })
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}
