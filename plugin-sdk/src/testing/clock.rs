//! The test's own time.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets time pass for this thread's limiters and exchanges. Nobody waits.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::rate_limit::{Limit, Limiter};
/// use portcullis_sdk::testing;
///
/// let limiter = Limiter::open(Limit::per(1, Duration::from_secs(3600)))?;
/// assert!(limiter.check(b"ann", 1).allowed);
/// assert!(!limiter.check(b"ann", 1).allowed);
///
/// testing::advance(Duration::from_secs(3600));
/// assert!(limiter.check(b"ann", 1).allowed);
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
pub fn advance(by: Duration) {
    NOW.set(NOW.get() + by);
}

/// How much time has passed since the thread began.
pub(super) fn now() -> Duration {
    NOW.get()
}
