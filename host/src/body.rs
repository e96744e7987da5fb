//! Bodies on their way through, of whatever origin.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::backend::mirror::{Copied, Teed};
use crate::backend::proxy::Recorded;
use crate::compression::Compressed;
use crate::pipeline::body::Transformed;
use crate::rejection::Rejection;
use crate::server::accept::section_size;
use crate::server::hop_by_hop;
use crate::server::incoming::Incoming;
use crate::server::wait::Watch;
use crate::upstream::{Upgraded, UpstreamBody};

/// The body of a request or response. Small, since it is handed on from layer to layer many times.
pub(crate) enum Body {
    /// None at all.
    Empty,
    /// All of it, and the trailers that came with it.
    Full(Bytes, Option<Box<HeaderMap>>),
    /// What a client is sending.
    Client(Box<ClientBody>),
    /// What a target is sending.
    Upstream(Box<UpstreamBody>),
    /// What a filter makes of another body.
    Transformed(Box<Transformed>),
    /// Another body, compressed.
    Compressed(Box<Compressed>),
    /// None at all, since the target goes on in another protocol.
    Upgraded(Box<Upgraded>),
    /// Another body, kept while it is read so that it can be sent again.
    Recorded(Box<Recorded>),
    /// Another body, copied for a mirror while it is read.
    Teed(Box<Teed>),
    /// Such a copy.
    Copied(Box<Copied>),
}

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request's body is larger than the limit")]
    TooLarge,
    #[error("the request's body is malformed")]
    Malformed,
    #[error("the request's trailers are larger than the limit")]
    TrailersTooLarge,
    #[error("the client went away")]
    ClientGone,
    #[error("the client stopped sending")]
    ClientStalled,
    #[error("the upstream broke off")]
    UpstreamReset,
    #[error("the upstream's body is malformed")]
    UpstreamMalformed,
    #[error("the upstream stopped sending")]
    UpstreamStalled,
    #[error("a filter failed on the body")]
    FilterFailed,
    /// The request that it is the body of was given up for another one of the same.
    #[error("the request was given up")]
    Superseded,
    #[error("the body could not be compressed")]
    CompressionFailed,
}

impl BodyError {
    /// What to tell the client, where it can still be told.
    pub(crate) fn rejection(self) -> Rejection {
        match self {
            BodyError::TooLarge => Rejection::BodyTooLarge,
            BodyError::Malformed => Rejection::BadRequest("the body is malformed"),
            BodyError::TrailersTooLarge => Rejection::HeadersTooLarge,
            BodyError::ClientGone => Rejection::ClientGone,
            BodyError::ClientStalled => Rejection::RequestTimeout,
            BodyError::UpstreamReset | BodyError::Superseded => Rejection::UpstreamReset,
            BodyError::UpstreamMalformed => Rejection::UpstreamMalformed,
            BodyError::UpstreamStalled => Rejection::UpstreamTimeout,
            BodyError::FilterFailed | BodyError::CompressionFailed => Rejection::FilterFailed,
        }
    }

    /// The word in the access log for an answer that broke off.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            BodyError::TooLarge => "body-too-large",
            BodyError::Malformed => "bad-request",
            BodyError::TrailersTooLarge => "headers-too-large",
            BodyError::ClientGone => "client-gone",
            BodyError::ClientStalled => "request-timeout",
            BodyError::UpstreamReset | BodyError::Superseded => "upstream-reset",
            BodyError::UpstreamMalformed => "upstream-malformed",
            BodyError::UpstreamStalled => "upstream-timeout",
            BodyError::FilterFailed => "filter-failed",
            BodyError::CompressionFailed => "compression-failed",
        }
    }
}

impl Body {
    /// A body that is all there.
    pub(crate) fn full(bytes: Bytes) -> Body {
        if bytes.is_empty() {
            Body::Empty
        } else {
            Body::Full(bytes, None)
        }
    }

    /// A copy to send again, where that costs next to nothing: there is no body, or all of it is in memory.
    pub(crate) fn again(&self) -> Option<Body> {
        match self {
            Body::Empty => Some(Body::Empty),
            Body::Full(bytes, trailers) => Some(Body::Full(bytes.clone(), trailers.clone())),
            Body::Recorded(recorded) => recorded.again().map(|again| Body::Recorded(Box::new(again))),
            _ => None,
        }
    }

    /// Whether all of it is here, so that several may read it at once.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Body::Empty | Body::Full(..))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        match body {
            Body::Empty | Body::Upgraded(_) => Poll::Ready(None),
            Body::Full(bytes, trailers) => {
                if !bytes.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
                }
                let trailers = trailers.take();
                *body = Body::Empty;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(*trailers))))
            }
            Body::Client(client) => client.poll_frame(cx),
            Body::Upstream(upstream) => upstream.poll_frame(cx),
            Body::Transformed(transformed) => transformed.poll_frame(cx),
            Body::Recorded(recorded) => recorded.poll_frame(cx),
            Body::Teed(teed) => teed.poll_frame(cx),
            Body::Copied(copied) => copied.poll_frame(cx),
            Body::Compressed(compressed) => compressed.poll_frame(cx),
        }
    }

    // The protocols ask seven times for a request and its response.
    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Upgraded(_) => true,
            Body::Full(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            Body::Client(client) => client.incoming.is_end_stream(),
            Body::Upstream(upstream) => upstream.is_end_stream(),
            Body::Transformed(_) => false,
            Body::Recorded(recorded) => recorded.is_end_stream(),
            Body::Teed(teed) => teed.is_end_stream(),
            Body::Copied(copied) => copied.is_end_stream(),
            Body::Compressed(compressed) => compressed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty | Body::Upgraded(_) => SizeHint::with_exact(0),
            Body::Full(_, Some(_)) => SizeHint::default(),
            Body::Full(bytes, None) => SizeHint::with_exact(bytes.len() as u64),
            Body::Client(client) => client.incoming.size_hint(),
            Body::Upstream(upstream) => upstream.size_hint(),
            Body::Transformed(_) | Body::Compressed(_) => SizeHint::default(),
            Body::Recorded(recorded) => recorded.size_hint(),
            Body::Teed(teed) => teed.size_hint(),
            Body::Copied(copied) => copied.size_hint(),
        }
    }
}

/// What became of a client's body so far. It is read by whoever sends it on, and asked here by the exchange.
#[derive(Debug, Default)]
pub(crate) struct ClientBodyState {
    pub(crate) read: Cell<u64>,
    pub(crate) failure: Cell<Option<BodyError>>,
    /// Whether it is the client that is waited for: somebody has asked for more than there was.
    pub(crate) is_awaited: Cell<bool>,
    /// When its last byte was handed on.
    pub(crate) ended: Cell<Option<Instant>>,
}

/// A client's body, counted against its limits while it streams.
pub(crate) struct ClientBody {
    incoming: Incoming,
    limit: u64,
    trailers: TrailerLimits,
    state: Rc<ClientBodyState>,
    watch: Watch,
}

/// What trailers may hold: as much as a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrailerLimits {
    /// Bytes, as HTTP/2 counts them; none in HTTP/1, where they have been counted as they came.
    pub(crate) size: Option<usize>,
    pub(crate) count: usize,
}

impl TrailerLimits {
    fn allow(&self, trailers: &HeaderMap) -> bool {
        trailers.len() <= self.count && self.size.is_none_or(|most| section_size(trailers) <= most)
    }
}

impl ClientBody {
    pub(crate) fn new(
        incoming: Incoming,
        limit: Option<u64>,
        trailers: TrailerLimits,
        state: Rc<ClientBodyState>,
        watch: Watch,
    ) -> ClientBody {
        ClientBody {
            incoming,
            limit: limit.unwrap_or(u64::MAX),
            trailers,
            state,
            watch,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.state.is_awaited.set(polled.is_pending());
        if polled.is_pending() {
            if self.watch.until_sent(cx.waker(), self.state.read.get()) {
                return Poll::Ready(Some(Err(self.fail(BodyError::ClientStalled))));
            }
            return Poll::Pending;
        }
        self.watch.over();
        match ready!(polled) {
            Some(Ok(frame)) => {
                let read = self.state.read.get() + frame.data_ref().map_or(0, |data| data.len() as u64);
                self.state.read.set(read);
                if read > self.limit {
                    return Poll::Ready(Some(Err(self.fail(BodyError::TooLarge))));
                }
                if frame
                    .trailers_ref()
                    .is_some_and(|trailers| !self.trailers.allow(trailers))
                {
                    return Poll::Ready(Some(Err(self.fail(BodyError::TrailersTooLarge))));
                }
                // Nothing follows trailers or the last byte of a known length, and who sends them on need not ask.
                let whole = self.incoming.is_end_stream() || self.incoming.size_hint().exact() == Some(0);
                if frame.is_trailers() || whole {
                    self.state.ended.set(Some(Instant::now()));
                }
                Poll::Ready(Some(Ok(hop_by_hop::without_forbidden_trailers(frame))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.fail(error)))),
            None => {
                self.state.ended.set(Some(Instant::now()));
                Poll::Ready(None)
            }
        }
    }

    fn fail(&self, error: BodyError) -> BodyError {
        self.state.failure.set(Some(error));
        error
    }
}
