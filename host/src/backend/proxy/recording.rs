//! A request's body that is kept while it streams, so that it can be sent again.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};

/// A body that can be read from its beginning again, as long as no more of it was read than may be kept. Nothing waits for
/// it to be whole: what was read is kept on its way, and who reads it again goes on from the source after that.
///
/// Only who asked last may read: an earlier reader belongs to a request that was given up.
pub(crate) struct Recorded {
    recording: Rc<RefCell<Recording>>,
    reader: u32,
    place: usize,
    passed: u64,
    ended: bool,
}

struct Recording {
    source: Body,
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// All of it, where that was said.
    exact: Option<u64>,
    kept: u64,
    limit: u64,
    /// All of the source was read.
    ended: bool,
    /// The beginning is gone: too much was read, or the source failed.
    lost: bool,
    readers: u32,
}

impl Recorded {
    /// The body to send, and what it can be had from again; none where it is known to be too large.
    pub(super) fn record(source: Body, limit: u64) -> (Body, Option<Body>) {
        let hint = source.size_hint();
        if hint.lower() > limit {
            return (source, None);
        }
        let recording = Recording {
            source,
            chunks: Vec::new(),
            trailers: None,
            exact: hint.exact(),
            kept: 0,
            limit,
            ended: false,
            lost: false,
            readers: 0,
        };
        let first = Recorded::reading(&Rc::new(RefCell::new(recording)));
        // It is there to be asked for readers and reads nothing itself.
        let again = Recorded {
            recording: first.recording.clone(),
            reader: 0,
            place: 0,
            passed: 0,
            ended: true,
        };
        (Body::Recorded(Box::new(first)), Some(Body::Recorded(Box::new(again))))
    }

    fn reading(recording: &Rc<RefCell<Recording>>) -> Recorded {
        let mut known = recording.borrow_mut();
        known.readers += 1;
        Recorded {
            reader: known.readers,
            recording: recording.clone(),
            place: 0,
            passed: 0,
            ended: false,
        }
    }

    /// The body from its beginning, if that is still there. Whoever read it until now reads it no more.
    pub(crate) fn again(&self) -> Option<Recorded> {
        if self.recording.borrow().lost {
            return None;
        }
        Some(Recorded::reading(&self.recording))
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut recording = self.recording.borrow_mut();
        if recording.readers != self.reader {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(chunk) = recording.chunks.get(self.place).filter(|_| !recording.lost) {
            self.place += 1;
            self.passed += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if recording.ended {
            self.ended = true;
            return Poll::Ready(recording.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut recording.source).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.place += 1;
                    self.passed += data.len() as u64;
                    recording.keep(data);
                } else {
                    recording.trailers = frame.trailers_ref().cloned();
                    recording.ended = true;
                    self.ended = true;
                }
            }
            Some(Err(_)) => recording.lose(),
            None => {
                recording.ended = true;
                self.ended = true;
            }
        }
        Poll::Ready(frame)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let recording = self.recording.borrow();
        let replayed = recording.lost || self.place >= recording.chunks.len();
        let over = recording.ended && recording.trailers.is_none();
        self.ended || (replayed && (over || (!recording.ended && recording.source.is_end_stream())))
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let exact = self.recording.borrow().exact;
        exact.map_or_else(SizeHint::default, |exact| {
            SizeHint::with_exact(exact.saturating_sub(self.passed))
        })
    }
}

impl Recording {
    fn keep(&mut self, data: &Bytes) {
        self.kept += data.len() as u64;
        if self.kept > self.limit {
            self.lose();
        } else if !self.lost {
            self.chunks.push(data.clone());
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.chunks = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn recorded(text: &'static str, limit: u64) -> (Body, Option<Body>) {
        let trailers = HeaderMap::from_iter([("x-t".parse().unwrap(), "v".parse().unwrap())]);
        Recorded::record(Body::Full(Bytes::from(text), Some(Box::new(trailers))), limit)
    }

    async fn read(body: Body) -> (String, usize) {
        let read = BodyExt::collect(body).await.unwrap();
        let trailers = read.trailers().map_or(0, HeaderMap::len);
        (String::from_utf8(read.to_bytes().into()).unwrap(), trailers)
    }

    #[tokio::test]
    async fn a_body_is_read_again_with_its_trailers() {
        let (first, again) = recorded("hello", 5);
        assert_eq!(read(first).await, ("hello".to_owned(), 1));
        let again = again.unwrap();
        for _ in 0..2 {
            assert_eq!(read(again.again().unwrap()).await, ("hello".to_owned(), 1));
        }
    }

    #[tokio::test]
    async fn who_reads_again_goes_on_from_the_source() {
        let (mut first, again) = recorded("hello", 5);
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        let second = again.unwrap().again().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap_err(), BodyError::Superseded);
        assert_eq!(read(second).await, ("hello".to_owned(), 1));
    }

    #[tokio::test]
    async fn what_is_too_large_passes_once() {
        let (first, again) = recorded("hello", 4);
        assert_eq!(read(first).await, ("hello".to_owned(), 1));
        assert!(again.is_none_or(|again| again.again().is_none()));
        assert!(
            Recorded::record(Body::full(Bytes::from_static(b"hello")), 4)
                .1
                .is_none()
        );
    }
}
