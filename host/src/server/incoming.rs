//! What a client sends with its request, in whatever protocol.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::http3::RequestBody;
use crate::body::BodyError;

/// The body of a client's request, as its protocol hands it over.
pub(crate) enum Incoming {
    /// HTTP/1 and HTTP/2.
    Hyper(hyper::body::Incoming),
    /// HTTP/3.
    Http3(Box<RequestBody>),
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(incoming: hyper::body::Incoming) -> Incoming {
        Incoming::Hyper(incoming)
    }
}

impl From<Box<RequestBody>> for Incoming {
    fn from(body: Box<RequestBody>) -> Incoming {
        Incoming::Http3(body)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Incoming::Hyper(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| failure(&error))))
            }
            Incoming::Http3(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Incoming::Hyper(incoming) => incoming.is_end_stream(),
            Incoming::Http3(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Incoming::Hyper(incoming) => incoming.size_hint(),
            Incoming::Http3(body) => body.size_hint(),
        }
    }
}

/// Bytes that are wrong, or bytes that do not come.
fn failure(error: &hyper::Error) -> BodyError {
    if is_malformed(error) {
        BodyError::Malformed
    } else {
        BodyError::ClientGone
    }
}

/// Bytes that are wrong, as against bytes that do not come.
pub(crate) fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| matches!(error.kind(), InvalidData | InvalidInput))
}
