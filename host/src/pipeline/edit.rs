//! What filters change of an exchange. The edits of one call come with its answer: all of them are checked, and then all of
//! them are made, so that a call that fails has changed nothing.

use std::fmt;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::exchange::Exchange;
use crate::router::{PathRules, normalise};

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No token of RFC 9110 section 5.6.2.
    InvalidName,
    /// A byte that RFC 9110 section 5.5 forbids, or the wrong form.
    InvalidValue,
    /// The connection's or the framing's own.
    Protected,
    /// Past the gateway's limits.
    TooLarge,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::InvalidName => "not a valid name",
            Refused::InvalidValue => "not a valid value",
            Refused::Protected => "only the gateway sets this field",
            Refused::TooLarge => "more than filters may add to one exchange",
        })
    }
}

/// Which message is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// One change of a header section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderEdit {
    Set(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
    Remove(HeaderName),
}

/// What one call changes.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// The path that goes upstream.
    pub(crate) path: Option<String>,
    /// The query that goes upstream; `Some(None)`: none.
    pub(crate) query: Option<Option<String>>,
    /// The response's status.
    pub(crate) status: Option<u16>,
    /// The fields of the message at hand.
    pub(crate) headers: Vec<HeaderEdit>,
    /// The fields of the response, when it comes back to this place of the pipeline.
    pub(crate) response_headers: Vec<HeaderEdit>,
    pub(crate) notes: Vec<(String, String)>,
}

/// What edits may still add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u32,
    pub(crate) fields: u32,
    pub(crate) notes: u32,
}

/// Bytes that the filters of one exchange may add to it together.
pub(super) const ROOM: u32 = 256 * 1024;
/// Fields at most, whatever filters add.
pub(crate) const MAX_FIELDS: usize = 256;
/// Bytes that keeping one edit takes, roughly.
const RECORD: usize = 64;
/// Bytes of one value at most: what common servers accept of a whole header section.
pub(crate) const LONGEST_VALUE: usize = 64 << 10;
/// Notes at most.
const MAX_NOTES: usize = 128;

impl HeaderEdit {
    fn make(self, headers: &mut HeaderMap) {
        match self {
            HeaderEdit::Set(name, value) => drop(headers.insert(name, value)),
            HeaderEdit::Append(name, value) => drop(headers.append(name, value)),
            HeaderEdit::Remove(name) => drop(headers.remove(name)),
        }
    }

    fn size(&self) -> usize {
        match self {
            HeaderEdit::Set(name, value) | HeaderEdit::Append(name, value) => name.as_str().len() + value.len(),
            HeaderEdit::Remove(name) => name.as_str().len(),
        }
    }

    fn adds(&self) -> bool {
        !matches!(self, HeaderEdit::Remove(_))
    }
}

impl Edits {
    /// Bytes that they take: those of their names and values, and what it takes to keep each.
    fn size(&self) -> usize {
        let headers = self.headers.iter().chain(&self.response_headers).map(HeaderEdit::size);
        let notes = self.notes.iter().map(|(name, value)| name.len() + value.len());
        let target = [
            self.path.as_deref(),
            self.query.as_ref().map(|query| query.as_deref().unwrap_or_default()),
        ];
        let status = self.status.map(|_| 0);
        headers
            .chain(notes)
            .chain(target.into_iter().flatten().map(str::len))
            .chain(status)
            .map(|bytes| bytes + RECORD)
            .sum()
    }
}

impl Exchange {
    /// What the edits of the next call may add.
    pub(crate) fn room(&self, side: Side) -> Room {
        let left = |most: usize, used: usize| u32::try_from(most.saturating_sub(used)).unwrap_or(u32::MAX);
        let headers = match side {
            Side::Request => &self.headers,
            Side::Response => &self.response.headers,
        };
        Room {
            bytes: self.room,
            fields: left(MAX_FIELDS, headers.len()),
            notes: left(MAX_NOTES, self.notes.len()),
        }
    }

    /// Makes the edits of one call, all of them or none. `place` is the filter's own in the pipeline.
    pub(crate) fn edit(&mut self, side: Side, place: usize, edits: Edits) -> Result<(), Refused> {
        let size = u32::try_from(edits.size()).map_err(|_| Refused::TooLarge)?;
        if size == 0 {
            return Ok(());
        }
        let left = self.room.checked_sub(size).ok_or(Refused::TooLarge)?;
        let target = self.target_with(edits.path.as_deref(), edits.query.as_ref().map(Option::as_deref))?;
        let status = match edits.status {
            Some(status) => Some(reply_status(status).ok_or(Refused::InvalidValue)?),
            None => None,
        };
        let room = self.room(side);
        let fields = edits.headers.iter().filter(|edit| edit.adds()).count();
        if fields > room.fields as usize {
            return Err(Refused::TooLarge);
        }
        self.check_notes(&edits.notes, room.notes as usize)?;

        // From here on nothing is refused.
        self.room = left;
        if let Some(target) = target {
            self.target = target;
        }
        if let Some(status) = status {
            self.response.status = status;
        }
        let headers = match side {
            Side::Request => &mut self.headers,
            Side::Response => &mut self.response.headers,
        };
        for edit in edits.headers {
            edit.make(headers);
        }
        self.later
            .extend(edits.response_headers.into_iter().map(|edit| (place, edit)));
        for (name, value) in edits.notes {
            match self.notes.iter_mut().find(|(noted, _)| *noted == name) {
                Some((_, noted)) => *noted = value,
                None => self.notes.push((name, value)),
            }
        }
        Ok(())
    }

    /// The response has come back to this place of the pipeline: what its filter wanted done to it is done.
    pub(crate) fn come_back_to(&mut self, place: usize) {
        // Places are visited from the last to the first, and were written down in the other order.
        let from = self
            .later
            .iter()
            .rposition(|(of, _)| *of < place)
            .map_or(0, |before| before + 1);
        for (of, edit) in self.later.drain(from..) {
            if of == place {
                edit.make(&mut self.response.headers);
            }
        }
    }

    /// The target that these edits lead to; none where they leave it.
    fn target_with(&self, path: Option<&str>, query: Option<Option<&str>>) -> Result<Option<PathAndQuery>, Refused> {
        if path.is_none() && query.is_none() {
            return Ok(None);
        }
        let path = match path {
            Some(path) => normalise(path, &PathRules::default()).map_err(|_| Refused::InvalidValue)?,
            None => self.target.path().into(),
        };
        let target = match query.unwrap_or(self.target.query()) {
            // `PathAndQuery` would cut a fragment off without a word.
            Some(query) if query.contains('#') => return Err(Refused::InvalidValue),
            Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
            None => PathAndQuery::try_from(path.as_ref()),
        };
        target.map(Some).map_err(|_| Refused::InvalidValue)
    }

    fn check_notes(&self, notes: &[(String, String)], room: usize) -> Result<(), Refused> {
        let mut another = 0;
        for (name, _) in notes {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Refused::InvalidName);
            }
            another += usize::from(self.note(name).is_none());
        }
        if another > room { Err(Refused::TooLarge) } else { Ok(()) }
    }
}

/// A status that a final response may have.
pub(crate) fn reply_status(status: u16) -> Option<StatusCode> {
    (200..=599)
        .contains(&status)
        .then(|| StatusCode::from_u16(status).ok())
        .flatten()
}

/// A header field that a filter may set.
pub(crate) fn field(name: &str, value: Vec<u8>) -> Result<(HeaderName, HeaderValue), Refused> {
    let name = field_name(name)?;
    // White space around a value is no part of it (RFC 9110 section 5.5); a receiver would drop it anyway.
    if value.first().is_some_and(u8::is_ascii_whitespace) || value.last().is_some_and(u8::is_ascii_whitespace) {
        return Err(Refused::InvalidValue);
    }
    if value.len() > LONGEST_VALUE {
        return Err(Refused::TooLarge);
    }
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).map_err(|_| Refused::InvalidValue)?;
    Ok((name, value))
}

/// The name of a field that a filter may change.
pub(crate) fn field_name(name: &str) -> Result<HeaderName, Refused> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refused::InvalidName)?;
    if is_protected(&name) {
        Err(Refused::Protected)
    } else {
        Ok(name)
    }
}

/// Fields that belong to the connection or to framing (RFC 9110 section 7.6.1, RFC 9112 section 6), and `Host`, which a
/// route's `rewrite` sets.
fn is_protected(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::TRANSFER_ENCODING
        || *name == header::CONNECTION
        || *name == header::HOST
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::UPGRADE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> HeaderEdit {
        let (name, value) = field(name, value.into()).unwrap();
        HeaderEdit::Set(name, value)
    }

    fn append(name: &str, value: &str) -> HeaderEdit {
        let (name, value) = field(name, value.into()).unwrap();
        HeaderEdit::Append(name, value)
    }

    fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    #[test]
    fn edits_are_made_in_their_order() {
        let mut exchange = Exchange::nobody();
        exchange.headers.append("x-old", HeaderValue::from_static("0"));
        let edits = Edits {
            path: Some("/else/../where".into()),
            query: Some(Some("a=1".into())),
            headers: vec![
                append("x-a", "1"),
                append("x-a", "2"),
                HeaderEdit::Remove(field_name("x-old").unwrap()),
                set("x-b", "1"),
                set("x-b", "2"),
            ],
            notes: vec![("who".into(), "ada".into()), ("who".into(), "bob".into())],
            ..Edits::default()
        };
        exchange.edit(Side::Request, 0, edits).unwrap();
        assert_eq!(exchange.target, "/where?a=1");
        assert_eq!(values(&exchange.headers, "x-a"), ["1", "2"]);
        assert_eq!(values(&exchange.headers, "x-b"), ["2"]);
        assert!(!exchange.headers.contains_key("x-old"));
        assert_eq!(exchange.notes, [("who".to_owned(), "bob".to_owned())]);
    }

    #[test]
    fn one_bad_edit_leaves_nothing_of_the_others() {
        let good = || Edits {
            headers: vec![set("x-a", "1")],
            notes: vec![("n".into(), "1".into())],
            ..Edits::default()
        };
        let bad = [
            Edits {
                path: Some("no-slash".into()),
                ..good()
            },
            Edits {
                query: Some(Some("a#b".into())),
                ..good()
            },
            Edits {
                status: Some(100),
                ..good()
            },
            Edits {
                notes: vec![("a\nb".into(), String::new())],
                ..good()
            },
            Edits {
                notes: vec![("n".into(), "x".repeat(ROOM as usize))],
                ..good()
            },
            Edits {
                headers: (0..=MAX_FIELDS).map(|_| append("x-a", "1")).collect(),
                ..good()
            },
        ];
        for edits in bad {
            let mut exchange = Exchange::nobody();
            let described = format!("{edits:?}");
            assert!(exchange.edit(Side::Request, 0, edits).is_err(), "{described}");
            assert!(exchange.headers.is_empty() && exchange.notes.is_empty(), "{described}");
            assert_eq!((exchange.room, exchange.target.path()), (ROOM, "/"), "{described}");
        }
    }

    #[test]
    fn a_response_is_edited_where_it_comes_back_to_the_filter() {
        let mut exchange = Exchange::nobody();
        for place in 0..3 {
            let edits = Edits {
                response_headers: vec![append("x-by", &place.to_string()), append("x-by", "again")],
                ..Edits::default()
            };
            exchange.edit(Side::Request, place, edits).unwrap();
        }
        // The filter at place 2 has replied, so the response begins below it.
        exchange.come_back_to(1);
        assert_eq!(values(&exchange.response.headers, "x-by"), ["1", "again"]);
        exchange.come_back_to(0);
        assert_eq!(values(&exchange.response.headers, "x-by"), ["1", "again", "0", "again"]);
        assert!(exchange.later.is_empty());
    }

    #[test]
    fn framing_and_connection_fields_are_refused() {
        for name in [
            "Content-Length",
            "connection",
            "Transfer-Encoding",
            "Host",
            "Keep-Alive",
            "upgrade",
        ] {
            assert_eq!(field(name, b"1".to_vec()), Err(Refused::Protected), "{name}");
        }
    }

    #[test]
    fn a_value_with_a_line_break_is_refused() {
        assert_eq!(field("x-a", b"1\r\nx-b: 2".to_vec()), Err(Refused::InvalidValue));
    }

    #[test]
    fn what_filters_add_is_bounded() {
        let mut exchange = Exchange::nobody();
        let note = || Edits {
            notes: vec![("n".into(), "x".repeat(10_000))],
            ..Edits::default()
        };
        let made = (0..1000)
            .take_while(|_| exchange.edit(Side::Request, 0, note()).is_ok())
            .count();
        assert_eq!(made, ROOM as usize / (10_000 + 1 + RECORD));
        let more = Edits {
            response_headers: vec![set("x-a", &"a".repeat(10_000))],
            ..Edits::default()
        };
        assert_eq!(exchange.edit(Side::Request, 0, more), Err(Refused::TooLarge));
    }
}
