//! What a client connection is doing, so that one sweep per thread can find those that take too long. The path of a request
//! sets flags; the sweep alone reads the clock.

// Long because a third of it is tests of who is closed, and when.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::early_hints::Hints;
use super::flood::Flood;
use super::pace::Pace;
use super::rest::RESTS_AFTER;
use super::upgrade::Handshake;
use super::wait::Wait;
use crate::config::resolved::Timeouts;
use crate::turns::Turns;

/// What one connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The number of the listener whose rules for clients it has begun under; none before it has begun.
    listener: Cell<Option<usize>>,
    /// The rules for clients are others now, or it does not keep them any more.
    outdated: Cell<bool>,
    /// The connection speaks HTTP/2 or HTTP/3.
    framed: Cell<bool>,
    /// Part of a request's head is there.
    in_head: Cell<bool>,
    exchanges: Cell<u32>,
    /// A response has been handed to the protocol and not been flushed yet.
    answering: Cell<bool>,
    /// The socket takes no more.
    blocked: Cell<bool>,
    /// Bytes that it has taken.
    sent: Cell<u64>,
    pace: Pace,
    /// When the sweep first saw the connection as it is now.
    since: Cell<Option<Instant>>,
    /// What its exchanges wait for.
    waits: RefCell<Vec<Rc<Wait>>>,
    /// The one of them that has just begun, for a response, until the stream at hand has taken note of it.
    begun_response: RefCell<Option<Rc<Wait>>>,
    /// Those of the task that serves it.
    pub(super) turns: Turns,
    /// Whether its client has asked for another protocol.
    pub(super) handshake: Handshake,
    /// What may be sent before the response of the exchange at hand.
    pub(super) hints: RefCell<Option<Arc<Hints>>>,
    flood: Cell<Option<Flood>>,
    /// It would give its buffers back if it were told to.
    may_rest: Cell<bool>,
    order: Cell<Option<Order>>,
    connection: RefCell<Option<Waker>>,
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

/// What the sweep, or the end of the gateway, asks of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Finish what is under way, take nothing more.
    Drain,
    /// Give back what is not needed until the next request.
    Rest,
    /// Close: it was idle for too long.
    CloseIdle,
    /// Answer that the head took too long, and close.
    HeadTimeout,
    /// Close at once: the client has stopped reading, or sending, or the gateway ends.
    Close,
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity {
            listener: Cell::new(None),
            outdated: Cell::new(false),
            framed: Cell::new(false),
            in_head: Cell::new(false),
            exchanges: Cell::new(0),
            answering: Cell::new(false),
            blocked: Cell::new(false),
            sent: Cell::new(0),
            pace: Pace::default(),
            since: Cell::new(None),
            waits: RefCell::default(),
            begun_response: RefCell::default(),
            turns: Turns::default(),
            handshake: Handshake::default(),
            hints: RefCell::default(),
            flood: Cell::new(None),
            may_rest: Cell::new(false),
            order: Cell::new(None),
            connection: RefCell::new(None),
        }
    }

    /// The connection begins under the rules that this listener has for its clients.
    pub(super) fn begin_under(&self, listener: usize) {
        self.listener.set(Some(listener));
    }

    /// No request that comes now may be served: its client would have to prove more, or again. What is under way finishes.
    pub(super) fn outdate(&self) {
        self.outdated.set(true);
        self.order(Order::Drain);
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.get()
    }

    /// The connection speaks HTTP/2 or HTTP/3: bytes that come in need not be the head of a request.
    pub(crate) fn framed(&self) {
        self.framed.set(true);
        self.in_head(false);
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.framed.get()
    }

    /// Whether what came in ends within a request's head.
    pub(crate) fn in_head(&self, in_head: bool) {
        if self.in_head.replace(in_head) != in_head {
            self.changed();
        }
    }

    /// What came of writing: so many bytes went out, or they could not.
    pub(crate) fn wrote(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.sent.set(self.sent.get() + *bytes as u64),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => return self.blocked(),
        }
        self.unblocked();
    }

    /// The socket takes no more.
    fn blocked(&self) {
        if !self.blocked.replace(true) {
            self.changed();
        }
    }

    /// The socket takes more, or is another's now.
    pub(super) fn unblocked(&self) {
        self.blocked.set(false);
    }

    /// A request's head is complete.
    pub(crate) fn begin_exchange(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        self.changed();
    }

    /// A response is on its way.
    pub(crate) fn answering(&self) {
        self.answering.set(true);
    }

    /// An exchange is over.
    pub(crate) fn end_exchange(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.changed();
    }

    /// All that was written has gone out.
    pub(crate) fn flushed(&self) {
        if self.exchanges.get() == 0 {
            self.answering.set(false);
        }
    }

    /// Whether what is written now answers no exchange: the refusal of a head.
    pub(crate) fn is_refusing(&self) -> bool {
        self.exchanges.get() == 0 && !self.answering.get()
    }

    /// The connection is ended for its frames of HTTP/2.
    pub(crate) fn flooded(&self, flood: Flood) {
        self.flood.set(Some(flood));
    }

    /// What the connection was ended for.
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// The connection speaks HTTP/1, and can rest when it is idle.
    pub(super) fn may_rest(&self) {
        self.may_rest.set(true);
    }

    pub(super) fn add_wait(&self, wait: Rc<Wait>) {
        self.waits.borrow_mut().push(wait);
    }

    /// The stream that is polled waits for its client to take its response, for the first time.
    pub(super) fn begin_response(&self, wait: Rc<Wait>) {
        self.begun_response.replace(Some(wait));
    }

    pub(super) fn take_begun_response(&self) -> Option<Rc<Wait>> {
        self.begun_response.take()
    }

    pub(super) fn remove_wait(&self, wait: &Rc<Wait>) {
        self.waits.borrow_mut().retain(|known| !Rc::ptr_eq(known, wait));
    }

    /// What is asked of the connection, once, and only if it still has reason to be.
    pub(crate) fn take_order(&self, waker: &Waker) -> Option<Order> {
        let mut connection = self.connection.borrow_mut();
        if !connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *connection = Some(waker.clone());
        }
        self.order.take().filter(|order| match order {
            Order::Rest => {
                let rests = self.stage() == Stage::Idle && !self.answering.get();
                self.may_rest.set(!rests);
                rests
            }
            Order::CloseIdle => self.stage() == Stage::Idle,
            Order::HeadTimeout => self.stage() == Stage::Head,
            Order::Drain | Order::Close => true,
        })
    }

    /// Asks something of the connection.
    pub(crate) fn order(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = self.connection.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn stage(&self) -> Stage {
        match (self.exchanges.get(), self.in_head.get()) {
            (1.., _) => Stage::Exchange,
            (0, true) => Stage::Head,
            (0, false) => Stage::Idle,
        }
    }

    fn changed(&self) {
        self.since.set(None);
    }

    /// Looks after the connection, so long after the last time.
    fn sweep(&self, now: Instant, passed: Duration, timeouts: &Timeouts) {
        if self.waits.borrow().iter().any(|wait| wait.sweep(now, passed, timeouts)) {
            return self.order(Order::Close);
        }
        if self.blocked.get() {
            if self.pace.is_too_slow(passed, self.sent.get(), &timeouts.pace) {
                return self.order(Order::Close);
            }
        } else if self.exchanges.get() == 0 {
            self.pace.begin_anew(self.sent.get());
        }
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let (limit, order) = match self.stage() {
            _ if self.blocked.get() => (timeouts.stall, Order::Close),
            Stage::Idle => (timeouts.idle, Order::CloseIdle),
            Stage::Head => (timeouts.header, Order::HeadTimeout),
            Stage::Exchange => return,
        };
        // An order that is not heeded yet stays: to drain must not be forgotten.
        if self.order.get().is_some() {
            return;
        }
        let unchanged = now.saturating_duration_since(since);
        if unchanged > limit {
            // It has as long again before it is given the next one.
            self.since.set(Some(now));
            self.order(order);
        } else if unchanged > RESTS_AFTER && self.may_rest.get() && self.stage() == Stage::Idle {
            self.order(Order::Rest);
        }
    }
}

/// The connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: RefCell<Vec<Weak<Activity>>>,
    draining: Cell<bool>,
    /// When they were last looked after.
    swept: Cell<Option<Instant>>,
}

/// A thread that was busy for longer than this between two sweeps is not its clients' fault.
const LONGEST_SWEEP: Duration = Duration::from_secs(1);

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
        let passed = self.swept.replace(Some(now)).map_or(Duration::ZERO, |last| now - last);
        let passed = passed.min(LONGEST_SWEEP);
        self.all.borrow_mut().retain(|activity| match activity.upgrade() {
            Some(activity) => {
                activity.sweep(now, passed, timeouts);
                true
            }
            None => false,
        });
    }

    /// Asks all connections, and those to come, to finish.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.order(Order::Drain);
    }

    /// Asks those to finish that have begun under other rules than this listener has for its clients now.
    pub(crate) fn outdate(&self, listener: usize) {
        for activity in self.all.borrow().iter().filter_map(Weak::upgrade) {
            if activity.listener.get() == Some(listener) {
                activity.outdate();
            }
        }
    }

    /// Asks all connections to end at once.
    pub(crate) fn close(&self) {
        self.order(Order::Close);
    }

    fn order(&self, order: Order) {
        for activity in self.all.borrow().iter().filter_map(Weak::upgrade) {
            activity.order(order);
        }
    }

    /// Whether they are to finish.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Connections that are open.
    pub(crate) fn count(&self) -> usize {
        self.all
            .borrow()
            .iter()
            .filter(|activity| activity.strong_count() > 0)
            .count()
    }
}

/// How often to sweep, so that no timeout is missed by much.
pub(crate) fn sweep_interval(timeouts: &Timeouts) -> Duration {
    let grace = timeouts.pace.grace.max(Duration::from_millis(1));
    let shortest = timeouts.header.min(timeouts.idle).min(timeouts.stall).min(grace);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::LeastPace;
    use crate::server::wait::Watch;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake: Duration::from_secs(10),
        header: Duration::from_secs(10),
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

    fn after(seconds: u64, activity: &Activity) -> Option<Order> {
        let start = Instant::now();
        activity.sweep(start, Duration::ZERO, &TIMEOUTS);
        activity.sweep(start + Duration::from_secs(seconds), Duration::ZERO, &TIMEOUTS);
        activity.take_order(Waker::noop())
    }

    #[test]
    fn an_idle_connection_is_closed_in_time() {
        assert_eq!(after(59, &Activity::new()), None);
        assert_eq!(after(61, &Activity::new()), Some(Order::CloseIdle));
    }

    #[test]
    fn an_idle_connection_rests_if_it_may_and_is_closed_in_time_all_the_same() {
        let activity = Activity::new();
        let start = Instant::now();
        let orders = |activity: &Activity| -> Vec<_> {
            (0..=61)
                .filter_map(|second| {
                    activity.sweep(start + Duration::from_secs(second), Duration::ZERO, &TIMEOUTS);
                    Some((second, activity.take_order(Waker::noop())?))
                })
                .collect()
        };
        assert_eq!(orders(&activity), [(61, Order::CloseIdle)]);

        activity.changed();
        activity.may_rest();
        assert_eq!(orders(&activity), [(2, Order::Rest), (61, Order::CloseIdle)]);
    }

    #[test]
    fn what_is_still_being_sent_is_no_rest() {
        let activity = Activity::new();
        activity.may_rest();
        activity.begin_exchange();
        activity.answering();
        activity.end_exchange();
        assert_eq!(after(2, &activity), None);

        activity.flushed();
        assert_eq!(after(2, &activity), Some(Order::Rest));
    }

    #[test]
    fn a_head_that_trickles_in_does_not_gain_time() {
        let activity = Activity::new();
        let start = Instant::now();
        for second in 0..=11 {
            activity.in_head(true);
            activity.sweep(start + Duration::from_secs(second), Duration::ZERO, &TIMEOUTS);
        }
        assert_eq!(activity.take_order(Waker::noop()), Some(Order::HeadTimeout));
    }

    #[test]
    fn what_came_in_the_meantime_makes_an_order_void() {
        let activity = Activity::new();
        activity.order(Order::CloseIdle);
        activity.begin_exchange();
        assert_eq!(activity.take_order(Waker::noop()), None);
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
        activity.wrote(&Poll::Pending);
        assert_eq!(after(31, &activity), Some(Order::Close));
    }

    #[test]
    fn a_client_that_reads_slowly_is_not() {
        let activity = Activity::new();
        let start = Instant::now();
        for second in (0..100).step_by(20) {
            activity.wrote(&Poll::Ready(Ok(1)));
            activity.wrote(&Poll::Pending);
            activity.sweep(start + Duration::from_secs(second), Duration::ZERO, &TIMEOUTS);
        }
        assert_eq!(activity.take_order(Waker::noop()), None);
    }

    #[test]
    fn each_body_that_stops_is_told() {
        let activity = Rc::new(Activity::new());
        let mut bodies = [Watch::new(activity.clone()), Watch::new(activity.clone())];
        activity.begin_exchange();
        activity.begin_exchange();
        assert!(!bodies.iter_mut().any(|body| body.until_sent(Waker::noop(), 0)));
        assert_eq!(after(31, &activity), None);
        assert!(bodies.iter_mut().all(|body| body.until_sent(Waker::noop(), 0)));
        drop(bodies);
        assert!(activity.waits.borrow().is_empty());
    }

    #[test]
    fn a_client_that_hardly_reads_is_closed() {
        let activity = Activity::new();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        activity.begin_exchange();
        let mut seconds = 0;
        while activity.take_order(Waker::noop()).is_none() {
            activity.wrote(&Poll::Ready(Ok(10)));
            activity.wrote(&Poll::Pending);
            seconds += 1;
            activity.sweep(start + seconds * second, second, &TIMEOUTS);
        }
        // 100 bytes a second are expected of it after 20 seconds, and it had 10 a second.
        assert_eq!(seconds, 23);
    }
}
