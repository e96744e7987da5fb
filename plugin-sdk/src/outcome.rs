//! What a filter decides.

use std::fmt;

use crate::{BodyTransform, Reply};

/// How an exchange goes on after [`on_request`](crate::Filter::on_request) or
/// [`on_response`](crate::Filter::on_response).
///
/// ```
/// use portcullis_sdk::{Outcome, Reply};
///
/// let refuse: Outcome = Reply::text(403, "not you").into();
/// assert!(matches!(refuse, Outcome::Reply(reply) if reply.status() == 403));
/// ```
pub enum Outcome {
    /// To the next filter, and in the end to the backend or the client.
    Continue,
    /// Answer with this.
    ///
    /// From `on_request`: the backend and the filters after this one never see the request, and the filters before this
    /// one see the reply in their response phase. From `on_response`: instead of the backend's response.
    Reply(Reply),
    /// Collect the body, up to this many bytes, and call the body phase, which [`PHASES`](crate::Filter::PHASES) must
    /// list.
    ///
    /// A larger request body is refused with 413, a larger response body is answered with 502.
    BufferBody(u64),
    /// Pass the body through this transform, chunk by chunk, while it streams.
    TransformBody(Box<dyn BodyTransform>),
}

impl Outcome {
    /// [`Outcome::TransformBody`] without the `Box::new`.
    pub fn transform(transform: impl BodyTransform) -> Self {
        Outcome::TransformBody(Box::new(transform))
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome::Reply(reply)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Continue => f.write_str("Continue"),
            Outcome::Reply(reply) => f.debug_tuple("Reply").field(reply).finish(),
            Outcome::BufferBody(limit) => f.debug_tuple("BufferBody").field(limit).finish(),
            Outcome::TransformBody(_) => f.write_str("TransformBody(..)"),
        }
    }
}

/// How an exchange goes on after a whole body was read.
///
/// ```
/// use portcullis_sdk::BodyOutcome;
///
/// fn shout(body: Vec<u8>) -> BodyOutcome {
///     BodyOutcome::Replace(body.to_ascii_uppercase())
/// }
/// assert_eq!(shout(b"hello".to_vec()), BodyOutcome::Replace(b"HELLO".to_vec()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyOutcome {
    /// With the body as it is.
    Continue,
    /// With this body instead.
    Replace(Vec<u8>),
    /// Answer with this instead.
    Reply(Reply),
}

impl From<Reply> for BodyOutcome {
    fn from(reply: Reply) -> Self {
        BodyOutcome::Reply(reply)
    }
}
