//! Settings that are written as text and read as something stricter.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};

/// Has serde read a type from text, by its `FromStr`, and tells editors of its schema; what it is in words, without an
/// article, is for errors.
macro_rules! text_setting {
    ($type:ident, $what:literal, $schema:tt) => {
        $crate::settings::text::text_setting!($type, $what, $schema, shown: true);
    };
    ($type:ident, $what:literal, $schema:tt, shown: $shown:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::settings::text::parsed(deserializer, $what, $shown)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

/// As [`text_setting`], for what may be secret: an error does not show the text.
macro_rules! secret_setting {
    ($type:ident, $what:literal, $schema:tt) => {
        $crate::settings::text::text_setting!($type, $what, $schema, shown: false);
    };
}

/// Has serde write a type as its `Display` does.
macro_rules! shown_as_text {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

pub(crate) use {secret_setting, shown_as_text, text_setting};

/// Reads a text by way of `FromStr`; `expected` names what should be there, and `shown` lets an error show the text.
///
/// A visitor, since only what fails inside one has a place in the JSON: what fails later is reported without.
pub(crate) fn parsed<'de, T, D>(deserializer: D, expected: &'static str, shown: bool) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text {
        expected,
        shown,
        read: PhantomData,
    })
}

struct Text<T> {
    expected: &'static str,
    shown: bool,
    read: PhantomData<T>,
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let expected = self.expected;
        text.parse().map_err(|error| match self.shown {
            true => E::custom(format_args!("`{text}` is no {expected}: {error}")),
            false => E::custom(format_args!("this is no {expected}: {error}")),
        })
    }
}
