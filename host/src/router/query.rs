//! One parameter of a query.

use std::borrow::Cow;

/// The first value of a parameter, decoded as HTML forms encode it: percent-encoding, and `+` for a space. A parameter
/// without `=` has the empty value. Allocates only for what is encoded.
pub(crate) fn first_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && *decoded(key) == *name.as_bytes()).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Cow::Borrowed(text.as_bytes());
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(query: &str, name: &str) -> Option<String> {
        first_value(query, name).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn the_first_value_counts() {
        assert_eq!(value("a=1&b=2&a=3", "a").as_deref(), Some("1"));
        assert_eq!(value("ab=1", "a"), None);
    }

    #[test]
    fn a_value_may_be_missing() {
        assert_eq!(value("debug&a=", "debug").as_deref(), Some(""));
        assert_eq!(value("debug&a=", "a").as_deref(), Some(""));
        assert_eq!(value("", ""), None);
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(value("na%6De=a+b%20c", "name").as_deref(), Some("a b c"));
        assert_eq!(value("a=%zz", "a").as_deref(), Some("%zz"));
    }
}
