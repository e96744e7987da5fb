//! What came of an exchange.

use crate::{Reply, Request, Response};

/// An exchange after it ran: what the backend got, and what the client gets.
///
/// ```
/// # use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, Phase, Request, Response, SettingsError};
/// # struct Tag;
/// # impl Filter for Tag {
/// #     type Settings = NoSettings;
/// #     const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];
/// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(Tag) }
/// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
/// #         request.set_header("x-tag", "a")?;
/// #         request.set_note("tag", "a")?;
/// #         Ok(Outcome::Continue)
/// #     }
/// #     fn on_response(&self, _: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
/// #         response.set_header("x-tag", "a")?;
/// #         Ok(Outcome::Continue)
/// #     }
/// # }
/// use portcullis_sdk::testing::Exchange;
///
/// // `Tag` sets the field `x-tag` of request and response, and a note.
/// let ran = Exchange::post("/orders").request_body("one").response(201).response_body("done").run(&Tag);
///
/// assert!(ran.replied().is_none());
/// assert_eq!(ran.request().header("x-tag").unwrap(), "a");
/// assert_eq!(ran.note("tag").as_deref(), Some("a"));
/// assert_eq!(ran.request_body(), b"one");
/// assert_eq!((ran.response().status(), ran.response().header("x-tag").unwrap()), (201, "a".into()));
/// assert_eq!(ran.response_body(), b"done");
/// ```
#[derive(Debug)]
pub struct Ran {
    pub(super) request: Request,
    pub(super) request_body: Vec<u8>,
    pub(super) response: Response,
    pub(super) response_body: Vec<u8>,
    pub(super) replied: Option<Reply>,
}

impl Ran {
    /// The filter's own reply, if it gave one.
    pub fn replied(&self) -> Option<&Reply> {
        self.replied.as_ref()
    }

    /// The request as the next filter or the backend sees it.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The response as the client sees it: the backend's with the filter's edits, the filter's reply, or the gateway's
    /// refusal of a body that is too large.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The body that goes to the backend.
    pub fn request_body(&self) -> &[u8] {
        &self.request_body
    }

    /// The body that goes to the client.
    pub fn response_body(&self) -> &[u8] {
        &self.response_body
    }

    /// What was noted on the exchange.
    pub fn note(&self, name: &str) -> Option<String> {
        self.request.note(name)
    }
}
