//! What the value of a header or of a query parameter must be.

use std::fmt;

use regex::bytes::Regex;

/// What a value must be for a pattern to match. Where a header or a query parameter is repeated, its first value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// This value, byte by byte.
    Exact(String),
    /// A value that begins so.
    Prefix(String),
    /// A value that this regular expression matches from its first to its last byte: `v[12]` does not match `v10`. The
    /// syntax is that of the `regex` crate, whose time is linear in the value.
    Regex(String),
    /// Any value, the empty one too.
    Present,
}

/// As in a pattern's text: `: a`, `: a*`, `: /a/`, or nothing.
impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(f, ": {value}"),
            Self::Prefix(value) => write!(f, ": {value}*"),
            Self::Regex(regex) => write!(f, ": /{regex}/"),
            Self::Present => Ok(()),
        }
    }
}

/// A [`ValueMatch`] that is ready to be asked.
#[derive(Debug, Clone)]
pub(super) struct ValueTest {
    pub(super) written: ValueMatch,
    regex: Option<Regex>,
}

impl ValueTest {
    /// # Errors
    /// The regular expression's own words on what is wrong with it.
    pub(super) fn compile(written: ValueMatch) -> Result<Self, regex::Error> {
        let regex = match &written {
            // By itself first: in brackets, `a)(b` would pass.
            ValueMatch::Regex(text) => Some(Regex::new(text).and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")))?),
            ValueMatch::Exact(_) | ValueMatch::Prefix(_) | ValueMatch::Present => None,
        };
        Ok(Self { written, regex })
    }

    pub(super) fn accepts(&self, value: &[u8]) -> bool {
        match &self.written {
            ValueMatch::Exact(exact) => value == exact.as_bytes(),
            ValueMatch::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            ValueMatch::Regex(_) => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            ValueMatch::Present => true,
        }
    }

    /// Whether no value can pass both, as far as can be told. Two regular expressions never exclude each other here.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (&self.written, &other.written) {
            (ValueMatch::Exact(value), _) => !other.accepts(value.as_bytes()),
            (_, ValueMatch::Exact(value)) => !self.accepts(value.as_bytes()),
            (ValueMatch::Prefix(one), ValueMatch::Prefix(two)) => !one.starts_with(two) && !two.starts_with(one),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(written: ValueMatch) -> ValueTest {
        ValueTest::compile(written).unwrap()
    }

    fn exact(value: &str) -> ValueTest {
        test(ValueMatch::Exact(value.into()))
    }

    fn prefix(value: &str) -> ValueTest {
        test(ValueMatch::Prefix(value.into()))
    }

    fn regex(value: &str) -> ValueTest {
        test(ValueMatch::Regex(value.into()))
    }

    #[test]
    fn each_kind_accepts_its_values() {
        assert!(exact("a").accepts(b"a") && !exact("a").accepts(b"ab"));
        assert!(prefix("a").accepts(b"ab") && !prefix("a").accepts(b"ba"));
        assert!(test(ValueMatch::Present).accepts(b""));
    }

    #[test]
    fn a_regular_expression_must_match_the_whole_value() {
        assert!(regex("a|bc").accepts(b"bc"));
        assert!(!regex("a|bc").accepts(b"ab") && !regex("b").accepts(b"abc"));
        assert!(!regex("a").accepts(b"a\n"));
    }

    #[test]
    fn a_malformed_regular_expression_is_an_error() {
        for text in ["(", "a)(b", "[z-a]"] {
            assert!(ValueTest::compile(ValueMatch::Regex(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn values_exclude_each_other_where_it_can_be_proved() {
        let present = test(ValueMatch::Present);
        let excluding = [
            (exact("a"), exact("b")),
            (exact("a"), prefix("b")),
            (exact("a"), regex("b+")),
            (prefix("ab"), prefix("ac")),
        ];
        for (one, two) in &excluding {
            assert!(one.excludes(two) && two.excludes(one), "{one:?} {two:?}");
        }
        let overlapping = [
            (exact("a"), exact("a")),
            (exact("ab"), prefix("a")),
            (prefix("a"), prefix("ab")),
            (regex("a"), regex("b")),
            (present, exact("a")),
        ];
        for (one, two) in &overlapping {
            assert!(!one.excludes(two) && !two.excludes(one), "{one:?} {two:?}");
        }
    }
}
