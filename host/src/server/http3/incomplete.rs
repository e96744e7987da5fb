//! Frames that are not whole, on all streams of a connection: how much of them is held, and who may go on when it is much.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use h3::quic::StreamId;

/// What is held of all frames that are collected.
#[derive(Default)]
pub(super) struct Incomplete {
    held: Cell<usize>,
    /// The stream that goes on when there is too much, so that there is an end to it.
    ahead: Cell<Option<StreamId>>,
    waiting: RefCell<Vec<Waker>>,
}

/// One stream's part.
pub(super) struct Part {
    stream: StreamId,
    held: usize,
}

/// Bytes from which on streams wait for each other.
const MOST: usize = 1 << 20;

impl Incomplete {
    /// Whether a stream may hold more than it does. It is woken when it may.
    pub(super) fn may_grow(&self, part: &Part, cx: &Context<'_>) -> bool {
        let ahead = self.ahead.get();
        if self.held.get() < MOST || ahead == Some(part.stream) {
            return true;
        }
        if ahead.is_none() {
            self.ahead.set(Some(part.stream));
            return true;
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        false
    }

    /// A stream holds so much now.
    pub(super) fn hold(&self, part: &mut Part, held: usize) {
        if part.held == held {
            return;
        }
        self.held.set(self.held.get() - part.held + held);
        let less = held < part.held;
        part.held = held;
        if held == 0 && self.ahead.get() == Some(part.stream) {
            self.ahead.set(None);
        }
        if less {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Part {
    pub(super) fn of(stream: StreamId) -> Part {
        Part { stream, held: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_much_is_held_one_stream_goes_on_at_a_time() {
        let incomplete = Incomplete::default();
        let cx = Context::from_waker(Waker::noop());
        let part = |id: u64| Part::of(StreamId::try_from(id).unwrap());
        let (mut first, mut second, mut third) = (part(0), part(4), part(8));
        incomplete.hold(&mut first, MOST / 2);
        incomplete.hold(&mut second, MOST / 2 - 1);
        assert!(incomplete.may_grow(&third, &cx));
        incomplete.hold(&mut third, 1);

        assert!(incomplete.may_grow(&second, &cx) && incomplete.may_grow(&second, &cx));
        incomplete.hold(&mut second, MOST);
        assert!(!incomplete.may_grow(&first, &cx) && !incomplete.may_grow(&third, &cx));
        assert!(!incomplete.waiting.borrow().is_empty());

        incomplete.hold(&mut second, 0);
        assert!(incomplete.may_grow(&first, &cx) && incomplete.waiting.borrow().is_empty());
        incomplete.hold(&mut first, 0);
        incomplete.hold(&mut third, 0);
        assert_eq!((incomplete.held.get(), incomplete.ahead.get()), (0, None));
    }
}
