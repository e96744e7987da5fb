//! Changes that filters make to an exchange: each checked, each undone if the call that made it fails.

use std::fmt;
use std::mem;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;

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
    /// The request has been sent.
    TooLate,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::InvalidName => "not a valid name",
            Refused::InvalidValue => "not a valid value",
            Refused::Protected => "only the gateway sets this field",
            Refused::TooLarge => "more than filters may add to one exchange",
            Refused::TooLate => "the request has been sent",
        })
    }
}

/// Which message a header belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// How to take one change back.
#[derive(Debug)]
pub(crate) enum Edit {
    Header(Side, HeaderName, SmallVec<[HeaderValue; 1]>),
    /// The field had so many values before.
    Appended(Side, HeaderName, usize),
    Target(PathAndQuery),
    Status(StatusCode),
    Note(String, Option<String>),
    /// So many edits of the response to come stood there before.
    Later(usize),
}

/// One change of a response to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderEdit {
    Set(HeaderName, HeaderValue),
    Append(HeaderName, HeaderValue),
    Remove(HeaderName),
}

/// Fields at most, whatever filters add.
pub(crate) const MAX_FIELDS: usize = 256;
/// Bytes that remembering one edit takes, roughly.
const RECORD: usize = 64;
/// Bytes of one value at most: what common servers accept of a whole header section.
pub(crate) const LONGEST_VALUE: usize = 64 << 10;
/// Edits of the response to come at most. With the fields that an upstream may send it stays below [`MAX_FIELDS`].
const MAX_LATER: usize = 48;
/// Notes at most.
const MAX_NOTES: usize = 128;

impl Exchange {
    /// The call went well: its changes stay.
    pub(crate) fn keep_edits(&mut self) {
        self.undo.clear();
        self.room_kept = self.room;
    }

    /// The call failed: the exchange is as it was before.
    pub(crate) fn undo_edits(&mut self) {
        self.room = self.room_kept;
        while let Some(edit) = self.undo.pop() {
            match edit {
                Edit::Header(side, name, values) => {
                    let headers = self.headers_of(side);
                    headers.remove(&name);
                    for value in values {
                        headers.append(name.clone(), value);
                    }
                }
                Edit::Appended(side, name, count) => {
                    let headers = self.headers_of(side);
                    let before: Vec<_> = headers.get_all(&name).iter().take(count).cloned().collect();
                    headers.remove(&name);
                    for value in before {
                        headers.append(name.clone(), value);
                    }
                }
                Edit::Target(target) => self.target = target,
                Edit::Status(status) => self.response.status = status,
                Edit::Later(count) => self.later.truncate(count),
                Edit::Note(name, before) => {
                    self.notes.retain(|(noted, _)| *noted != name);
                    self.notes.extend(before.map(|value| (name, value)));
                }
            }
        }
    }

    /// The filter at hand is passed by from now on, as if it were not there.
    pub(crate) fn skip_filter(&mut self) {
        let place = self.place;
        self.later.retain(|(of, _)| *of != place);
        self.skipped.push(place);
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
            // Those of a filter that has replied are not for this response.
            if of != place {
                continue;
            }
            match edit {
                HeaderEdit::Set(name, value) => drop(self.response.headers.insert(name, value)),
                HeaderEdit::Append(name, value) => drop(self.response.headers.append(name, value)),
                HeaderEdit::Remove(name) => drop(self.response.headers.remove(name)),
            }
        }
    }

    fn headers_of(&mut self, side: Side) -> &mut HeaderMap {
        match side {
            Side::Request => &mut self.headers,
            Side::Response => &mut self.response.headers,
        }
    }

    /// Remembers all values of a field. Each beyond the first is charged for, or a few edits could keep a great many.
    fn remember_header(&mut self, side: Side, name: &HeaderName) -> Result<(), Refused> {
        let before: SmallVec<[HeaderValue; 1]> = match self.headers_of(side).entry(name) {
            header::Entry::Vacant(_) => SmallVec::new(),
            header::Entry::Occupied(entry) => entry.iter().cloned().collect(),
        };
        if before.len() > 1 {
            self.take_room(RECORD * (before.len() - 2))?;
        }
        self.undo.push(Edit::Header(side, name.clone(), before));
        Ok(())
    }

    fn do_later(&mut self, edit: HeaderEdit) -> Result<(), Refused> {
        if self.later.len() >= MAX_LATER {
            return Err(Refused::TooLarge);
        }
        self.undo.push(Edit::Later(self.later.len()));
        self.later.push((self.place, edit));
        Ok(())
    }

    /// Charges for an edit: its bytes, and what it takes to remember how to undo it.
    fn take_room(&mut self, bytes: usize) -> Result<(), Refused> {
        self.room = self
            .room
            .checked_sub(bytes.saturating_add(RECORD))
            .ok_or(Refused::TooLarge)?;
        Ok(())
    }
}

/// Replaces every value of a field.
pub(crate) fn set_header(exchange: &mut Exchange, side: Side, name: &str, value: Vec<u8>) -> Result<(), Refused> {
    let (name, value) = field(name, value)?;
    exchange.take_room(name.as_str().len() + value.len())?;
    if exchange.headers_of(side).len() >= MAX_FIELDS {
        return Err(Refused::TooLarge);
    }
    exchange.remember_header(side, &name)?;
    exchange.headers_of(side).insert(name, value);
    Ok(())
}

/// Adds a value.
pub(crate) fn append_header(exchange: &mut Exchange, side: Side, name: &str, value: Vec<u8>) -> Result<(), Refused> {
    let (name, value) = field(name, value)?;
    exchange.take_room(name.as_str().len() + value.len())?;
    if exchange.headers_of(side).len() >= MAX_FIELDS {
        return Err(Refused::TooLarge);
    }
    let before = exchange.headers_of(side).get_all(&name).iter().count();
    exchange.undo.push(Edit::Appended(side, name.clone(), before));
    exchange.headers_of(side).append(name, value);
    Ok(())
}

/// Removes every value of a field.
pub(crate) fn remove_header(exchange: &mut Exchange, side: Side, name: &str) -> Result<(), Refused> {
    let name = field_name(name)?;
    if exchange.headers_of(side).contains_key(&name) {
        exchange.take_room(0)?;
        exchange.remember_header(side, &name)?;
        exchange.headers_of(side).remove(&name);
    }
    Ok(())
}

/// Replaces every value of a field of the response to come.
pub(crate) fn set_response_header(exchange: &mut Exchange, name: &str, value: Vec<u8>) -> Result<(), Refused> {
    let (name, value) = field(name, value)?;
    exchange.take_room(name.as_str().len() + value.len())?;
    exchange.do_later(HeaderEdit::Set(name, value))
}

/// Adds a value to a field of the response to come.
pub(crate) fn append_response_header(exchange: &mut Exchange, name: &str, value: Vec<u8>) -> Result<(), Refused> {
    let (name, value) = field(name, value)?;
    exchange.take_room(name.as_str().len() + value.len())?;
    exchange.do_later(HeaderEdit::Append(name, value))
}

/// Removes a field of the response to come.
pub(crate) fn remove_response_header(exchange: &mut Exchange, name: &str) -> Result<(), Refused> {
    let name = field_name(name)?;
    exchange.take_room(name.as_str().len())?;
    exchange.do_later(HeaderEdit::Remove(name))
}

/// Replaces the path that goes upstream.
pub(crate) fn set_path(exchange: &mut Exchange, path: &str) -> Result<(), Refused> {
    exchange.take_room(path.len())?;
    let path = normalise(path, &PathRules::default()).map_err(|_| Refused::InvalidValue)?;
    let target = match exchange.target.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path.as_ref()),
    };
    replace_target(exchange, target.map_err(|_| Refused::InvalidValue)?);
    Ok(())
}

/// Replaces or removes the query that goes upstream.
pub(crate) fn set_query(exchange: &mut Exchange, query: Option<&str>) -> Result<(), Refused> {
    exchange.take_room(query.map_or(0, str::len))?;
    let path = exchange.target.path();
    let target = match query {
        // `PathAndQuery` would cut a fragment off without a word.
        Some(query) if query.contains('#') => return Err(Refused::InvalidValue),
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    replace_target(exchange, target.map_err(|_| Refused::InvalidValue)?);
    Ok(())
}

fn replace_target(exchange: &mut Exchange, target: PathAndQuery) {
    let before = mem::replace(&mut exchange.target, target);
    exchange.undo.push(Edit::Target(before));
}

/// Replaces the response's status.
pub(crate) fn set_status(exchange: &mut Exchange, status: u16) -> Result<(), Refused> {
    let status = reply_status(status).ok_or(Refused::InvalidValue)?;
    exchange.take_room(0)?;
    let before = mem::replace(&mut exchange.response.status, status);
    exchange.undo.push(Edit::Status(before));
    Ok(())
}

/// Notes something.
pub(crate) fn set_note(exchange: &mut Exchange, name: String, value: String) -> Result<(), Refused> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Refused::InvalidName);
    }
    exchange.take_room(name.len() + value.len())?;
    let count = exchange.notes.len();
    match exchange.notes.iter_mut().find(|(noted, _)| *noted == name) {
        Some((_, noted)) => {
            let before = mem::replace(noted, value);
            exchange.undo.push(Edit::Note(name, Some(before)));
        }
        None if count >= MAX_NOTES => return Err(Refused::TooLarge),
        None => {
            exchange.undo.push(Edit::Note(name.clone(), None));
            exchange.notes.push((name, value));
        }
    }
    Ok(())
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

fn field_name(name: &str) -> Result<HeaderName, Refused> {
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

    #[test]
    fn a_failed_call_leaves_nothing_behind() {
        let mut exchange = Exchange::nobody();
        exchange.headers.append("x-kept", HeaderValue::from_static("one"));
        exchange.headers.append("x-kept", HeaderValue::from_static("two"));
        exchange.notes.push(("who".into(), "ada".into()));
        let before = (
            exchange.headers.clone(),
            exchange.target.clone(),
            exchange.notes.clone(),
        );

        set_header(&mut exchange, Side::Request, "x-kept", b"three".to_vec()).unwrap();
        append_header(&mut exchange, Side::Request, "x-new", b"1".to_vec()).unwrap();
        append_header(&mut exchange, Side::Request, "x-new", b"2".to_vec()).unwrap();
        remove_header(&mut exchange, Side::Request, "x-kept").unwrap();
        set_path(&mut exchange, "/elsewhere").unwrap();
        set_query(&mut exchange, Some("a=1")).unwrap();
        set_note(&mut exchange, "who".into(), "bob".into()).unwrap();
        set_note(&mut exchange, "new".into(), "note".into()).unwrap();
        set_status(&mut exchange, 404).unwrap();
        append_header(&mut exchange, Side::Request, "x-kept", b"four".to_vec()).unwrap();
        let room = exchange.room_kept;
        exchange.undo_edits();
        assert_eq!(exchange.room, room, "a failed call takes nothing of the others' room");

        assert_eq!(
            (
                exchange.headers.clone(),
                exchange.target.clone(),
                exchange.notes.clone()
            ),
            before
        );
        assert_eq!(exchange.response.status, StatusCode::OK);
    }

    #[test]
    fn a_response_is_edited_where_it_comes_back_to_the_filter() {
        let mut exchange = Exchange::nobody();
        for place in 0..3 {
            exchange.place = place;
            append_response_header(&mut exchange, "x-by", place.to_string().into_bytes()).unwrap();
            append_response_header(&mut exchange, "x-by", b"again".to_vec()).unwrap();
            exchange.keep_edits();
        }
        exchange.place = 1;
        remove_response_header(&mut exchange, "x-by").unwrap();
        exchange.undo_edits();
        let by = |exchange: &Exchange| -> Vec<HeaderValue> {
            exchange.response.headers.get_all("x-by").iter().cloned().collect()
        };
        // The filter at place 2 has replied, so the response begins below it.
        exchange.come_back_to(1);
        assert_eq!(by(&exchange), ["1", "again"]);
        exchange.come_back_to(0);
        assert_eq!(by(&exchange), ["1", "again", "0", "again"]);
        assert!(exchange.later.is_empty());
    }

    #[test]
    fn framing_and_connection_fields_are_refused() {
        let mut exchange = Exchange::nobody();
        for name in [
            "Content-Length",
            "connection",
            "Transfer-Encoding",
            "Host",
            "Keep-Alive",
            "upgrade",
        ] {
            let refused = set_header(&mut exchange, Side::Request, name, b"1".to_vec());
            assert_eq!(refused, Err(Refused::Protected), "{name}");
        }
    }

    #[test]
    fn a_value_with_a_line_break_is_refused() {
        let mut exchange = Exchange::nobody();
        let refused = set_header(&mut exchange, Side::Response, "x-a", b"1\r\nx-b: 2".to_vec());
        assert_eq!(refused, Err(Refused::InvalidValue));
    }

    #[test]
    fn what_filters_add_is_bounded() {
        let mut exchange = Exchange::nobody();
        let mut added = 0;
        while set_note(&mut exchange, "n".into(), "x".repeat(10_000)).is_ok() {
            added += 1;
            assert!(added < 1000);
        }
        assert_eq!(
            set_header(&mut exchange, Side::Request, "x-a", vec![b'a'; 60_000]),
            Err(Refused::TooLarge)
        );
        let mut exchange = Exchange::nobody();
        let ahead = (0..1000).take_while(|_| append_response_header(&mut exchange, "x-a", b"1".to_vec()).is_ok());
        assert_eq!(ahead.count(), MAX_LATER);
    }
}
