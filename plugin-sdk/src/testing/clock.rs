//! The test's own time.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets time pass for this thread's limiters and exchanges. Nobody waits.
pub fn advance(by: Duration) {
    NOW.set(NOW.get() + by);
}

/// How much time has passed since the thread began.
pub(super) fn now() -> Duration {
    NOW.get()
}
