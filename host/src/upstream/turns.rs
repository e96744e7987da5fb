//! The turns of an HTTP/1 connection's task: each time that it is woken, and what for.

use std::cell::{Cell, OnceCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::turn::Turn;

/// The turns of one connection's task, which is woken by its socket, and by who uses the connection.
///
/// One turn in three is for nothing: hyper wakes the task when the last piece of a response is taken, though nothing is left
/// to be done then. So the socket's wakes are told from the others, and a connection that rests is polled for those alone.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: Turn,
    resting: Cell<bool>,
    socket: OnceCell<(Arc<SocketWaker>, Waker)>,
}

/// Wakes the task because of its socket.
#[derive(Debug)]
struct SocketWaker {
    has_woken: AtomicBool,
    task: Waker,
}

impl Turns {
    /// The task is polled. Whether there may be anything to do.
    pub(super) fn begin(&self, cx: &Context<'_>) -> bool {
        let (socket, _) = self.socket.get_or_init(|| {
            let socket = Arc::new(SocketWaker {
                has_woken: AtomicBool::new(true),
                // A task has the same one all its life.
                task: cx.waker().clone(),
            });
            (socket.clone(), Waker::from(socket))
        });
        self.turn.begin();
        let by_socket = socket.has_woken.swap(false, Ordering::Acquire);
        by_socket || !self.resting.get()
    }

    /// Nothing is under way: all that there is to do comes by the socket, until the connection is used again.
    pub(super) fn rest(&self) {
        self.resting.set(true);
    }

    /// The connection is used again, or given up.
    pub(super) fn resume(&self) {
        self.resting.set(false);
    }

    /// Asks the socket for more, unless it has said in this turn that it has nothing.
    #[inline]
    pub(super) fn read(
        &self,
        cx: &mut Context<'_>,
        socket: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.turn.ask(|| self.socket(cx, socket))
    }

    /// Calls the socket so that its wakes can be told.
    #[inline]
    pub(super) fn socket<T>(&self, cx: &mut Context<'_>, socket: impl FnOnce(&mut Context<'_>) -> T) -> T {
        match self.socket.get() {
            Some((_, waker)) => socket(&mut Context::from_waker(waker)),
            None => socket(cx),
        }
    }
}

impl Wake for SocketWaker {
    fn wake(self: Arc<SocketWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<SocketWaker>) {
        self.has_woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Task>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_at_rest_has_something_to_do_when_its_socket_says_so() {
        let (task, turns) = (Arc::new(Task::default()), Turns::default());
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);

        assert!(turns.begin(&cx), "it begins");
        let mut wakes = None;
        let read = turns.read(&mut cx, |cx| {
            wakes = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(read.is_pending());
        assert!(turns.begin(&cx), "it does not rest");
        turns.rest();
        assert!(!turns.begin(&cx));

        wakes.unwrap().wake();

        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(turns.begin(&cx), "the socket has woken it");
        assert!(!turns.begin(&cx), "once");
        turns.resume();
        assert!(turns.begin(&cx));
    }
}
