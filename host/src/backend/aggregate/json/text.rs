//! A text of a document, as it is written there.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::write::push_char;

/// What stands between two quotes. Equal texts may be written in different ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'d> {
    /// Valid inside of quotes, and UTF-8.
    pub(super) raw: &'d [u8],
    /// Whether there is a backslash in it.
    pub(super) escaped: bool,
}

impl<'d> Text<'d> {
    /// A text that was prepared with [`quoted`](super::quoted).
    pub(crate) fn prepared(quoted: &'d str) -> Self {
        let raw = quoted.as_bytes();
        Self {
            raw,
            escaped: memchr::memchr(b'\\', raw).is_some(),
        }
    }

    /// The text itself, without escapes. Allocates only where there are some.
    pub(crate) fn decoded(self) -> Cow<'d, str> {
        // It was checked as a part of the whole document; a piece is checked again only because a `str` is asked for.
        let text = str::from_utf8(self.raw).unwrap_or_default();
        if self.escaped {
            Cow::Owned(unescape(text))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Whether it is this text.
    pub(crate) fn is(self, text: &str) -> bool {
        if self.escaped {
            self.decoded() == text
        } else {
            self.raw == text.as_bytes()
        }
    }

    /// Whether both are the same text.
    pub(crate) fn same(self, other: Text<'_>) -> bool {
        if self.escaped || other.escaped {
            self.decoded() == other.decoded()
        } else {
            self.raw == other.raw
        }
    }

    /// Some order in which equal texts stand together.
    pub(super) fn order(self, other: Text<'_>) -> Ordering {
        if self.escaped || other.escaped {
            self.decoded().as_bytes().cmp(other.decoded().as_bytes())
        } else {
            self.raw.cmp(other.raw)
        }
    }

    /// Appends it with its quotes.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.raw);
        out.push(b'"');
    }
}

/// Resolves the escapes of a text that was found to be well formed.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('u') => {
                let (char, used) = unicode(after.as_bytes());
                out.push(char);
                rest = after.get(used..).unwrap_or_default();
                continue;
            }
            Some(short) => push_char(&mut out, short),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// The character of `uXXXX` or `uXXXX\uXXXX`, and how many bytes that takes.
fn unicode(text: &[u8]) -> (char, usize) {
    let first = four_digits(text.get(1..5)).unwrap_or_default();
    let pair = || {
        let low = four_digits(text.get(7..11))?;
        let code = 0x10000 + ((u32::from(first) & 0x3ff) << 10) + (u32::from(low) & 0x3ff);
        Some((char::from_u32(code)?, 11))
    };
    match char::from_u32(u32::from(first)) {
        Some(char) => (char, 5),
        None => pair().unwrap_or((char::REPLACEMENT_CHARACTER, 5)),
    }
}

/// `00e9` as a number.
pub(super) fn four_digits(digits: Option<&[u8]>) -> Option<u16> {
    digits?.iter().try_fold(0u16, |code, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(code << 4 | u16::try_from(digit).ok()?)
    })
}
