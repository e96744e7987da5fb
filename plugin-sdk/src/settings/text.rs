//! Settings that are written as text and read as something stricter.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};

/// Reads a text by way of `FromStr`; `expected` names what should be there, without an article.
///
/// A visitor, since only what fails inside one has a place in the JSON: what fails later is reported without.
pub(crate) fn parsed<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text {
        expected,
        shown: true,
        read: PhantomData,
    })
}

/// As [`parsed`], for what may be secret: an error does not show the text.
pub(crate) fn parsed_unseen<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text {
        expected,
        shown: false,
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
