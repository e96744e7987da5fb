//! The client's request, and the notes of its exchange.

use std::fmt;

use crate::edits::{self, HeaderEdits, Room};
use crate::{EditError, HeaderValue, host, path};

/// The client's request, as the next filter and then the backend will see it.
///
/// It is lent for the length of one call. Every read asks the gateway, which costs about 0.2 microseconds and copies
/// only what was asked for: read what you need, and read it once. Edits cost next to nothing: they are checked and seen
/// at once, and made when the call has ended well; a call that fails has changed nothing.
///
/// ```
/// use portcullis_sdk::{EditError, Request};
///
/// /// Passes the caller on as `x-user`, whatever the client wrote there.
/// fn name_the_caller(request: &mut Request, user: &str) -> Result<(), EditError> {
///     request.set_header("x-user", user)?;
///     request.set_note("user", user)
/// }
/// ```
pub struct Request {
    pub(crate) host: host::Request,
    pub(crate) edits: RequestEdits,
}

/// What a call changes of the request.
#[derive(Debug, Default)]
pub(crate) struct RequestEdits {
    pub(crate) path: Option<String>,
    pub(crate) query: Option<Option<String>>,
    pub(crate) headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    pub(crate) notes: Vec<(String, String)>,
    /// Notes that may still be added.
    more_notes: u32,
    /// The request has been sent.
    sent: bool,
}

impl RequestEdits {
    /// The edits of a request phase.
    pub(crate) fn before_it_is_sent(room: Room) -> Self {
        RequestEdits {
            headers: HeaderEdits::new(room.fields),
            response_headers: HeaderEdits::new(u32::MAX),
            more_notes: room.notes,
            ..RequestEdits::default()
        }
    }

    /// The edits of a response phase: nothing but notes.
    pub(crate) fn after_it_was_sent(room: Room) -> Self {
        RequestEdits {
            more_notes: room.notes,
            sent: true,
            ..RequestEdits::default()
        }
    }

    fn in_time(&mut self) -> Result<&mut Self, EditError> {
        if self.sent { Err(EditError::TooLate) } else { Ok(self) }
    }
}

impl Request {
    /// The exchange's id: the same in the access log and in every error the gateway makes itself.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// The method, as received: `GET`.
    pub fn method(&self) -> String {
        self.host.method()
    }

    /// `http` or `https`, as the client reached the gateway (or, from a trusted proxy, as that proxy says).
    pub fn scheme(&self) -> String {
        self.host.scheme()
    }

    /// Host and, where the client named one, port: `example.com:8080`.
    pub fn authority(&self) -> String {
        self.host.authority()
    }

    /// The path in its one normal form, the one that was matched and will be forwarded: `/users/7`.
    pub fn path(&self) -> String {
        self.edits.path.clone().unwrap_or_else(|| self.host.path())
    }

    /// What follows `?`, or none.
    pub fn query(&self) -> Option<String> {
        self.edits.query.clone().unwrap_or_else(|| self.host.query())
    }

    /// Replaces the path sent to the backend. The route does not change.
    ///
    /// It begins with `/` and is put into the same normal form as a client's path.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] where it has no normal form, [`EditError::TooLate`] in a response phase.
    pub fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        let edits = self.edits.in_time()?;
        let normal = path::normalised(path).ok_or(EditError::InvalidValue)?;
        edits::take_bytes(normal.len())?;
        edits.path = Some(normal);
        Ok(())
    }

    /// Replaces the query sent to the backend, or removes it.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] where it holds what RFC 3986 section 3.4 does not allow, [`EditError::TooLate`] in a
    /// response phase.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), EditError> {
        let edits = self.edits.in_time()?;
        let forbidden = |byte: u8| !byte.is_ascii_graphic() || b"#<>".contains(&byte);
        if query.is_some_and(|query| query.bytes().any(forbidden)) {
            return Err(EditError::InvalidValue);
        }
        edits::take_bytes(query.map_or(0, str::len))?;
        edits.query = Some(query.map(str::to_owned));
        Ok(())
    }

    /// The name of the route that matched.
    pub fn route(&self) -> String {
        self.host.route()
    }

    /// The value that a `{name}` of the route's match took, percent-decoded.
    pub fn path_parameter(&self, name: &str) -> Option<String> {
        self.host.path_parameter(name)
    }

    /// The client's address without port: the peer, or what a trusted proxy forwarded.
    pub fn client_address(&self) -> String {
        self.host.client_address()
    }

    /// The first value of a field. Names are matched without regard to case.
    pub fn header(&self, name: &str) -> Option<HeaderValue> {
        let first = self.edits.headers.first(name, || self.host.header(name));
        first.map(HeaderValue::from)
    }

    /// Every value of a field, in the order received.
    pub fn header_values(&self, name: &str) -> Vec<HeaderValue> {
        let values = self.edits.headers.values(name, || self.host.header_values(name));
        values.into_iter().map(HeaderValue::from).collect()
    }

    /// Every field, in no order between names, in the order received within one name. Names are in lower case.
    pub fn headers(&self) -> Vec<(String, HeaderValue)> {
        let fields = self.edits.headers.all(self.host.headers());
        fields.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    /// Replaces every value of a field with one: text, bytes or a [`HeaderValue`].
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.edits.in_time()?.headers.set(name, value.as_ref())
    }

    /// Adds a value after those that are there.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.edits.in_time()?.headers.append(name, value.as_ref())
    }

    /// Removes every value of a field; nothing happens where there is none.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.edits.in_time()?.headers.remove(name)
    }

    /// Replaces a field of the response, whatever response it will be, when it comes back to this filter.
    ///
    /// It spares a filter that has decided by now its response phase, which costs more than the edit. A reply of this
    /// same filter carries fields of its own instead.
    ///
    /// ```
    /// # use portcullis_sdk::testing::Exchange;
    /// # use portcullis_sdk::{EditError, Failure, Filter, NoSettings, Outcome, Request, SettingsError};
    /// # struct Tag;
    /// # impl Filter for Tag {
    /// #     type Settings = NoSettings;
    /// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(Tag) }
    /// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
    /// #         echo_id(request)?;
    /// #         Ok(Outcome::Continue)
    /// #     }
    /// # }
    /// fn echo_id(request: &mut Request) -> Result<(), EditError> {
    ///     request.set_response_header("x-request-id", request.id())
    /// }
    /// # let ran = Exchange::get("/").run(&Tag);
    /// # assert_eq!(ran.response().header("x-request-id").unwrap(), ran.request().id().as_str());
    /// ```
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn set_response_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.edits.in_time()?.response_headers.set(name, value.as_ref())
    }

    /// Adds a value to a field of the response, as [`set_response_header`](Request::set_response_header) sets one.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn append_response_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.edits.in_time()?.response_headers.append(name, value.as_ref())
    }

    /// Removes a field of the response, as [`set_response_header`](Request::set_response_header) sets one.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), EditError> {
        self.edits.in_time()?.response_headers.remove(name)
    }

    /// What this or another filter noted on the exchange, in this or an earlier phase.
    pub fn note(&self, name: &str) -> Option<String> {
        match self.edits.notes.iter().rfind(|(noted, _)| noted == name) {
            Some((_, value)) => Some(value.clone()),
            None => self.host.note(name),
        }
    }

    /// Notes something for later phases, other filters and the access log. Replaces an earlier note of that name.
    ///
    /// # Errors
    /// [`EditError::InvalidName`] where the name is empty or holds a control character, [`EditError::TooLarge`] past
    /// the gateway's limit on notes.
    pub fn set_note(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(EditError::InvalidName);
        }
        // Where there is room it need not be asked whether the note replaces another.
        let more = match self.edits.more_notes.checked_sub(1) {
            Some(more) => more,
            None if self.note(name).is_some() => 0,
            None => return Err(EditError::TooLarge),
        };
        edits::take_bytes(name.len() + value.len())?;
        self.edits.more_notes = more;
        self.edits.notes.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id())
            .field("method", &self.method())
            .field("path", &self.path())
            .field("query", &self.query())
            .field("headers", &self.headers())
            .finish_non_exhaustive()
    }
}
