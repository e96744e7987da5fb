//! A request's body that is read by two: by the target that answers, at its own pace, and by the mirror, as well as it can.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError, ClientBodyState};

/// Bytes that the mirror may be behind.
const BEHIND: usize = 1 << 20;

/// The body for the target; each frame of it is copied for the mirror on its way. Nothing here ever waits for the mirror.
pub(crate) struct Teed {
    source: Body,
    queue: Rc<Queue>,
}

/// The body for the mirror.
pub(crate) struct Copied {
    queue: Rc<Queue>,
    exact: Option<u64>,
    read: u64,
}

/// What becomes of a copy.
pub(super) struct Fate(Rc<Queue>);

/// Bytes that the copies of one route hold on one thread, all together: a mirror that is stuck must not fill the memory.
pub(super) struct Memory {
    most: usize,
    held: Cell<usize>,
}

/// Some of them, until this is dropped.
pub(super) struct Held {
    memory: Rc<Memory>,
    bytes: Cell<usize>,
}

/// What was copied and not read yet.
struct Queue {
    frames: RefCell<VecDeque<Piece>>,
    held: Held,
    end: Cell<End>,
    /// The reader has gone, having all or wanting no more.
    read: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    watcher: RefCell<Option<Waker>>,
    state: Rc<ClientBodyState>,
}

enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Open,
    Whole,
    /// The source broke off, or the mirror is too far behind.
    Broken,
}

impl Teed {
    /// The body for the target, the one for the mirror, and what becomes of the latter.
    pub(super) fn tee(source: Body, memory: &Rc<Memory>) -> (Body, Body, Fate) {
        let queue = Rc::new(Queue {
            frames: RefCell::default(),
            held: Held::nothing(memory),
            end: Cell::default(),
            read: Cell::default(),
            reader: RefCell::default(),
            watcher: RefCell::default(),
            state: Rc::default(),
        });
        let fate = Fate(queue.clone());
        let copied = Copied {
            queue: queue.clone(),
            exact: source.size_hint().exact(),
            read: 0,
        };
        let teed = Body::Teed(Box::new(Teed { source, queue }));
        (teed, Body::Copied(Box::new(copied)), fate)
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.source).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.queue.push(Piece::Data(data.clone()), data.len());
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.queue.push(Piece::Trailers(trailers.clone()), 0);
                    self.queue.end(End::Whole);
                }
                if self.source.is_end_stream() {
                    self.queue.end(End::Whole);
                }
            }
            Some(Err(_)) => self.queue.end(End::Broken),
            None => self.queue.end(End::Whole),
        }
        Poll::Ready(frame)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for Teed {
    fn drop(&mut self) {
        // Who reads a known length to its end need not ask for more.
        let whole = self.source.is_end_stream() || self.source.size_hint().exact() == Some(0);
        self.queue.end(if whole { End::Whole } else { End::Broken });
    }
}

impl Fate {
    /// Tells whoever sends the copy on how much of it has been sent.
    pub(super) fn state(&self) -> Rc<ClientBodyState> {
        self.0.state.clone()
    }

    /// Waits until the copy is broken off: a reader that is stuck would never hear of it.
    pub(super) async fn broken(&self) {
        let broken = |cx: &mut Context<'_>| {
            *self.0.watcher.borrow_mut() = Some(cx.waker().clone());
            match self.0.end.get() {
                End::Broken if !self.0.read.get() => Poll::Ready(()),
                _ => Poll::Pending,
            }
        };
        std::future::poll_fn(broken).await;
    }
}

impl Memory {
    pub(super) fn new(most: u64) -> Rc<Memory> {
        Rc::new(Memory {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            held: Cell::new(0),
        })
    }

    /// So many bytes; none where that would be too many.
    pub(super) fn hold(self: &Rc<Memory>, bytes: usize) -> Option<Held> {
        let held = Held::nothing(self);
        held.more(bytes).then_some(held)
    }
}

impl Held {
    fn nothing(memory: &Rc<Memory>) -> Held {
        Held {
            memory: memory.clone(),
            bytes: Cell::new(0),
        }
    }

    /// False where that would be too many.
    fn more(&self, bytes: usize) -> bool {
        let held = self.memory.held.get().saturating_add(bytes);
        let fits = held <= self.memory.most;
        if fits {
            self.memory.held.set(held);
            self.bytes.set(self.bytes.get() + bytes);
        }
        fits
    }

    fn less(&self, bytes: usize) {
        self.memory.held.set(self.memory.held.get().saturating_sub(bytes));
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.less(self.bytes.get());
    }
}

impl Queue {
    fn push(&self, piece: Piece, bytes: usize) {
        if self.end.get() != End::Open {
            return;
        }
        if self.held.bytes.get() + bytes > BEHIND || !self.held.more(bytes) {
            self.end(End::Broken);
            self.forget();
            return;
        }
        self.frames.borrow_mut().push_back(piece);
        self.wake();
    }

    fn forget(&self) {
        self.frames.borrow_mut().clear();
        self.held.less(self.held.bytes.get());
    }

    /// What comes after the end does not change it.
    fn end(&self, end: End) {
        if self.end.get() == End::Open {
            self.end.set(end);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(watcher) = self.watcher.borrow_mut().take() {
            watcher.wake();
        }
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

impl Copied {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let queue = &self.queue;
        let piece = queue.frames.borrow_mut().pop_front();
        let ended = |queue: &Queue| queue.state.ended.set(Some(Instant::now()));
        match (piece, queue.end.get()) {
            (Some(Piece::Data(data)), end) => {
                queue.held.less(data.len());
                self.read += data.len() as u64;
                if self.exact == Some(self.read) || (end == End::Whole && queue.frames.borrow().is_empty()) {
                    ended(queue);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            (Some(Piece::Trailers(trailers)), _) => {
                ended(queue);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            (None, End::Whole) => {
                ended(queue);
                Poll::Ready(None)
            }
            (None, End::Broken) => Poll::Ready(Some(Err(BodyError::Superseded))),
            (None, End::Open) => {
                *queue.reader.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.queue.end.get() == End::Whole && self.queue.frames.borrow().is_empty()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = self.exact.map(|exact| exact.saturating_sub(self.read));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // Nobody reads any more: what comes is not kept.
        self.queue.read.set(true);
        self.queue.end.set(End::Broken);
        self.queue.forget();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn source(size: usize) -> Body {
        let trailers = HeaderMap::from_iter([("x-t".parse().unwrap(), "v".parse().unwrap())]);
        Body::Full(vec![b'x'; size].into(), Some(Box::new(trailers)))
    }

    #[tokio::test]
    async fn both_read_the_same() {
        let (teed, copied, fate) = Teed::tee(source(1000), &Memory::new(1 << 20));
        for body in [teed, copied] {
            let read = BodyExt::collect(body).await.unwrap();
            assert_eq!(read.trailers().unwrap().len(), 1);
            assert_eq!(read.to_bytes().len(), 1000);
        }
        assert!(fate.state().ended.get().is_some());
    }

    #[tokio::test]
    async fn a_mirror_that_does_not_keep_up_is_given_up() {
        let (teed, copied, fate) = Teed::tee(source(BEHIND + 1), &Memory::new(1 << 30));
        assert_eq!(BodyExt::collect(teed).await.unwrap().to_bytes().len(), BEHIND + 1);
        fate.broken().await;
        assert!(BodyExt::collect(copied).await.is_err());
    }

    #[tokio::test]
    async fn all_copies_together_hold_no_more_than_they_may() {
        let memory = Memory::new(1000);
        let tee = || Teed::tee(source(400), &memory);
        let (first, second, third) = (tee(), tee(), tee());
        for teed in [first.0, second.0, third.0] {
            assert_eq!(BodyExt::collect(teed).await.unwrap().to_bytes().len(), 400);
        }
        assert!(BodyExt::collect(third.1).await.is_err(), "it is given up");
        assert!(memory.hold(201).is_none());
        let rest = memory.hold(200);
        assert!(rest.is_some());

        assert_eq!(BodyExt::collect(first.1).await.unwrap().to_bytes().len(), 400);
        drop((second.1, rest));

        assert!(memory.hold(1000).is_some(), "all is free again");
    }

    #[tokio::test]
    async fn a_body_that_broke_off_never_ends_like_a_whole_one() {
        let (teed, copied, _) = Teed::tee(source(10), &Memory::new(10));
        drop(teed);
        assert!(BodyExt::collect(copied).await.is_err());
    }
}
