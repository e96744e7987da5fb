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
        wait.begin(waker, so_far);
        wait.is_stalled()
    }

    /// The client has to take what was handed to the protocol, these bytes in all. HTTP/1 writes at once, and its socket says
    /// when it cannot; HTTP/2 and HTTP/3 may have to wait for the client to grant a window, of which the socket knows nothing.
    /// There the waker is that of the stream, which ends when the client has not done so for too long.
    pub(crate) fn until_taken(&mut self, waker: &Waker, so_far: u64) {
        if !self.activity.is_framed() {
            return;
        }
        let is_first = self.wait.is_none();
        let wait = self.wait();
        wait.begin(waker, so_far);
        if is_first {
            let wait = wait.clone();
            self.activity.begin_response(wait);
        }
    }

    /// Whether the client has been told off for not doing what it had to, and has not done it since.
    pub(crate) fn is_stalled(&self) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.is_stalled())
    }

    /// The client has done what it had to.
    pub(crate) fn over(&self) {
        if let Some(wait) = &self.wait {
            wait.waiting.set(false);
            wait.stalled.set(false);
        }
    }

    fn wait(&mut self) -> &Rc<Wait> {
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
    /// Who is told that it took too long: the reader of a body, or the stream of a response.
    told: RefCell<Option<Waker>>,
    stalled: Cell<bool>,
    /// Bytes that have moved so far.
    moved: Cell<u64>,
    paced: bool,
    pace: Pace,
}

impl Wait {
    fn begin(&self, waker: &Waker, moved: u64) {
        self.moved.set(moved);
        if !self.waiting.replace(true) {
            self.since.set(None);
        }
        let mut told = self.told.borrow_mut();
        if !told.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *told = Some(waker.clone());
        }
    }

    /// Whether it has been too long.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    /// Tells who waits when it has been too long. True when that was told before, and the wait goes on: only the end of the
    /// connection ends such a wait.
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
        match self.told.borrow_mut().take() {
            Some(told) if !self.stalled.replace(true) => {
                told.wake();
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
    fn a_response_without_window_is_told_too() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken(Waker::noop(), 0);
        let stream = watch.activity.take_begun_response().unwrap();
        assert!(!after(29, &watch) && !stream.is_stalled());
        assert!(!after(31, &watch) && stream.is_stalled());
    }

    #[test]
    fn a_response_that_is_taken_does_not_wait() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken(Waker::noop(), 0);
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
