//! The body of a target's response, and the connection it comes over.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Alarm, Lease, Verdict};
use crate::body::{BodyError, ClientBodyState};
use crate::grpc;
use crate::server::hop_by_hop;
use crate::server::incoming::is_malformed;

/// A response's body while it streams. Its connection is given back when it ends, and closed when it is dropped before.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    request: Option<Rc<ClientBodyState>>,
    verdict: Option<Box<Verdict>>,
    limit: Duration,
    last: Option<Instant>,
    alarm: Alarm,
}

impl UpstreamBody {
    /// `request` is the state of the request's body, where it had one that streams: a connection whose request was not
    /// sent to its end cannot serve another. `verdict` hears how it went, where that is not known yet.
    pub(crate) fn new(
        incoming: Incoming,
        lease: Lease,
        request: Option<Rc<ClientBodyState>>,
        verdict: Option<Box<Verdict>>,
        limit: Duration,
    ) -> UpstreamBody {
        let mut body = UpstreamBody {
            incoming,
            lease: Some(lease),
            request,
            verdict,
            limit,
            last: None,
            alarm: Alarm::default(),
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
                if let Some(trailers) = frame.trailers_ref() {
                    self.went(grpc::is_unavailable(trailers));
                }
                // Nothing follows trailers, and whoever has them may not ask again.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(hop_by_hop::without_forbidden_trailers(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "upstream broke off in the middle of a response");
                self.lease = None;
                self.went(true);
                Poll::Ready(Some(Err(if is_malformed(&error) {
                    BodyError::UpstreamMalformed
                } else {
                    BodyError::UpstreamReset
                })))
            }
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let last = *self.last.get_or_insert_with(Instant::now);
        self.alarm.poll(last + self.limit, cx).map(|()| {
            self.lease = None;
            self.went(true);
            Some(Err(BodyError::UpstreamStalled))
        })
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// Tells how it went, the first time this is known.
    fn went(&mut self, badly: bool) {
        if let Some(verdict) = self.verdict.take() {
            verdict.give(badly);
        }
    }

    fn ended(&mut self) {
        self.went(false);
        let sent = self
            .request
            .as_ref()
            .is_none_or(|request| request.ended.get().is_some());
        if let Some(lease) = self.lease.take()
            && sent
        {
            lease.keep();
        }
    }
}
