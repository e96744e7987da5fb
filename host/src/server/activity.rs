//! What a client connection is doing, so that one sweep per thread can find those that take too long. The path of a request
//! sets flags; the sweep alone reads the clock.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::config::resolved::Timeouts;

/// What one connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    stage: Cell<Stage>,
    /// The stage changed since the last sweep.
    changed: Cell<bool>,
    /// Bytes moved since the last sweep.
    progressed: Cell<bool>,
    waiting: Cell<Option<Waiting>>,
    since: Cell<Instant>,
    exchanges: Cell<u32>,
    /// A response has been handed to the protocol and not been flushed yet.
    answering: Cell<bool>,
    order: Cell<Option<Order>>,
    connection: RefCell<Option<Waker>>,
    body: RefCell<Option<Waker>>,
    body_stalled: Cell<bool>,
    framed: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between requests.
    Idle,
    /// Part of a request's head is there.
    Head,
    /// At least one exchange is under way.
    Exchange,
}

/// What an exchange waits for its client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// To send more of the body.
    Body,
    /// To read more of the response.
    Write,
}

/// What the sweep, or the end of the gateway, asks of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Finish what is under way, take nothing more.
    Drain,
    /// Close: it was idle for too long.
    CloseIdle,
    /// Answer that the head took too long, and close.
    HeadTimeout,
    /// Answer that the head is malformed, and close.
    Refuse(&'static str),
    /// Close: the client has stopped reading, or sending.
    CloseStalled,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            stage: Cell::new(Stage::Idle),
            changed: Cell::new(true),
            progressed: Cell::new(false),
            waiting: Cell::new(None),
            since: Cell::new(Instant::now()),
            exchanges: Cell::new(0),
            answering: Cell::new(false),
            order: Cell::new(None),
            connection: RefCell::new(None),
            body: RefCell::new(None),
            body_stalled: Cell::new(false),
            framed: Cell::new(false),
        }
    }

    /// The connection speaks HTTP/2: bytes that come in need not be the head of a request.
    pub(crate) fn is_framed(&self) {
        self.framed.set(true);
        self.enter(Stage::Idle);
    }

    /// Bytes came in.
    pub(crate) fn read_progress(&self) {
        self.progressed.set(true);
        if self.stage.get() == Stage::Idle && !self.framed.get() {
            self.enter(Stage::Head);
        }
    }

    /// Bytes went out, or could not.
    pub(crate) fn write_progress(&self, blocked: bool) {
        if blocked {
            if self.waiting.get().is_none() {
                self.waiting.set(Some(Waiting::Write));
                self.changed.set(true);
            }
        } else {
            self.progressed.set(true);
            self.no_longer(Waiting::Write);
        }
    }

    /// A request's head is complete.
    pub(crate) fn begin_exchange(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        self.body_stalled.set(false);
        self.enter(Stage::Exchange);
    }

    /// A response is on its way.
    pub(crate) fn answering(&self) {
        self.answering.set(true);
    }

    /// A head is malformed. Where earlier exchanges are still under way their connection just ends.
    pub(crate) fn refuse(&self, what: &'static str) {
        if self.is_refusing() {
            self.order(Order::Refuse(what));
        }
    }

    /// What is malformed about the head that was just read, if anything.
    pub(crate) fn take_refusal(&self) -> Option<&'static str> {
        match self.order.get() {
            Some(Order::Refuse(what)) => {
                self.order.set(None);
                Some(what)
            }
            _ => None,
        }
    }

    /// An exchange is over.
    pub(crate) fn end_exchange(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        if self.exchanges.get() == 0 {
            self.enter(Stage::Idle);
        }
    }

    /// All that was written has gone out.
    pub(crate) fn flushed(&self) {
        if self.exchanges.get() == 0 {
            self.answering.set(false);
        }
    }

    /// Whether what is written now answers no exchange: the protocol's own refusal of a head.
    pub(crate) fn is_refusing(&self) -> bool {
        self.exchanges.get() == 0 && !self.answering.get()
    }

    /// A body's reader has nothing to read. True when it has waited for too long.
    pub(crate) fn wait_for_body(&self, waker: &Waker) -> bool {
        if self.waiting.get() != Some(Waiting::Body) {
            self.waiting.set(Some(Waiting::Body));
            self.changed.set(true);
        }
        *self.body.borrow_mut() = Some(waker.clone());
        self.body_stalled.get()
    }

    pub(crate) fn no_longer(&self, waiting: Waiting) {
        if self.waiting.get() == Some(waiting) {
            self.waiting.set(None);
        }
    }

    /// What is asked of the connection, once.
    pub(crate) fn take_order(&self, waker: &Waker) -> Option<Order> {
        let mut connection = self.connection.borrow_mut();
        if !connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *connection = Some(waker.clone());
        }
        self.order.take()
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.changed.set(true);
    }

    fn order(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = self.connection.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn sweep(&self, now: Instant, timeouts: &Timeouts) {
        let progressed = self.progressed.take();
        if self.changed.take() || (progressed && self.stage.get() == Stage::Exchange) {
            self.since.set(now);
            return;
        }
        let waited = now.saturating_duration_since(self.since.get());
        match (self.stage.get(), self.waiting.get()) {
            (Stage::Idle, Some(Waiting::Write)) | (Stage::Exchange, Some(Waiting::Write)) if waited > timeouts.stall => {
                self.order(Order::CloseStalled);
            }
            (Stage::Idle, None) if waited > timeouts.idle => self.order(Order::CloseIdle),
            (Stage::Head, _) if waited > timeouts.header => self.order(Order::HeadTimeout),
            (Stage::Exchange, Some(Waiting::Body)) if waited > timeouts.stall => {
                if self.body_stalled.replace(true) {
                    // It was told and is still here.
                    self.order(Order::CloseStalled);
                } else {
                    self.since.set(now);
                    if let Some(waker) = self.body.borrow_mut().take() {
                        waker.wake();
                    }
                }
            }
            _ => {}
        }
    }
}

/// The connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: RefCell<Vec<Weak<Activity>>>,
    draining: Cell<bool>,
}

impl Connections {
    /// A new connection.
    pub(crate) fn add(&self) -> Rc<Activity> {
        let activity = Rc::new(Activity::new());
        if self.draining.get() {
            activity.order(Order::Drain);
        }
        self.all.borrow_mut().push(Rc::downgrade(&activity));
        activity
    }

    /// Looks after all connections once.
    pub(crate) fn sweep(&self, timeouts: &Timeouts) {
        let now = Instant::now();
        self.all.borrow_mut().retain(|activity| match activity.upgrade() {
            Some(activity) => {
                activity.sweep(now, timeouts);
                true
            }
            None => false,
        });
    }

    /// Asks all connections, and those to come, to finish.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for activity in self.all.borrow().iter().filter_map(Weak::upgrade) {
            activity.order(Order::Drain);
        }
    }

    /// Connections that are open.
    pub(crate) fn count(&self) -> usize {
        self.all.borrow().iter().filter(|activity| activity.strong_count() > 0).count()
    }
}

/// How often to sweep, so that no timeout is missed by much.
pub(crate) fn sweep_interval(timeouts: &Timeouts) -> Duration {
    let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(30),
        drain: Duration::from_secs(30),
    };

    fn after(seconds: u64, activity: &Activity) -> Option<Order> {
        let start = Instant::now();
        activity.sweep(start, &TIMEOUTS);
        activity.sweep(start + Duration::from_secs(seconds), &TIMEOUTS);
        activity.order.take()
    }

    #[test]
    fn an_idle_connection_is_closed_in_time() {
        assert_eq!(after(59, &Activity::new()), None);
        assert_eq!(after(61, &Activity::new()), Some(Order::CloseIdle));
    }

    #[test]
    fn a_head_that_trickles_in_does_not_gain_time() {
        let activity = Activity::new();
        activity.read_progress();
        let start = Instant::now();
        for second in 0..=11 {
            activity.progressed.set(true);
            activity.sweep(start + Duration::from_secs(second), &TIMEOUTS);
        }
        assert_eq!(activity.order.take(), Some(Order::HeadTimeout));
    }

    #[test]
    fn waiting_for_the_upstream_is_not_the_clients_fault() {
        let activity = Activity::new();
        activity.begin_exchange();
        assert_eq!(after(3600, &activity), None);
    }

    #[test]
    fn a_client_that_stops_reading_is_closed() {
        let activity = Activity::new();
        activity.begin_exchange();
        activity.write_progress(true);
        assert_eq!(after(31, &activity), Some(Order::CloseStalled));
    }

    #[test]
    fn a_body_that_stops_is_told_first() {
        let activity = Activity::new();
        activity.begin_exchange();
        assert!(!activity.wait_for_body(Waker::noop()));
        assert_eq!(after(31, &activity), None);
        assert!(activity.wait_for_body(Waker::noop()));
    }
}
