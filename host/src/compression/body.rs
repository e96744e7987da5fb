//! A body that is compressed while it streams.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};

use super::Permit;
use super::encoder::Encoder;
use crate::body::{Body, BodyError};

/// A body that is compressed while it streams. What has come is passed on whenever nothing more is there at once, so that no
/// byte waits for the next one.
pub(crate) struct Compressed {
    inner: Body,
    encoder: Encoder,
    /// What has come and is not encoded yet.
    input: Bytes,
    output: Vec<u8>,
    /// The encoder may hold back what it has taken.
    unflushed: bool,
    ended: bool,
    trailers: Option<HeaderMap>,
    _permit: Permit,
}

/// Bytes encoded at once.
const PIECE: usize = 16 << 10;
/// Bytes encoded before it is the turn of the thread's other work.
const TURN: usize = 64 << 10;
/// Bytes of output worth a frame of their own.
const FRAME: usize = 8 << 10;

impl Compressed {
    pub(super) fn new(inner: Body, encoder: Encoder, permit: Permit) -> Compressed {
        Compressed {
            inner,
            encoder,
            input: Bytes::new(),
            output: Vec::new(),
            unflushed: false,
            ended: false,
            trailers: None,
            _permit: permit,
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended && self.output.is_empty() && self.trailers.is_none()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut left = TURN;
        while !self.ended && self.output.len() < FRAME {
            if left == 0 {
                if self.output.is_empty() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                break;
            }
            if self.input.is_empty() {
                match self.poll_input(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending if self.output.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            let piece = self.input.split_to(self.input.len().min(PIECE).min(left));
            left -= piece.len();
            self.unflushed = true;
            if let Err(error) = self.encoder.encode(&piece, &mut self.output) {
                return Poll::Ready(Some(Err(failed(&error))));
            }
        }
        if !self.output.is_empty() {
            let output = Bytes::from(std::mem::take(&mut self.output));
            return Poll::Ready(Some(Ok(Frame::data(output))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// More to encode, or the end. Where nothing is there yet, what has been taken goes out.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending() && std::mem::take(&mut self.unflushed) {
            self.encoder.flush(&mut self.output).map_err(|error| failed(&error))?;
        }
        match ready!(polled).transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.input = data;
                return Poll::Ready(Ok(()));
            }
            // Nothing follows trailers.
            Some(Err(trailers)) => self.trailers = trailers.into_trailers().ok(),
            None => {}
        }
        self.ended = true;
        Poll::Ready(self.encoder.finish(&mut self.output).map_err(|error| failed(&error)))
    }
}

fn failed(error: &std::io::Error) -> BodyError {
    tracing::warn!(%error, "a response could not be compressed");
    BodyError::CompressionFailed
}
