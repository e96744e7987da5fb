//! The idle connections of one thread to one target.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::connect::{ConnectError, Connection, connect};
use super::{InFlight, Target};

/// Idle connections, the most recently used taken first, so that those too many grow old and go.
pub(crate) struct TargetPool {
    idle: RefCell<VecDeque<Idle>>,
    keep: usize,
    keep_for: Duration,
}

struct Idle {
    connection: Connection,
    /// When it was first found idle.
    since: Option<Instant>,
}

/// How long connections that were given back may take to be free: they are, unless their peer left a request unread.
const SETTLE: Duration = Duration::from_millis(100);

/// A connection in use for one exchange.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    /// Whether it has served before: the peer may have closed it just now.
    pub(crate) reused: bool,
    target: Rc<Target>,
    _in_flight: InFlight,
}

impl TargetPool {
    pub(crate) fn new(keep: usize, keep_for: Duration) -> TargetPool {
        TargetPool {
            idle: RefCell::default(),
            keep,
            keep_for,
        }
    }

    /// Closes what has been idle for too long, or was closed by the peer. Asked from time to time, so that a connection
    /// that is given back need not look at the clock.
    pub(crate) fn evict_idle(&self, now: Instant) {
        self.idle.borrow_mut().retain_mut(|idle| {
            let since = *idle.since.get_or_insert(now);
            !idle.connection.is_closed() && now.saturating_duration_since(since) < self.keep_for
        });
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop_back() {
            if connection.is_closed() {
                continue;
            }
            if let Connection::Http2(sender) = &connection {
                let shared = Connection::Http2(sender.clone());
                idle.push_back(Idle::from(connection));
                return Some(shared);
            }
            return Some(connection);
        }
        None
    }

    /// The connection that is next, if it can take a request at once.
    fn take_ready(&self) -> Option<Connection> {
        let is_ready = self.idle.borrow().back()?.connection.is_ready();
        if is_ready { self.take() } else { None }
    }

    fn put(&self, connection: Connection) {
        if self.keep == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.keep {
            idle.pop_front();
        }
        idle.push_back(Idle::from(connection));
    }
}

impl From<Connection> for Idle {
    fn from(connection: Connection) -> Idle {
        Idle {
            connection,
            since: None,
        }
    }
}

impl Lease {
    /// An idle connection to the target that can take a request at once.
    pub(crate) fn idle(target: &Rc<Target>) -> Option<Lease> {
        let connection = target.pool.take_ready()?;
        Some(Lease::reusing(connection, target, InFlight::on(target)))
    }

    /// A connection to the target: an idle one, or a new one.
    pub(crate) async fn of(target: &Rc<Target>, http2: bool, limit: Duration) -> Result<Lease, ConnectError> {
        let (in_flight, start) = (InFlight::on(target), Instant::now());
        // One that its peer keeps busy, still unread from the last request, is not worth waiting for; nor are many of them.
        while let Some(left) = SETTLE.min(limit).checked_sub(start.elapsed())
            && let Some(mut connection) = target.pool.take()
        {
            if connection.is_ready() || matches!(timeout(left, connection.ready()).await, Ok(Ok(()))) {
                return Ok(Lease::reusing(connection, target, in_flight));
            }
        }
        Lease::fresh(target, in_flight, http2, limit.saturating_sub(start.elapsed())).await
    }

    fn reusing(connection: Connection, target: &Rc<Target>, in_flight: InFlight) -> Lease {
        Lease {
            connection,
            reused: true,
            target: target.clone(),
            _in_flight: in_flight,
        }
    }

    async fn fresh(
        target: &Rc<Target>,
        in_flight: InFlight,
        http2: bool,
        limit: Duration,
    ) -> Result<Lease, ConnectError> {
        let connection = Box::pin(connect(&target.address, &target.state.addresses, http2, limit)).await?;
        if let Connection::Http2(sender) = &connection {
            target.pool.put(Connection::Http2(sender.clone()));
        }
        Ok(Lease {
            connection,
            reused: false,
            target: target.clone(),
            _in_flight: in_flight,
        })
    }

    /// Gives the connection back for other exchanges: its response has been read to the end, and its request sent.
    pub(crate) fn keep(self) {
        if let Connection::Http1(sender, ..) = &self.connection
            && !sender.is_closed()
        {
            self.target.pool.put(self.connection);
        }
    }
}
