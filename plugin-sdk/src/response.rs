//! The response on its way to the client.

use std::fmt;

use crate::{EditError, HeaderValue, host};

/// The response, as the next filter and then the client will see it. It is lent for the length of one call.
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
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.host.status()
    }

    /// Replaces the status code: 200 to 599.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] outside that range.
    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        self.host.set_status(status)
    }

    /// The first value of a field. Names are matched without regard to case.
    pub fn header(&self, name: &str) -> Option<HeaderValue> {
        self.host.header(name).map(HeaderValue::from)
    }

    /// Every value of a field, in the order received.
    pub fn header_values(&self, name: &str) -> Vec<HeaderValue> {
        self.host
            .header_values(name)
            .into_iter()
            .map(HeaderValue::from)
            .collect()
    }

    /// Every field, in no order between names, in the order received within one name. Names are in lower case.
    pub fn headers(&self) -> Vec<(String, HeaderValue)> {
        self.host.headers().map(|(name, value)| (name, value.into())).collect()
    }

    /// Replaces every value of a field with one: text, bytes or a [`HeaderValue`].
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.host.set_header(name, value.as_ref())
    }

    /// Adds a value after those that are there.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.host.append_header(name, value.as_ref())
    }

    /// Removes every value of a field; nothing happens where there is none.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.host.remove_header(name)
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
