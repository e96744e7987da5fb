//! The connections of one thread to one target, and who may use them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::connect::{ConnectError, connect};
use super::connection::{Connection, Http2};
use super::life::{EndedBy, Life};
use super::proxy_header::{Ends, header};
use super::slots::{Slot, Slots, Waiter};
use super::{InFlight, Target};
use crate::config::resolved::{Connections, HttpVersion};

/// Connections that are not in use, or can serve one more.
pub(crate) struct TargetPool {
    /// The most recently used is taken first, so that those too many grow old and go.
    idle: RefCell<VecDeque<Idle>>,
    /// Those of HTTP/2, in use or not.
    shared: RefCell<Vec<Shared>>,
    /// Where requests wait for one of these.
    pub(super) freed: Rc<Freed>,
    /// Where the target's connections are limited.
    slots: Option<Arc<Slots>>,
    /// Connections that are being made.
    connecting: Cell<usize>,
    /// Whether one connection serves many requests: the next may wait for one that is being made.
    multiplexes: Cell<bool>,
    /// Connections that were passed on within this thread while other threads waited as well.
    passed_on: Cell<u32>,
    /// As of the last look: nearly right, and free.
    now: Cell<Instant>,
    keep: usize,
    keep_for: Duration,
    /// Whether a connection is its client's alone.
    private: bool,
    /// Nothing is kept any more.
    closed: Cell<bool>,
}

struct Idle {
    connection: Connection,
    /// When it was first found idle.
    since: Option<Instant>,
}

struct Shared {
    connection: Http2,
    /// When it was first found without any request.
    since: Cell<Option<Instant>>,
    /// When it last began to rest: it takes no more requests, so that its place goes to another thread once it has none.
    rested: Cell<Option<Instant>>,
}

/// How long a connection that others wait for takes no more requests. Long streams do not end in that time, and nobody gains
/// anything by it: then it goes on, and is left alone for a while.
const REST: Duration = Duration::from_secs(1);
const UNTIL_NEXT_REST: Duration = Duration::from_secs(10);

impl Shared {
    fn rests(&self, now: Instant) -> bool {
        self.rested.get().is_some_and(|began| now < began + REST)
    }

    fn may_rest(&self, now: Instant) -> bool {
        self.rested.get().is_none_or(|began| now >= began + UNTIL_NEXT_REST)
    }

    fn has_room(&self, now: Instant) -> bool {
        !self.rests(now) && self.connection.has_room()
    }
}

/// Wakes those who wait for a connection of this thread, in the order they came.
#[derive(Default)]
pub(super) struct Freed {
    waiting: Cell<usize>,
    wake: Notify,
}

/// How long connections that were given back may take to be free: they are, unless their peer left a request unread.
const SETTLE: Duration = Duration::from_millis(100);

/// How often a thread passes a connection on to its own before others get their turn.
const TURNS: u32 = 16;

/// A connection in use for one exchange.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    /// Whether it has served before: the peer may have closed it just now.
    pub(crate) reused: bool,
    target: Rc<Target>,
    _in_flight: InFlight,
}

impl TargetPool {
    pub(crate) fn new(settings: &Connections, slots: Option<Arc<Slots>>) -> TargetPool {
        let private = settings.proxy_protocol.is_some();
        let is_shared = settings.keep > 0 && !private;
        TargetPool {
            idle: RefCell::default(),
            shared: RefCell::default(),
            freed: Rc::default(),
            slots,
            connecting: Cell::new(0),
            multiplexes: Cell::new(settings.http == HttpVersion::Two && is_shared),
            passed_on: Cell::new(0),
            now: Cell::new(Instant::now()),
            keep: settings.keep,
            keep_for: settings.keep_for,
            private,
            closed: Cell::new(false),
        }
    }

    /// Closes what has been idle for too long, is too old, or was closed by the peer, and what other threads wait for.
    /// Asked from time to time, so that a connection that is given back need not look at the clock.
    pub(crate) fn evict_idle(&self, now: Instant) {
        self.now.set(now);
        let mut wanted = self.wanted_elsewhere();
        let mut stays = |life: &Life, since: Instant| {
            if wanted > 0 {
                wanted -= 1;
                life.end(EndedBy::Yielded);
            } else if life.is_over(now) {
                life.end(EndedBy::Age);
            } else if now.saturating_duration_since(since) >= self.keep_for {
                life.end(EndedBy::Idle);
            } else {
                return true;
            }
            false
        };
        self.idle.borrow_mut().retain_mut(|idle| {
            let since = *idle.since.get_or_insert(now);
            !idle.connection.is_closed() && stays(idle.connection.life(), since)
        });
        self.shared.borrow_mut().retain(|shared| {
            if shared.connection.is_closed() {
                return false;
            }
            if shared.connection.open() > 0 {
                shared.since.set(None);
                return true;
            }
            let since = shared.since.get().unwrap_or(now);
            shared.since.set(Some(since));
            stays(shared.connection.life(), since)
        });
        let shared = self.shared.borrow();
        if wanted > 0 && !shared.iter().any(|shared| shared.rests(now)) {
            // While request follows upon request on it, its place would never be free.
            if let Some(busy) = shared.iter().find(|shared| shared.may_rest(now)) {
                busy.rested.set(Some(now));
            }
        }
        if shared.iter().any(|shared| shared.has_room(now)) {
            self.freed.all();
        }
    }

    /// Its target is chosen no more. Requests that have chosen it end on it, but what nobody uses is closed and nothing is kept:
    /// nobody will look here again, and what stayed would keep its place from those who choose the target now.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for idle in self.idle.take() {
            idle.connection.life().end(EndedBy::Gone);
        }
        for shared in self.shared.take() {
            // Its requests end on it.
            shared.connection.life().end(EndedBy::Gone);
        }
        self.freed.all();
    }

    /// A connection that may serve one more request, or could once it has settled.
    fn take(&self) -> Option<Connection> {
        self.take_shared().or_else(|| {
            let mut idle = self.idle.borrow_mut();
            loop {
                let Idle { connection, .. } = idle.pop_back()?;
                if !connection.is_closed() {
                    return Some(connection);
                }
            }
        })
    }

    fn take_shared(&self) -> Option<Connection> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let now = self.now.get();
        shared.retain(|shared| {
            let connection = &shared.connection;
            if connection.life().is_over(now) {
                // Its requests end on it.
                connection.life().end(EndedBy::Age);
            }
            !connection.is_closed() && !connection.life().is_over(now)
        });
        let free = shared.iter().find(|shared| shared.has_room(now))?;
        free.since.set(None);
        Some(Connection::Http2(free.connection.share()))
    }

    /// The connection that is next, if it can take a request at once.
    fn take_ready(&self) -> Option<Connection> {
        if let Some(idle) = self.idle.borrow().back()
            && !idle.connection.is_ready()
        {
            return self.take_shared();
        }
        self.take()
    }

    /// Keeps a connection for others.
    fn put(&self, connection: Connection) {
        if let Some(by) = self.unwanted(&connection) {
            connection.life().end(by);
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.keep
            && let Some(oldest) = idle.pop_front()
        {
            oldest.connection.life().end(EndedBy::Surplus);
        }
        idle.push_back(Idle {
            connection,
            since: None,
        });
        drop(idle);
        self.freed.one();
    }

    /// Why a connection is not kept, if it is not.
    fn unwanted(&self, connection: &Connection) -> Option<EndedBy> {
        if connection.life().is_over(self.now.get()) {
            return Some(EndedBy::Age);
        }
        if self.closed.get() {
            return Some(EndedBy::Gone);
        }
        if self.keep == 0 || self.private {
            return Some(EndedBy::Surplus);
        }
        if self.slots.is_some() && self.wanted_elsewhere() > 0 {
            // Those who wait on this thread have it at once, for some turns.
            let turns = self.passed_on.get();
            if self.freed.waiting.get() > 0 && turns < TURNS {
                self.passed_on.set(turns + 1);
                return None;
            }
            self.passed_on.set(0);
            return Some(EndedBy::Yielded);
        }
        None
    }

    /// How many wait for a connection to this target on other threads.
    fn wanted_elsewhere(&self) -> usize {
        let waiting = self.slots.as_ref().map_or(0, |slots| slots.waiting());
        waiting.saturating_sub(self.freed.waiting.get())
    }
}

impl Freed {
    /// There is a connection, or a place on one.
    pub(super) fn one(&self) {
        if self.waiting.get() > 0 {
            self.wake.notify_one();
        }
    }

    /// A connection that some waited for is there, or will not be.
    fn all(&self) {
        for _ in 0..self.waiting.get() {
            self.wake.notify_one();
        }
    }
}

/// What a request is given that no idle connection could be found for.
enum Place<'a> {
    /// A connection after all.
    Used(Connection),
    /// Leave to make one.
    New(Option<Slot>, Connecting<'a>),
}

impl TargetPool {
    /// Waits for a connection, or for leave to make one.
    async fn place(&self) -> Result<Place<'_>, ConnectError> {
        if self.freed.waiting.get() == 0
            && let Some(place) = self.place_now()
        {
            return Ok(place);
        }
        let _waiting = Waiting::join(self)?;
        loop {
            let slot = async {
                match &self.slots {
                    Some(slots) if !self.awaits_another() => slots.wait().await,
                    _ => pending().await,
                }
            };
            select! {
                biased;
                () = self.freed.wake.notified() => {
                    if let Some(connection) = self.take() {
                        return Ok(Place::Used(connection));
                    }
                    if let Some(place) = self.place_now() {
                        return Ok(place);
                    }
                }
                slot = slot => return Ok(Place::New(slot, Connecting::begin(self))),
            }
        }
    }

    fn place_now(&self) -> Option<Place<'_>> {
        if self.awaits_another() {
            return None;
        }
        let slot = match &self.slots {
            None => None,
            Some(slots) => Some(slots.take()?),
        };
        Some(Place::New(slot, Connecting::begin(self)))
    }

    /// Whether a connection is being made that will have room for more than who makes it.
    fn awaits_another(&self) -> bool {
        self.multiplexes.get() && self.connecting.get() > 0
    }
}

/// Somebody who waits, counted for as long as this lives.
struct Waiting<'a> {
    freed: &'a Freed,
    _waiter: Option<Waiter<'a>>,
}

impl<'a> Waiting<'a> {
    fn join(pool: &'a TargetPool) -> Result<Waiting<'a>, ConnectError> {
        let waiter = match &pool.slots {
            None => None,
            Some(slots) => Some(slots.enter().ok_or(ConnectError::Busy)?),
        };
        pool.freed.waiting.set(pool.freed.waiting.get() + 1);
        Ok(Waiting {
            freed: &pool.freed,
            _waiter: waiter,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.freed.waiting.set(self.freed.waiting.get().saturating_sub(1));
    }
}

/// A connection that is being made, counted for as long as this lives.
struct Connecting<'a>(&'a TargetPool);

impl<'a> Connecting<'a> {
    fn begin(pool: &'a TargetPool) -> Connecting<'a> {
        pool.connecting.set(pool.connecting.get() + 1);
        Connecting(pool)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let pool = self.0;
        pool.connecting.set(pool.connecting.get().saturating_sub(1));
        // Who waits to share what comes looks again: it may turn out to serve one request at a time, or not have come.
        pool.freed.all();
    }
}

impl Lease {
    /// An idle connection to the target that can take a request at once, unless others have waited for one.
    pub(crate) fn idle(target: &Rc<Target>) -> Option<Lease> {
        if target.pool.freed.waiting.get() > 0 {
            return None;
        }
        let connection = target.pool.take_ready()?;
        Some(Lease::reusing(connection, target, InFlight::on(target)))
    }

    /// A connection to the target: an idle one, or a new one. `ends` are those of the client's connection, for targets that
    /// are told.
    pub(crate) async fn of(target: &Rc<Target>, ends: Option<Ends>, limit: Duration) -> Result<Lease, ConnectError> {
        let (in_flight, start, pool) = (InFlight::on(target), Instant::now(), &target.pool);
        // One that its peer keeps busy, still unread from the last request, is not worth waiting for; nor are many of them.
        while pool.freed.waiting.get() == 0
            && let Some(left) = SETTLE.min(limit).checked_sub(start.elapsed())
            && let Some(mut connection) = pool.take()
        {
            if connection.is_ready() || matches!(timeout(left, connection.ready()).await, Ok(Ok(()))) {
                return Ok(Lease::reusing(connection, target, in_flight));
            }
        }
        let place = timeout(limit.saturating_sub(start.elapsed()), pool.place()).await;
        match place.unwrap_or(Err(ConnectError::Busy)) {
            Ok(Place::Used(connection)) => Ok(Lease::reusing(connection, target, in_flight)),
            Ok(Place::New(slot, connecting)) => {
                let left = limit.saturating_sub(start.elapsed());
                let version = target.settings.connections.proxy_protocol;
                let preamble = version.map_or_else(Vec::new, |version| header(version, ends));
                let made = Box::pin(connect(target, slot, &preamble, left)).await;
                let connection = made.map(|made| pool.first_use(made));
                drop(connecting);
                Ok(Lease {
                    connection: connection?,
                    reused: false,
                    target: target.clone(),
                    _in_flight: in_flight,
                })
            }
            Err(_) if pool.slots.is_none() => Err(ConnectError::Timeout),
            Err(error) => {
                target.connections.failed(&error);
                Err(error)
            }
        }
    }

    fn reusing(connection: Connection, target: &Rc<Target>, in_flight: InFlight) -> Lease {
        target.connections.reused();
        Lease {
            connection,
            reused: true,
            target: target.clone(),
            _in_flight: in_flight,
        }
    }

    /// Gives the connection back for other exchanges: its response has been read to the end, and its request sent.
    pub(crate) fn keep(self) {
        if matches!(self.connection, Connection::Http1(_)) && !self.connection.is_closed() {
            self.connection.rest();
            self.target.pool.put(self.connection);
        }
    }
}

impl TargetPool {
    /// A new connection as who made it uses it.
    fn first_use(&self, connection: Connection) -> Connection {
        let Connection::Http2(base) = connection else {
            self.multiplexes.set(false);
            return connection;
        };
        let first = Connection::Http2(base.share());
        if self.keep > 0 && !self.private && !self.closed.get() {
            self.multiplexes.set(true);
            self.shared.borrow_mut().push(Shared {
                connection: base,
                since: Cell::new(None),
                rested: Cell::new(None),
            });
        }
        first
    }
}
