//! The response that a filter gives itself.

use serde::Serialize;
use serde_json::json;

use crate::{HeaderValue, log};

/// A response that a filter gives instead of the backend's.
///
/// The gateway adds what frames the body (`content-length` and its like) and refuses, as a failure of the filter, a
/// status outside 200 to 599, a field name that is no token, and a field that belongs to the connection.
///
/// ```
/// use portcullis_sdk::Reply;
///
/// let reply = Reply::json(401, serde_json::json!({ "message": "Token is missing!" }))
///     .header("www-authenticate", "Bearer");
///
/// assert_eq!(reply.status(), 401);
/// assert_eq!(reply.header_value("content-type").unwrap(), "application/json");
/// assert_eq!(reply.body_bytes(), br#"{"message":"Token is missing!"}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A reply with an empty body. The status is 200 to 599.
    pub fn new(status: u16) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A reply of `text/plain` in UTF-8.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Reply::new(status)
            .header("content-type", "text/plain; charset=utf-8")
            .body(text.into().into_bytes())
    }

    /// A reply of `application/json`.
    ///
    /// A value that JSON cannot hold (a map whose keys are no strings) gives a bare 500, and a line in the log.
    pub fn json(status: u16, value: impl Serialize) -> Self {
        Reply::serialized(status, "application/json", &value)
    }

    /// A reply of `application/problem+json`: a machine-readable error of RFC 9457.
    ///
    /// ```
    /// use portcullis_sdk::Reply;
    ///
    /// let reply = Reply::problem(403, "Forbidden", "The token lacks the scope `orders`.");
    /// assert_eq!(reply.header_value("content-type").unwrap(), "application/problem+json");
    /// ```
    pub fn problem(status: u16, title: &str, detail: &str) -> Self {
        let problem = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
        Reply::serialized(status, "application/problem+json", &problem)
    }

    /// Adds a header field. A name that was added before gets another value.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the whole body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Every header field, names in lower case, in the order they were added.
    pub fn headers(&self) -> &[(String, HeaderValue)] {
        &self.headers
    }

    /// The first value of a field. Names are matched without regard to case.
    pub fn header_value(&self, name: &str) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The whole body.
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    fn serialized(status: u16, content_type: &str, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Reply::new(status).header("content-type", content_type).body(body),
            Err(error) => {
                log::error(format!("a reply cannot be written as JSON: {error}"));
                Reply::new(500)
            }
        }
    }
}
