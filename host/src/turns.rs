//! The turns of a connection's task: each time that it is woken, and what for.

use std::cell::{Cell, OnceCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The turns of one connection's task, which is woken by its socket, and by others: who uses the connection, or whose answer
/// it waits for.
///
/// A protocol asks its socket for more in each turn, and several times. Once the socket has none it wakes the task when it
/// has, and until then it need not be asked again, which would cost as much as being asked the first time. And of the turns of
/// a connection to a target one in three is for nothing: hyper wakes its task when the last piece of a response is taken,
/// though nothing is left to be done then. So the socket's wakes are told from the others.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The socket had nothing, and has not woken the task since.
    empty: Cell<bool>,
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
    pub(crate) fn begin(&self, cx: &Context<'_>) -> bool {
        let (socket, _) = self.socket.get_or_init(|| {
            let socket = Arc::new(SocketWaker {
                has_woken: AtomicBool::new(true),
                // A task has the same one all its life.
                task: cx.waker().clone(),
            });
            (socket.clone(), Waker::from(socket))
        });
        // Most turns are others': a look is cheaper than an exchange.
        if socket.has_woken.load(Ordering::Relaxed) && socket.has_woken.swap(false, Ordering::Acquire) {
            self.empty.set(false);
            return true;
        }
        !self.resting.get()
    }

    /// Nothing is under way: all that there is to do comes by the socket, until the connection is used again.
    pub(crate) fn rest(&self) {
        self.resting.set(true);
    }

    /// The connection is used again, or given up.
    pub(crate) fn resume(&self) {
        self.resting.set(false);
    }

    /// Somebody else has read from the socket, and may wake the task for it.
    pub(crate) fn restart(&self) {
        self.empty.set(false);
    }

    /// Asks the socket for more, unless it has said that it has nothing and has not woken the task since.
    #[inline]
    pub(crate) fn read(
        &self,
        cx: &mut Context<'_>,
        socket: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if self.empty.get() {
            return Poll::Pending;
        }
        let read = self.socket(cx, socket);
        if read.is_pending() {
            self.empty.set(true);
        }
        read
    }

    /// Calls the socket so that its wakes can be told.
    #[inline]
    pub(crate) fn socket<T>(&self, cx: &mut Context<'_>, socket: impl FnOnce(&mut Context<'_>) -> T) -> T {
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

    /// Asks for more, and gets nothing; what wakes the task, where the socket was asked.
    fn nothing(turns: &Turns, cx: &mut Context<'_>) -> Option<Waker> {
        let mut wakes = None;
        let read = turns.read(cx, |cx| {
            wakes = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(read.is_pending());
        wakes
    }

    #[test]
    fn a_socket_that_has_nothing_is_asked_again_once_it_has_woken_the_task() {
        let (task, turns) = (Arc::new(Task::default()), Turns::default());
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);

        turns.begin(&cx);
        assert!(turns.read(&mut cx, |_| Poll::Ready(Ok(()))).is_ready());
        let wakes = nothing(&turns, &mut cx).expect("it was asked");
        assert!(nothing(&turns, &mut cx).is_none());
        turns.begin(&cx);
        assert!(nothing(&turns, &mut cx).is_none(), "another has woken the task");

        wakes.wake();

        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        turns.begin(&cx);
        assert!(nothing(&turns, &mut cx).is_some());
        turns.restart();
        assert!(nothing(&turns, &mut cx).is_some());
    }

    #[test]
    fn a_socket_that_wakes_the_task_before_its_turn_is_over_is_asked_in_the_next() {
        let turns = Turns::default();
        let waker = Waker::noop();
        let mut cx = Context::from_waker(waker);
        turns.begin(&cx);

        let _ = turns.read(&mut cx, |cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });

        turns.begin(&cx);
        assert!(nothing(&turns, &mut cx).is_some());
    }

    #[test]
    fn a_connection_at_rest_has_something_to_do_when_its_socket_says_so() {
        let turns = Turns::default();
        let mut cx = Context::from_waker(Waker::noop());

        assert!(turns.begin(&cx), "it begins");
        let wakes = nothing(&turns, &mut cx).expect("it was asked");
        assert!(turns.begin(&cx), "it does not rest");
        turns.rest();
        assert!(!turns.begin(&cx));

        wakes.wake();

        assert!(turns.begin(&cx), "the socket has woken it");
        assert!(!turns.begin(&cx), "once");
        turns.resume();
        assert!(turns.begin(&cx));
    }
}
