//! Message bodies: whole, chunked, made up while they are sent, or sent step by step.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, SizeHint};

/// Any body that a test sends.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A whole body, with its `Content-Length`.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of a length that nobody is told: chunked over HTTP/1.1.
pub fn chunked(bytes: impl Into<Bytes>) -> Body {
    Chunks {
        chunk: bytes.into(),
        left: None,
        trailers: None,
        sent: false,
    }
    .boxed_unsync()
}

/// A body of `total` bytes that costs no memory: the same 64 KiB again and again, each byte of it the low byte of its
/// position. `Content-Length` is told.
pub fn generated(total: u64) -> Body {
    let chunk = (0..65_536_u32).map(|at| at as u8).collect::<Vec<u8>>().into();
    Chunks {
        chunk,
        left: Some(total),
        trailers: None,
        sent: false,
    }
    .boxed_unsync()
}

/// A chunked body with one trailer field after it.
pub fn with_trailers(bytes: impl Into<Bytes>, name: &'static str, value: &'static str) -> Body {
    let trailers = HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]);
    Chunks {
        chunk: bytes.into(),
        left: None,
        trailers: Some(trailers),
        sent: false,
    }
    .boxed_unsync()
}

/// A body that the test sends step by step. Dropping the sender ends it, `abort` breaks it.
pub fn stepwise() -> (Sender<Bytes, io::Error>, Body) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed_unsync())
}

/// A chunk sent once, or repeated until `left` is used up.
#[derive(Debug)]
pub struct Chunks {
    chunk: Bytes,
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    sent: bool,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match self.left {
            Some(0) => None,
            Some(left) => {
                let size = left.min(self.chunk.len() as u64);
                self.left = Some(left - size);
                Some(Frame::data(self.chunk.slice(..size as usize)))
            }
            None if !self.sent => {
                self.sent = true;
                Some(Frame::data(self.chunk.clone()))
            }
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match self.left {
            Some(left) => left == 0,
            None => self.sent && self.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
