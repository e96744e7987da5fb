//! What an exchange waits for its client to do: to send more of its body, or to read more of the response. Each wait has its
//! own clock, so that nothing else on the connection gains it time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::activity::Activity;
use super::pace::Pace;
use crate::config::resolved::Timeouts;

/// One direction of one exchange, watched while it waits. It costs an allocation only once it has to wait.
#[derive(Debug)]
pub(crate) struct Watch {
    activity: Rc<Activity>,
    wait: Option<Rc<Wait>>,
    /// Whether it may be too slow, too.
    paced: bool,
}

impl Watch {
    pub(crate) fn new(activity: Rc<Activity>) -> Watch {
        Watch {
            activity,
            wait: None,
            paced: true,
        }
    }

    /// For what may be as slow as it likes, as long as it does not stop.
    pub(crate) fn unpaced(activity: Rc<Activity>) -> Watch {
        let mut watch = Watch::new(activity);
        watch.paced = false;
        watch
    }

    /// The client has to send more than these bytes; the waker is told when it does not, or not fast enough. True when it has
    /// not for too long.
    pub(crate) fn until_sent(&mut self, waker: &Waker, so_far: u64) -> bool {
        let wait = self.wait();
        wait.begin(so_far);
        let mut reader = wait.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
        wait.stalled.get()
    }

    /// The client has to take what was handed to the protocol, these bytes in all. HTTP/1 writes at once, and its socket says when it cannot;
    /// HTTP/2 may have to wait for the client to grant a window, of which the socket knows nothing.
    pub(crate) fn until_taken(&mut self, so_far: u64) {
        if self.activity.is_framed() {
            self.wait().begin(so_far);
        }
    }

    /// The client has done what it had to.
    pub(crate) fn over(&self) {
        if let Some(wait) = &self.wait {
            wait.waiting.set(false);
            wait.stalled.set(false);
        }
    }

    fn wait(&mut self) -> &Wait {
        self.wait.get_or_insert_with(|| {
            let wait = Rc::new(Wait {
                paced: self.paced,
                ..Wait::default()
            });
            self.activity.add_wait(wait.clone());
            wait
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(wait) = &self.wait {
            self.activity.remove_wait(wait);
        }
    }
}

/// A wait as the sweep sees it.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    waiting: Cell<bool>,
    /// When the sweep first saw it.
    since: Cell<Option<Instant>>,
    /// Who can still be told that it took too long.
    reader: RefCell<Option<Waker>>,
    stalled: Cell<bool>,
    /// Bytes that have moved so far.
    moved: Cell<u64>,
    paced: bool,
    pace: Pace,
}

impl Wait {
    fn begin(&self, moved: u64) {
        self.moved.set(moved);
        if !self.waiting.replace(true) {
            self.since.set(None);
        }
    }

    /// Tells the reader when the wait has been too long. True when there is none, or it was told and waits still: only the
    /// end of the connection ends such a wait.
    pub(super) fn sweep(&self, now: Instant, passed: Duration, timeouts: &Timeouts) -> bool {
        if !self.waiting.get() {
            return false;
        }
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let is_slow = self.paced && self.pace.is_too_slow(passed, self.moved.get(), &timeouts.pace);
        if now.saturating_duration_since(since) <= timeouts.stall && !is_slow {
            return false;
        }
        self.since.set(Some(now));
        match self.reader.borrow_mut().take() {
            Some(reader) if !self.stalled.replace(true) => {
                reader.wake();
                false
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::LeastPace;

    const TIMEOUTS: Timeouts = Timeouts {
        header: Duration::from_secs(10),
        handshake: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(30),
        upgrade_idle: Duration::from_secs(3600),
        pace: LeastPace {
            rate: Some(100),
            grace: Duration::from_secs(20),
        },
        drain: Duration::from_secs(30),
        handover: Duration::from_secs(300),
        ready: Duration::ZERO,
        reload: Duration::ZERO,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn watch() -> Watch {
        Watch::new(Rc::new(Activity::new()))
    }

    fn after(seconds: u64, watch: &Watch) -> bool {
        let (wait, start) = (watch.wait.as_ref().unwrap(), Instant::now());
        wait.sweep(start, Duration::ZERO, &TIMEOUTS)
            || wait.sweep(start + Duration::from_secs(seconds), Duration::ZERO, &TIMEOUTS)
    }

    #[test]
    fn a_body_that_stops_is_told_before_its_connection_ends() {
        let mut watch = watch();
        assert!(!watch.until_sent(Waker::noop(), 0));
        assert!(!after(31, &watch));
        assert!(watch.until_sent(Waker::noop(), 0));
        let later = Instant::now() + Duration::from_secs(100);
        assert!(watch.wait.as_ref().unwrap().sweep(later, SECOND, &TIMEOUTS));
    }

    #[test]
    fn a_body_that_goes_on_may_stop_again() {
        let mut watch = watch();
        watch.until_sent(Waker::noop(), 0);
        after(31, &watch);
        watch.over();
        assert!(!watch.until_sent(Waker::noop(), 0));
        assert!(!after(29, &watch));
    }

    #[test]
    fn a_response_without_window_ends_its_connection() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken(0);
        assert!(!after(29, &watch));
        assert!(after(31, &watch));
    }

    #[test]
    fn a_response_that_is_taken_does_not_wait() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken(0);
        watch.over();
        assert!(!after(3600, &watch));
    }

    #[test]
    fn a_body_that_trickles_in_is_told_too() {
        let (mut watch, start) = (watch(), Instant::now());
        let mut seconds = 0;
        while !watch.until_sent(Waker::noop(), 10 * u64::from(seconds)) {
            seconds += 1;
            let wait = watch.wait.as_ref().unwrap();
            assert!(!wait.sweep(start + seconds * SECOND, SECOND, &TIMEOUTS));
        }
        assert_eq!(seconds, 23);
    }
}
