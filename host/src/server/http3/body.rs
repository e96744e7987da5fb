//! The body of a request that comes over HTTP/3.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::StreamError;
use h3::server::RequestStream;
use http::Method;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::quic::Receiver;
use crate::body::BodyError;

/// A request's body, held to the length that its head announced (RFC 9114 section 4.1.2).
pub(crate) struct RequestBody {
    stream: RequestStream<Receiver, Bytes>,
    /// Whether the client has taken its request back.
    gave_up: Rc<Cell<bool>>,
    /// Told when somebody asks for what has not come.
    asked: Option<Rc<Notify>>,
    /// What was read to find out whether there is anything.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    /// Bytes that are announced and have not come.
    left: Option<u64>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Content,
    Trailers,
    Ended,
}

/// How long it is waited for the end of a request that need not have a body. Its head does not say whether it has one, its
/// end may come a packet later, and no target should be sent an empty body of unknown length.
const END_OF_HEAD: Duration = Duration::from_millis(50);

impl RequestBody {
    /// What follows a head that announced so many bytes, or said nothing. `gave_up` is set when the client takes it back.
    pub(super) fn new(
        stream: RequestStream<Receiver, Bytes>,
        announced: Option<u64>,
        gave_up: Rc<Cell<bool>>,
    ) -> RequestBody {
        RequestBody {
            stream,
            gave_up,
            asked: None,
            first: None,
            left: announced,
            stage: Stage::Content,
        }
    }

    /// Finds out whether there is any body, as far as that can be known soon.
    pub(super) async fn begin(&mut self, method: &Method) {
        let patience = match self.left {
            Some(1..) => return,
            None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Duration::ZERO,
            Some(0) | None => END_OF_HEAD,
        };
        let first = timeout(patience, poll_fn(|cx| self.poll_frame(cx))).await;
        self.first = first.ok().flatten();
    }

    /// What is told when somebody asks for a body that its client has not begun to send.
    pub(super) fn asked(&mut self) -> Rc<Notify> {
        self.asked.get_or_insert_default().clone()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let asked = self.asked.take();
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let polled = self.poll_next(cx);
        if polled.is_pending()
            && let Some(asked) = asked
        {
            asked.notify_one();
        }
        let polled = ready!(polled);
        if let Some(Err(_)) = &polled {
            self.stage = Stage::Ended;
        }
        Poll::Ready(polled)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stage == Stage::Ended && self.first.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let first = first.map_or(0, Bytes::len) as u64;
        match self.left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            // Nobody shall take a body for empty that is wrong.
            _ if matches!(self.first, Some(Err(_))) => SizeHint::default(),
            Some(left) => SizeHint::with_exact(left + first),
            None => {
                let mut hint = SizeHint::new();
                hint.set_lower(first);
                hint
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Content => match ready!(self.stream.poll_recv_data(cx)) {
                    Ok(Some(mut data)) => {
                        let bytes = data.copy_to_bytes(data.remaining());
                        if bytes.is_empty() {
                            continue;
                        }
                        if let Some(left) = &mut self.left {
                            match left.checked_sub(bytes.len() as u64) {
                                Some(less) => *left = less,
                                None => return Poll::Ready(Some(Err(BodyError::Malformed))),
                            }
                        }
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Ok(None) if self.left.is_some_and(|left| left > 0) => {
                        return Poll::Ready(Some(Err(BodyError::Malformed)));
                    }
                    Ok(None) => self.stage = Stage::Trailers,
                    Err(error) => return Poll::Ready(Some(Err(self.failure(&error)))),
                },
                Stage::Trailers => {
                    let trailers = ready!(self.stream.poll_recv_trailers(cx));
                    self.stage = Stage::Ended;
                    return Poll::Ready(match trailers {
                        Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                        Err(error) => Some(Err(self.failure(&error))),
                    });
                }
            }
        }
    }

    fn failure(&self, error: &StreamError) -> BodyError {
        match error {
            StreamError::RemoteTerminate { .. } => {
                self.gave_up.set(true);
                BodyError::ClientGone
            }
            StreamError::ConnectionError { .. } => BodyError::ClientGone,
            _ => BodyError::Malformed,
        }
    }
}
