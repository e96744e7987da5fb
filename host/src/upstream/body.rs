//! The body of a target's response, and the connection it comes over.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Lease;
use crate::body::{BodyError, ClientBodyState};

/// A response's body while it streams. Its connection is given back when it ends, and closed when it is dropped before.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    request: Option<Rc<ClientBodyState>>,
    limit: Duration,
    last: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl UpstreamBody {
    /// `request` is the state of the request's body, where it had one that streams: a connection whose request was not
    /// sent to its end cannot serve another.
    pub(crate) fn new(
        incoming: Incoming,
        lease: Lease,
        request: Option<Rc<ClientBodyState>>,
        limit: Duration,
    ) -> UpstreamBody {
        let mut body = UpstreamBody {
            incoming,
            lease: Some(lease),
            request,
            limit,
            last: None,
            timer: None,
        };
        if body.incoming.is_end_stream() {
            body.ended();
        }
        body
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Pending => self.poll_stalled(cx),
            Poll::Ready(Some(Ok(frame))) => {
                self.last = None;
                // Nothing follows trailers, and whoever has them may not ask again.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "upstream broke off in the middle of a response");
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::UpstreamReset)))
            }
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
        }
    }

    /// One timer serves all the waits of a body: when it fires it looks how long the wait at hand has been.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let last = *self.last.get_or_insert_with(Instant::now);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(last + self.limit)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let due = last + self.limit;
            if Instant::now() >= due {
                self.lease = None;
                return Poll::Ready(Some(Err(BodyError::UpstreamStalled)));
            }
            timer.as_mut().reset(due);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn ended(&mut self) {
        let sent = self.request.as_ref().is_none_or(|request| request.ended.get());
        if let Some(lease) = self.lease.take()
            && sent
        {
            lease.keep();
        }
    }
}
