//! The exchange that a test describes.

use super::fields::Fields;
use super::host;
use super::path;
use super::phases;
use super::ran::Ran;
use crate::{ClientCertificate, Failure, Filter, HeaderValue};

/// An exchange to run a filter on: a request, and the response that the backend gives if it is asked.
///
/// ```
/// # use portcullis_sdk::{Filter, NoSettings, SettingsError};
/// # struct Nothing;
/// # impl Filter for Nothing {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(Nothing) }
/// # }
/// use portcullis_sdk::testing::Exchange;
///
/// let exchange = Exchange::new("POST", "/orders?dry-run=1")
///     .header("content-type", "application/json")
///     .path_parameter("id", "7")
///     .request_body(r#"{"item":1}"#);
///
/// let ran = exchange.run(&Nothing);
/// assert_eq!(ran.request_body(), br#"{"item":1}"#);
/// assert_eq!(ran.response().status(), 200);
/// ```
#[derive(Clone, Debug)]
#[must_use = "an exchange does nothing until it is run"]
pub struct Exchange {
    pub(super) request: host::Request,
    pub(super) request_body: Vec<u8>,
    pub(super) response: host::Response,
    pub(super) response_body: Vec<u8>,
    pub(super) chunk_size: usize,
    /// Whether the test says anything of the response, and so expects somebody to look at it.
    pub(super) response_matters: bool,
}

/// The largest chunk that the gateway gives to a transform.
const LARGEST_CHUNK: usize = 64 * 1024;

impl Exchange {
    /// A request of this method for this path and, after `?`, query.
    ///
    /// It comes from 127.0.0.1 by `http` to `example.com`, on a route named `test`. The backend answers 200 with an
    /// empty body.
    ///
    /// # Panics
    /// Where the gateway would refuse the path before any filter sees it.
    pub fn new(method: &str, path_and_query: &str) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path_and_query, None),
        };
        let path = path::normalised(path).unwrap_or_else(|| panic!("the gateway refuses the path `{path}`"));
        Exchange {
            request: host::Request::new(method, path, query),
            request_body: Vec::new(),
            response: host::Response {
                status: 200,
                fields: Fields::default(),
            },
            response_body: Vec::new(),
            chunk_size: LARGEST_CHUNK,
            response_matters: false,
        }
    }

    /// A GET request.
    pub fn get(path_and_query: &str) -> Self {
        Exchange::new("GET", path_and_query)
    }

    /// A POST request.
    pub fn post(path_and_query: &str) -> Self {
        Exchange::new("POST", path_and_query)
    }

    /// Adds a header field to the request.
    ///
    /// # Panics
    /// Where the gateway would refuse such a field before any filter sees it.
    pub fn header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        self.request.fields.receive(name, value.into());
        self
    }

    /// Sets how the client reached the gateway: `http` or `https`.
    pub fn scheme(mut self, scheme: &str) -> Self {
        scheme.clone_into(&mut self.request.scheme);
        self
    }

    /// Sets host and port as the client named them.
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.request.authority);
        self
    }

    /// Sets where the client comes from.
    pub fn client_address(mut self, address: &str) -> Self {
        address.clone_into(&mut self.request.client_address);
        self
    }

    /// Sets who the client is by its certificate.
    pub fn client_certificate(mut self, shown: ClientCertificate) -> Self {
        self.request.client_certificate = Some(shown);
        self
    }

    /// Names the route that matched.
    pub fn route(mut self, name: &str) -> Self {
        name.clone_into(&mut self.request.route);
        self
    }

    /// Sets what a `{name}` of the route's match took.
    pub fn path_parameter(mut self, name: &str, value: &str) -> Self {
        self.request.path_parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Notes something, as a filter before this one would.
    pub fn note(mut self, name: &str, value: &str) -> Self {
        self.request.notes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the request's body.
    pub fn request_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request_body = body.into();
        self
    }

    /// Sets the status that the backend answers with.
    pub fn response(mut self, status: u16) -> Self {
        self.response.status = status;
        self.response_matters = true;
        self
    }

    /// Adds a header field to the backend's response.
    ///
    /// # Panics
    /// Where the gateway would refuse such a field before any filter sees it.
    pub fn response_header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        self.response.fields.receive(name, value.into());
        self.response_matters = true;
        self
    }

    /// Sets the body of the backend's response.
    pub fn response_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.response_body = body.into();
        self.response_matters = true;
        self
    }

    /// Sets in how large chunks bodies pass a transform: 1 byte to 64 KiB, which it is if nothing else is said.
    ///
    /// # Panics
    /// Outside that range.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        assert!(
            (1..=LARGEST_CHUNK).contains(&bytes),
            "a chunk has 1 byte to 64 KiB, not {bytes}"
        );
        self.chunk_size = bytes;
        self
    }

    /// Drives the exchange through the filter's phases, as the gateway does.
    ///
    /// Request, and its body if the filter asks for it; then, unless the filter has replied, response and its body;
    /// then complete. The exchange itself stays as it is, so that it can be run again.
    ///
    /// # Panics
    /// Where the filter fails, replies with what the gateway refuses, or needs a phase that its
    /// [`PHASES`](Filter::PHASES) do not list.
    #[track_caller]
    pub fn run<F: Filter>(&self, filter: &F) -> Ran {
        match self.try_run(filter) {
            Ok(ran) => ran,
            Err(failure) => panic!("the filter failed: {failure}"),
        }
    }

    /// As [`run`](Exchange::run), for a test of how the filter fails.
    ///
    /// # Errors
    /// The failure that a phase of the filter gave.
    ///
    /// # Panics
    /// As [`run`](Exchange::run), but for the failure.
    #[track_caller]
    pub fn try_run<F: Filter>(&self, filter: &F) -> Result<Ran, Failure> {
        phases::drive(self, filter)
    }
}
