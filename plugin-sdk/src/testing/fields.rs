//! The header section of a message.

use crate::edits::{HeaderEdit, check_name, check_value};
use crate::{EditError, HeaderValue};

/// The header fields of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// Adds what the message came with. A peer may send protected fields; the test says so or leaves it.
    #[track_caller]
    pub(super) fn receive(&mut self, name: &str, value: HeaderValue) {
        match check(name, value.as_bytes()) {
            Ok(()) | Err(EditError::Protected) => self.0.push((name.to_ascii_lowercase(), value.into_bytes())),
            Err(error) => panic!("the gateway refuses the field `{name}: {value:?}`: {error}"),
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &Vec<u8>> {
        self.0
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn all(&self) -> Vec<(String, Vec<u8>)> {
        self.0.clone()
    }

    pub(super) fn make(&mut self, edits: Vec<HeaderEdit>) {
        for edit in edits {
            edit.make(&mut self.0);
        }
    }
}

/// Whether a filter may write this field.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), EditError> {
    check_name(name)?;
    check_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_without_regard_to_case() {
        let mut fields = Fields::default();
        fields.receive("X-One", "1".into());
        fields.receive("x-one", "2".into());
        assert_eq!(fields.values("X-ONE").collect::<Vec<_>>(), [b"1", b"2"]);
        fields.make(vec![HeaderEdit::Set("x-One".into(), b"3".to_vec())]);
        assert_eq!(fields.all(), [("x-one".to_owned(), b"3".to_vec())]);
        fields.make(vec![HeaderEdit::Remove("X-oNE".into())]);
        assert!(fields.all().is_empty());
    }
}
