//! A header section with the gateway's rules.

use crate::headers::{PROTECTED, is_token};
use crate::{EditError, HeaderValue};

/// Fields at most, whatever filters add.
const MOST_FIELDS: usize = 256;
/// Bytes that filters may add to one message.
pub(super) const ROOM: usize = 256 * 1024;

/// The header fields of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    fields: Vec<(String, Vec<u8>)>,
    added: usize,
}

impl Fields {
    /// Adds what the message came with. A peer may send protected fields; the test says so or leaves it.
    #[track_caller]
    pub(super) fn receive(&mut self, name: &str, value: HeaderValue) {
        match check(name, value.as_bytes()) {
            Ok(()) | Err(EditError::Protected) => self.fields.push((name.to_ascii_lowercase(), value.into_bytes())),
            Err(error) => panic!("the gateway refuses the field `{name}: {value:?}`: {error}"),
        }
    }

    pub(super) fn clear(&mut self) {
        self.fields.clear();
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &Vec<u8>> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn all(&self) -> Vec<(String, Vec<u8>)> {
        self.fields.clone()
    }

    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.make_room(name, value)?;
        self.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.fields.push((name.to_ascii_lowercase(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn append(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.make_room(name, value)?;
        self.fields.push((name.to_ascii_lowercase(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), EditError> {
        check(name, b"")?;
        self.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        Ok(())
    }

    fn make_room(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        check(name, value)?;
        let added = self.added + name.len() + value.len();
        if added > ROOM || self.fields.len() >= MOST_FIELDS {
            return Err(EditError::TooLarge);
        }
        self.added = added;
        Ok(())
    }
}

/// Whether a filter may write this field.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), EditError> {
    if !is_token(name) {
        return Err(EditError::InvalidName);
    }
    if PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected)) {
        return Err(EditError::Protected);
    }
    // RFC 9110 section 5.5: visible characters and bytes beyond ASCII, with blanks and tabs between them.
    let surrounded = value.trim_ascii().len() != value.len();
    if surrounded || value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(EditError::InvalidValue);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_without_regard_to_case() {
        let mut fields = Fields::default();
        fields.append("X-One", b"1").unwrap();
        fields.append("x-one", b"2").unwrap();
        assert_eq!(fields.values("X-ONE").collect::<Vec<_>>(), [b"1", b"2"]);
        fields.set("x-One", b"3").unwrap();
        assert_eq!(fields.all(), [("x-one".to_owned(), b"3".to_vec())]);
        fields.remove("X-oNE").unwrap();
        fields.remove("x-one").unwrap();
        assert!(fields.all().is_empty());
    }

    #[test]
    fn what_frames_a_message_is_protected_from_every_edit() {
        let mut fields = Fields::default();
        for name in PROTECTED
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_uppercase()])
        {
            assert_eq!(fields.set(&name, b"1"), Err(EditError::Protected));
            assert_eq!(fields.append(&name, b"1"), Err(EditError::Protected));
            assert_eq!(fields.remove(&name), Err(EditError::Protected));
        }
    }

    #[test]
    fn a_field_that_would_break_the_message_is_refused() {
        let mut fields = Fields::default();
        for value in [&b"a\r\nb: c"[..], b"a\0", b"\x7f", b" a", b"a\t", b"\x1b"] {
            assert_eq!(fields.set("x-a", value), Err(EditError::InvalidValue), "{value:?}");
        }
        assert_eq!(fields.set("x a", b"1"), Err(EditError::InvalidName));
        for value in [&b""[..], b"a b\tc", b"caf\xc3\xa9", b"\xff"] {
            assert_eq!(fields.set("x-a", value), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn what_filters_add_is_bounded() {
        let mut fields = Fields::default();
        assert_eq!(fields.set("x-a", &vec![b'a'; ROOM]), Err(EditError::TooLarge));
        let added = (0..1000)
            .take_while(|number| fields.append(&format!("x-{number}"), b"1").is_ok())
            .count();
        assert_eq!(added, MOST_FIELDS);
    }
}
