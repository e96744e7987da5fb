//! What an exchange waits for its client to do: to send more of its body, or to read more of the response. Each wait has its
//! own clock, so that nothing else on the connection gains it time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::activity::Activity;

/// One direction of one exchange, watched while it waits. It costs an allocation only once it has to wait.
#[derive(Debug)]
pub(crate) struct Watch {
    activity: Rc<Activity>,
    wait: Option<Rc<Wait>>,
}

impl Watch {
    pub(crate) fn new(activity: Rc<Activity>) -> Watch {
        Watch { activity, wait: None }
    }

    /// The client has to send more; the waker is told when it does not. True when it has not for too long.
    pub(crate) fn until_sent(&mut self, waker: &Waker) -> bool {
        let wait = self.wait();
        wait.begin();
        let mut reader = wait.reader.borrow_mut();
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
        wait.stalled.get()
    }

    /// The client has to take what was handed to the protocol. HTTP/1 writes at once, and its socket says when it cannot;
    /// HTTP/2 may have to wait for the client to grant a window, of which the socket knows nothing.
    pub(crate) fn until_taken(&mut self) {
        if self.activity.is_framed() {
            self.wait().begin();
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
            let wait = Rc::new(Wait::default());
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
}

impl Wait {
    fn begin(&self) {
        if !self.waiting.replace(true) {
            self.since.set(None);
        }
    }

    /// Tells the reader when the wait has been too long. True when there is none, or it was told and waits still: only the
    /// end of the connection ends such a wait.
    pub(super) fn sweep(&self, now: Instant, limit: Duration) -> bool {
        if !self.waiting.get() {
            return false;
        }
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        if now.saturating_duration_since(since) <= limit {
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

    const LIMIT: Duration = Duration::from_secs(30);

    fn watch() -> Watch {
        Watch::new(Rc::new(Activity::new()))
    }

    fn after(seconds: u64, watch: &Watch) -> bool {
        let (wait, start) = (watch.wait.as_ref().unwrap(), Instant::now());
        wait.sweep(start, LIMIT) || wait.sweep(start + Duration::from_secs(seconds), LIMIT)
    }

    #[test]
    fn a_body_that_stops_is_told_before_its_connection_ends() {
        let mut watch = watch();
        assert!(!watch.until_sent(Waker::noop()));
        assert!(!after(31, &watch));
        assert!(watch.until_sent(Waker::noop()));
        let later = Instant::now() + Duration::from_secs(100);
        assert!(watch.wait.as_ref().unwrap().sweep(later, LIMIT));
    }

    #[test]
    fn a_body_that_goes_on_may_stop_again() {
        let mut watch = watch();
        watch.until_sent(Waker::noop());
        after(31, &watch);
        watch.over();
        assert!(!watch.until_sent(Waker::noop()));
        assert!(!after(29, &watch));
    }

    #[test]
    fn a_response_without_window_ends_its_connection() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken();
        assert!(!after(29, &watch));
        assert!(after(31, &watch));
    }

    #[test]
    fn a_response_that_is_taken_does_not_wait() {
        let mut watch = watch();
        watch.activity.framed();
        watch.until_taken();
        watch.over();
        assert!(!after(3600, &watch));
    }
}
