//! The response on its way to the client.

use std::fmt;

use crate::edits::{self, HeaderEdits, Room};
use crate::{EditError, HeaderValue, host};

/// The response, as the next filter and then the client will see it. It is lent for the length of one call, whose edits
/// are seen at once and made when it has ended well.
///
/// ```
/// use portcullis_sdk::{EditError, Response};
///
/// fn hide_the_server(response: &mut Response) -> Result<(), EditError> {
///     response.remove_header("server")?;
///     response.append_header("vary", "origin")
/// }
/// ```
pub struct Response {
    pub(crate) host: host::Response,
    pub(crate) edits: ResponseEdits,
}

/// What a call changes of the response.
#[derive(Debug, Default)]
pub(crate) struct ResponseEdits {
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderEdits,
}

impl ResponseEdits {
    pub(crate) fn new(room: Room) -> Self {
        ResponseEdits {
            status: None,
            headers: HeaderEdits::new(room.fields),
        }
    }
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.edits.status.unwrap_or_else(|| self.host.status())
    }

    /// Replaces the status code: 200 to 599.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] outside that range.
    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        if !(200..=599).contains(&status) {
            return Err(EditError::InvalidValue);
        }
        edits::take_bytes(0)?;
        self.edits.status = Some(status);
        Ok(())
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
        self.edits.headers.set(name, value.as_ref())
    }

    /// Adds a value after those that are there.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.edits.headers.append(name, value.as_ref())
    }

    /// Removes every value of a field; nothing happens where there is none.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.edits.headers.remove(name)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("headers", &self.headers())
            .finish()
    }
}
