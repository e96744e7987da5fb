//! What one call changes of an exchange. Each edit is checked when it is asked for, and seen by the filter at once; the
//! gateway makes all of them when the call has ended well, and none when it has failed.

use std::cell::Cell;

use crate::EditError;
use crate::headers::{PROTECTED, is_token};

/// Bytes that keeping one edit takes, roughly.
const RECORD: usize = 64;
/// Bytes of one value at most.
const LONGEST_VALUE: usize = 64 << 10;

/// What the edits of one call may add, by the gateway's word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Bytes, of all the call's edits together.
    pub(crate) bytes: u32,
    /// Fields of the message at hand.
    pub(crate) fields: u32,
    /// Notes.
    pub(crate) notes: u32,
}

thread_local! {
    /// Bytes that the call at hand may still add, to the request and to the response together.
    static BYTES_LEFT: Cell<u32> = const { Cell::new(0) };
}

impl Room {
    /// A call begins.
    pub(crate) fn open(self) {
        BYTES_LEFT.set(self.bytes);
    }
}

/// Takes the bytes of one edit from what is left.
pub(crate) fn take_bytes(bytes: usize) -> Result<(), EditError> {
    let left = u32::try_from(bytes + RECORD).map_or(None, |bytes| BYTES_LEFT.get().checked_sub(bytes));
    BYTES_LEFT.set(left.ok_or(EditError::TooLarge)?);
    Ok(())
}

/// One change of a header section.
#[derive(Clone, Debug)]
pub(crate) enum HeaderEdit {
    Set(String, Vec<u8>),
    Append(String, Vec<u8>),
    Remove(String),
}

/// The changes of one header section, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderEdits {
    pub(crate) edits: Vec<HeaderEdit>,
    /// Fields that may still be added.
    fields: u32,
}

impl HeaderEdits {
    pub(crate) fn new(fields: u32) -> Self {
        HeaderEdits {
            edits: Vec::new(),
            fields,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.make_room(name, value)?;
        self.edits.push(HeaderEdit::Set(name.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn append(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.make_room(name, value)?;
        self.edits.push(HeaderEdit::Append(name.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), EditError> {
        check_name(name)?;
        take_bytes(name.len())?;
        self.edits.push(HeaderEdit::Remove(name.to_owned()));
        Ok(())
    }

    fn make_room(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        check_name(name)?;
        check_value(value)?;
        let fields = self.fields.checked_sub(1).ok_or(EditError::TooLarge)?;
        take_bytes(name.len() + value.len())?;
        self.fields = fields;
        Ok(())
    }

    /// The first value of a field with the edits made, `before` being the first without them.
    pub(crate) fn first(&self, name: &str, before: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        if !self.touch(name) {
            return before();
        }
        self.values(name, || before().into_iter().collect()).into_iter().next()
    }

    /// The values of a field with the edits made, `before` being those without them.
    pub(crate) fn values(&self, name: &str, before: impl FnOnce() -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let replaces =
            |edit: &HeaderEdit| !matches!(edit, HeaderEdit::Append(..)) && edit.name().eq_ignore_ascii_case(name);
        let (from, mut values) = match self.edits.iter().rposition(replaces) {
            Some(last) => (last, Vec::new()),
            None => (0, before()),
        };
        for edit in self.edits.iter().skip(from) {
            if let HeaderEdit::Set(own, value) | HeaderEdit::Append(own, value) = edit
                && own.eq_ignore_ascii_case(name)
            {
                values.push(value.clone());
            }
        }
        values
    }

    /// Every field with the edits made, `fields` being those without them.
    pub(crate) fn all(&self, mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
        for edit in &self.edits {
            edit.clone().make(&mut fields);
        }
        fields
    }

    fn touch(&self, name: &str) -> bool {
        self.edits.iter().any(|edit| edit.name().eq_ignore_ascii_case(name))
    }
}

impl HeaderEdit {
    fn name(&self) -> &str {
        match self {
            HeaderEdit::Set(name, _) | HeaderEdit::Append(name, _) | HeaderEdit::Remove(name) => name,
        }
    }

    /// Makes the edit in a header section.
    pub(crate) fn make(self, fields: &mut Vec<(String, Vec<u8>)>) {
        if !matches!(self, HeaderEdit::Append(..)) {
            fields.retain(|(own, _)| !own.eq_ignore_ascii_case(self.name()));
        }
        if let HeaderEdit::Set(name, value) | HeaderEdit::Append(name, value) = self {
            fields.push((name.to_ascii_lowercase(), value));
        }
    }
}

/// Whether a filter may write a field of this name.
pub(crate) fn check_name(name: &str) -> Result<(), EditError> {
    if !is_token(name) {
        return Err(EditError::InvalidName);
    }
    if PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected)) {
        return Err(EditError::Protected);
    }
    Ok(())
}

/// Whether this can be a field's value: RFC 9110 section 5.5, visible characters and bytes beyond ASCII, with blanks and
/// tabs between them.
pub(crate) fn check_value(value: &[u8]) -> Result<(), EditError> {
    let surrounded =
        value.first().is_some_and(u8::is_ascii_whitespace) || value.last().is_some_and(u8::is_ascii_whitespace);
    if surrounded || value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(EditError::InvalidValue);
    }
    if value.len() > LONGEST_VALUE {
        return Err(EditError::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits() -> HeaderEdits {
        Room {
            bytes: 256 << 10,
            fields: 256,
            notes: 128,
        }
        .open();
        HeaderEdits::new(256)
    }

    fn two() -> Vec<Vec<u8>> {
        vec![b"1".to_vec(), b"2".to_vec()]
    }

    #[test]
    fn a_filter_sees_its_own_edits() {
        let mut edits = edits();
        assert_eq!(edits.values("x-a", two), two());
        edits.append("X-A", b"3").unwrap();
        assert_eq!(edits.values("x-a", two), [b"1", b"2", b"3"]);
        assert_eq!(edits.first("x-a", || Some(b"1".to_vec())), Some(b"1".to_vec()));
        assert_eq!(edits.first("x-a", || None), Some(b"3".to_vec()));
        edits.set("x-a", b"4").unwrap();
        edits.append("x-a", b"5").unwrap();
        assert_eq!(edits.values("X-a", || panic!("it was replaced")), [b"4", b"5"]);
        edits.remove("x-A").unwrap();
        assert_eq!(edits.first("x-a", || panic!("it was removed")), None);
        assert_eq!(edits.values("x-b", two), two());
    }

    #[test]
    fn all_fields_have_the_edits_in_their_order() {
        let mut edits = edits();
        edits.remove("x-old").unwrap();
        edits.append("X-One", b"1").unwrap();
        edits.append("x-one", b"2").unwrap();
        edits.set("X-Two", b"3").unwrap();
        let before = vec![("x-old".to_owned(), b"0".to_vec()), ("x-two".to_owned(), b"0".to_vec())];
        let names: Vec<_> = edits
            .all(before)
            .into_iter()
            .map(|(name, value)| (name, value[0]))
            .collect();
        assert_eq!(
            names,
            [("x-one".into(), b'1'), ("x-one".into(), b'2'), ("x-two".into(), b'3')]
        );
    }

    #[test]
    fn what_frames_a_message_is_protected_from_every_edit() {
        let mut edits = edits();
        for name in PROTECTED
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_uppercase()])
        {
            assert_eq!(edits.set(&name, b"1"), Err(EditError::Protected));
            assert_eq!(edits.append(&name, b"1"), Err(EditError::Protected));
            assert_eq!(edits.remove(&name), Err(EditError::Protected));
        }
        assert!(edits.edits.is_empty());
    }

    #[test]
    fn a_field_that_would_break_the_message_is_refused() {
        let mut edits = edits();
        for value in [&b"a\r\nb: c"[..], b"a\0", b"\x7f", b" a", b"a\t", b"\x1b"] {
            assert_eq!(edits.set("x-a", value), Err(EditError::InvalidValue), "{value:?}");
        }
        assert_eq!(edits.set("x a", b"1"), Err(EditError::InvalidName));
        for value in [&b""[..], b"a b\tc", b"caf\xc3\xa9", b"\xff"] {
            assert_eq!(edits.set("x-a", value), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn what_a_call_adds_is_bounded() {
        let mut edits = edits();
        assert_eq!(
            edits.set("x-a", &vec![b'a'; LONGEST_VALUE + 1]),
            Err(EditError::TooLarge)
        );
        let added = (0..1000)
            .take_while(|number| edits.append(&format!("x-{number}"), b"1").is_ok())
            .count();
        assert_eq!(added, 256);
        let mut edits = super::tests::edits();
        let long = vec![b'a'; LONGEST_VALUE];
        let added = (0..10).take_while(|_| edits.set("x-a", &long).is_ok()).count();
        assert_eq!(added, 3, "256 KiB hold no fourth with its name");
    }
}
