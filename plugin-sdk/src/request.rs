//! The client's request, and the notes of its exchange.

use std::fmt;

use crate::{ClientCertificate, EditError, HeaderValue, host};

/// The client's request, as the next filter and then the backend will see it.
///
/// It is lent for the length of one call. Every read asks the gateway, which costs about 0.2 microseconds and copies
/// only what was asked for: read what you need, and read it once.
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
        self.host.path()
    }

    /// What follows `?`, or none.
    pub fn query(&self) -> Option<String> {
        self.host.query()
    }

    /// Replaces the path sent to the backend. The route does not change.
    ///
    /// It begins with `/` and is put into the same normal form as a client's path.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] where it has no normal form, [`EditError::TooLate`] in a response phase.
    pub fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        self.host.set_path(path)
    }

    /// Replaces the query sent to the backend, or removes it.
    ///
    /// # Errors
    /// [`EditError::InvalidValue`] where it holds what RFC 3986 section 3.4 does not allow, [`EditError::TooLate`] in a
    /// response phase.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), EditError> {
        self.host.set_query(query)
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

    /// Who the client is by its certificate; none where it has shown none, or the listener asks for none.
    pub fn client_certificate(&self) -> Option<ClientCertificate> {
        self.host.client_certificate()
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

    /// Replaces a field of the response, whatever response it will be, when it comes back to this filter.
    ///
    /// It spares a filter that has decided by now its response phase, which costs more than the edit. A reply of this
    /// same filter does not come back to it: it carries fields of its own, so give them to the reply as well.
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
        self.host.set_response_header(name, value.as_ref())
    }

    /// Adds a value to a field of the response, as [`set_response_header`](Request::set_response_header) sets one.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn append_response_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), EditError> {
        self.host.append_response_header(name, value.as_ref())
    }

    /// Removes a field of the response, as [`set_response_header`](Request::set_response_header) sets one.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), EditError> {
        self.host.remove_response_header(name)
    }

    /// What this or another filter noted on the exchange, in this or an earlier phase.
    pub fn note(&self, name: &str) -> Option<String> {
        self.host.note(name)
    }

    /// Notes something for later phases, other filters and the access log. Replaces an earlier note of that name.
    ///
    /// # Errors
    /// [`EditError::InvalidName`] where the name is empty or holds a control character, [`EditError::TooLarge`] past
    /// the gateway's limit on notes.
    pub fn set_note(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        self.host.set_note(name, value)
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
