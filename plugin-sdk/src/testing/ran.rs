//! What came of an exchange.

use crate::{Reply, Request, Response};

/// An exchange after it ran: what the backend got, and what the client gets.
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
