//! What filters do with bodies: hold a whole one, or rewrite it while it streams.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout_at;

use super::{Phase, Stage};
use crate::body::{Body, BodyError};
use crate::pipeline::ExchangeId;
use crate::wasm::{Failure, Transform};

/// Why a body could not be held.
pub(crate) enum BufferError {
    /// It is larger than allowed.
    TooLarge,
    /// The route's time is over.
    Deadline,
    /// It broke off.
    Broken(BodyError),
}

/// Reads a whole body, up to a limit and until a time.
pub(crate) async fn buffer(
    body: Body,
    limit: u64,
    deadline: Instant,
) -> Result<(Bytes, Option<Box<HeaderMap>>), BufferError> {
    match body {
        Body::Empty => Ok((Bytes::new(), None)),
        Body::Full(bytes, trailers) if bytes.len() as u64 <= limit => Ok((bytes, trailers)),
        body => timeout_at(deadline.into(), read(body, limit))
            .await
            .unwrap_or(Err(BufferError::Deadline)),
    }
}

async fn read(mut body: Body, limit: u64) -> Result<(Bytes, Option<Box<HeaderMap>>), BufferError> {
    if body.size_hint().lower() > limit {
        return Err(BufferError::TooLarge);
    }
    let (mut first, mut rest, mut trailers) = (Bytes::new(), BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(BufferError::Broken)?.into_data() {
            Ok(data) => {
                if (first.len() + rest.len() + data.len()) as u64 > limit {
                    return Err(BufferError::TooLarge);
                }
                // A body of one chunk, as most small ones are, is not copied.
                if first.is_empty() && rest.is_empty() {
                    first = data;
                } else {
                    if rest.is_empty() {
                        rest.extend_from_slice(&std::mem::take(&mut first));
                    }
                    rest.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok().map(Box::new),
        }
    }
    Ok((if rest.is_empty() { first } else { rest.freeze() }, trailers))
}

/// A body that a filter rewrites while it streams.
pub(crate) struct Transformed {
    source: Body,
    work: Work,
    trailers: Option<HeaderMap>,
    stage: Rc<Stage>,
    phase: Phase,
    id: ExchangeId,
}

/// What one call gave, and the transform where the body goes on.
type Step = (Option<Transform>, Result<Bytes, Failure>);

enum Work {
    Idle(Transform),
    Busy(Pin<Box<dyn Future<Output = Step>>>),
    Done,
}

impl Transformed {
    pub(crate) fn new(
        source: Body,
        transform: Transform,
        stage: Rc<Stage>,
        phase: Phase,
        id: ExchangeId,
    ) -> Transformed {
        Transformed {
            source,
            work: Work::Idle(transform),
            trailers: None,
            stage,
            phase,
            id,
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.work, Work::Done) {
                Work::Idle(transform) => self.work = ready!(self.poll_source(cx, transform))?,
                Work::Busy(mut busy) => match busy.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.work = Work::Busy(busy);
                        return Poll::Pending;
                    }
                    Poll::Ready((transform, Ok(bytes))) => {
                        if let Some(transform) = transform {
                            self.work = Work::Idle(transform);
                        }
                        if bytes.has_remaining() {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    Poll::Ready((_, Err(failure))) => {
                        self.stage.record_failure(self.phase, &failure, self.id);
                        return Poll::Ready(Some(Err(BodyError::FilterFailed)));
                    }
                },
                Work::Done => return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            }
        }
    }

    /// Reads the next piece of the source and gives the work to be done on it.
    fn poll_source(&mut self, cx: &mut Context<'_>, mut transform: Transform) -> Poll<Result<Work, BodyError>> {
        let frame = match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Pending => {
                self.work = Work::Idle(transform);
                return Poll::Pending;
            }
            Poll::Ready(frame) => frame.transpose()?,
        };
        let chunk = match frame.map(Frame::into_data) {
            Some(Ok(chunk)) => Some(chunk),
            Some(Err(frame)) => {
                self.trailers = frame.into_trailers().ok();
                None
            }
            None => None,
        };
        Poll::Ready(Ok(Work::Busy(match chunk {
            Some(chunk) => Box::pin(async move {
                let pushed = transform.push(&chunk).await;
                (Some(transform), pushed)
            }),
            None => Box::pin(async move { (None, transform.finish().await) }),
        })))
    }
}
