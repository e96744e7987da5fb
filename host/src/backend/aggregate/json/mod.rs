//! JSON documents that stay as their services wrote them: every digit of a number, every escape, the order of members.
//!
//! A document is its own bytes and a flat list of where each value in it begins and ends. So parsing takes one allocation
//! however deep the document, values that go into an answer untouched are copied as bytes, and a number is never
//! anything but the text it was.
//!
//! What parsers disagree about is refused rather than decided: a member that an object names twice (RFC 8259, section 4:
//! what receives such an object behaves in unpredictable ways), lone surrogates, invalid UTF-8. So a filter, the gateway
//! and the client cannot see three different documents.

mod document;
mod parse;
mod path;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub(crate) use self::document::{Document, Kind, Members, Value};
pub(crate) use self::parse::{Limits, Malformed};
pub(crate) use self::path::{Path, Step};
pub(crate) use self::path::{is_word, steps};
pub(crate) use self::text::Text;
pub(crate) use self::write::{quoted, write_text};
