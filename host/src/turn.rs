//! One poll of a connection's task, in which its socket is asked for more bytes only until it has none.

use std::cell::Cell;
use std::io;
use std::task::Poll;

/// A poll of the task that a connection has to itself.
///
/// A protocol asks its socket for more several times in one poll. Once the socket has none, it wakes the task when it has:
/// until the next poll it need not be asked again, which would cost as much as being asked the first time.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    empty: Cell<bool>,
}

impl Turn {
    /// The task is polled.
    pub(crate) fn begin(&self) {
        self.empty.set(false);
    }

    /// Asks the socket, unless it has said already that it has nothing.
    #[inline]
    pub(crate) fn ask(&self, socket: impl FnOnce() -> Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if self.empty.get() {
            return Poll::Pending;
        }
        let read = socket();
        if read.is_pending() {
            self.empty.set(true);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_has_nothing_is_asked_once_a_turn() {
        let turn = Turn::default();
        let asked = Cell::new(0);
        let ask = |answer| {
            let answer = turn.ask(|| {
                asked.set(asked.get() + 1);
                answer
            });
            (answer.is_ready(), asked.get())
        };

        turn.begin();
        assert_eq!(ask(Poll::Ready(Ok(()))), (true, 1));
        assert_eq!(ask(Poll::Pending), (false, 2));
        assert_eq!(ask(Poll::Ready(Ok(()))), (false, 2));
        turn.begin();
        assert_eq!(ask(Poll::Ready(Ok(()))), (true, 3));
    }
}
