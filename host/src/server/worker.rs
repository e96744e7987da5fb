//! One data-plane thread: its runtime, its sockets, its view of the gateway.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::activity::{Connections, sweep_interval};
use super::client_limits::{Admission, Full};
use super::connection::{self, Newcomer};
use super::flood::Flood;
use super::handshake::Ended;
use super::http3::Endpoint;
use super::listener::{Accepting, Listening};
use super::view::View;
use super::{Shared, Stage};
use crate::config::resolved::Limits;
use crate::socket::Transport;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{
    CONNECTIONS, CONNECTIONS_REFUSED, CONNECTIONS_RESTING, CONNECTIONS_UPGRADED, HTTP2_FLOODS,
};

/// What lives on one thread.
pub(super) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    view: RefCell<Rc<View>>,
    version: Cell<u64>,
    connections: Connections,
    /// Held by each exchange whose filters are being told how it ended.
    completing: Rc<()>,
    open: Counter,
    upgraded: Counter,
    resting: Counter,
    refused: Refused,
    floods: [Counter; Flood::ALL.len()],
}

/// Connections that were refused, by reason.
struct Refused {
    limit: Counter,
    client_limit: Counter,
    proxy_protocol: Counter,
    handshake: Counter,
}

/// Starts a thread that serves these sockets, each of the listener of this number, until it is told to stop.
pub(super) fn start(
    index: usize,
    shared: Arc<Shared>,
    sockets: Vec<(usize, Listening)>,
    stage: watch::Receiver<Stage>,
) -> io::Result<JoinHandle<()>> {
    // A runtime belongs to its thread, so it is made there and the caller is told how that went.
    let (started, outcome) = sync_channel(1);
    let serve = move || match LocalRuntime::new() {
        Ok(runtime) => {
            let _ = started.send(Ok(()));
            runtime.block_on(Worker::new(index, shared).serve(sockets, stage));
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    };
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(serve)?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(thread)
}

/// How long to wait after the kernel refused a connection: it has no descriptors left, and an empty loop frees none.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// A moment for what the kernel holds already, connections and requests on them: it is served before the end begins.
const LATECOMERS: Duration = Duration::from_millis(5);

/// How long filters may take, once everything has been told to stop, to hear how the last exchanges ended.
const LAST_COMPLETIONS: Duration = Duration::from_secs(1);

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Worker> {
        let version = shared.version.load(Ordering::Acquire);
        let counter = |name, reason: &str| shared.metrics.counter(index, name, vec![("reason", reason.into())]);
        let refused = |reason| counter(CONNECTIONS_REFUSED, reason);
        Rc::new(Worker {
            index,
            view: RefCell::new(Rc::new(View::new(&shared, index, None))),
            version: Cell::new(version),
            connections: Connections::default(),
            completing: Rc::default(),
            open: shared.metrics.gauge(index, CONNECTIONS, Vec::new()),
            upgraded: shared.metrics.gauge(index, CONNECTIONS_UPGRADED, Vec::new()),
            resting: shared.metrics.gauge(index, CONNECTIONS_RESTING, Vec::new()),
            refused: Refused {
                limit: refused("limit"),
                client_limit: refused("client-limit"),
                proxy_protocol: refused("proxy-protocol"),
                handshake: refused("handshake"),
            },
            floods: Flood::ALL.map(|flood| counter(HTTP2_FLOODS, flood.as_str())),
            shared,
        })
    }

    /// The current gateway as this thread uses it.
    pub(super) fn view(&self) -> Rc<View> {
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version.get() {
            let view = Rc::new(View::new(&self.shared, self.index, Some(&self.view.borrow())));
            let before = self.view.replace(view.clone());
            self.version.set(version);
            before.gives_way_to(&view);
            for listener in view.listeners_that_ask_otherwise(&before) {
                self.connections.outdate(listener);
            }
        }
        self.view.borrow().clone()
    }

    /// A connection was ended for its frames.
    pub(super) fn flooded(&self, flood: Flood) {
        self.floods[flood as usize].add(1);
    }

    /// Keeps the thread from ending while an exchange's filters are told how it ended: until this is dropped.
    pub(super) fn completing(&self) -> Rc<()> {
        self.completing.clone()
    }

    /// Connections that have gone on in another protocol.
    pub(super) fn upgraded(&self) -> &Counter {
        &self.upgraded
    }

    /// Connections that are idle and hold nothing.
    pub(super) fn resting(&self) -> &Counter {
        &self.resting
    }

    fn is_busy(&self) -> bool {
        self.connections.count() > 0 || Rc::strong_count(&self.completing) > 1
    }

    async fn serve(self: Rc<Self>, sockets: Vec<(usize, Listening)>, mut stage: watch::Receiver<Stage>) {
        let (mut accepting, mut endpoints) = (Vec::new(), Vec::new());
        for (number, socket) in sockets {
            let begun = Accepting::new(socket).and_then(|socket| {
                Ok(match socket {
                    Ok(socket) => Some(tokio::task::spawn_local(self.clone().accept(number, socket))),
                    Err(socket) => Endpoint::new(&self, number, socket, &self.shared.quic)?.map(|endpoint| {
                        endpoints.push(endpoint.clone());
                        tokio::task::spawn_local(endpoint.accept(self.clone()))
                    }),
                })
            });
            match begun {
                Ok(begun) => accepting.extend(begun),
                Err(error) => tracing::error!(%error, "a thread cannot listen"),
            }
        }
        let sweeping = tokio::task::spawn_local(self.clone().sweep());
        let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
        sleep(LATECOMERS).await;
        for task in &accepting {
            task.abort();
        }
        for endpoint in &endpoints {
            endpoint.close();
        }
        self.connections.drain();
        while self.is_busy() && *stage.borrow() != Stage::Stopped {
            tokio::select! {
                () = sleep(LATECOMERS) => {}
                _ = stage.changed() => {}
            }
        }
        self.connections.close();
        let ended = async {
            while self.is_busy() {
                sleep(LATECOMERS).await;
            }
        };
        let _ = timeout(LAST_COMPLETIONS, ended).await;
        if !endpoints.is_empty() {
            // The last packets are sent by tasks of QUIC's.
            sleep(LATECOMERS).await;
        }
        sweeping.abort();
    }

    async fn accept(self: Rc<Self>, number: usize, socket: Accepting) {
        loop {
            match socket.accept().await {
                Ok((transport, peer)) => self.welcome(number, transport, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(AFTER_REFUSAL).await;
                }
            }
        }
    }

    /// Serves a connection, if there may be one more.
    fn welcome(self: &Rc<Self>, number: usize, transport: Transport, peer: Option<SocketAddr>) {
        let view = self.view();
        let Some(listener) = view.listeners.get(number) else {
            return;
        };
        // A load balancer's connections are not its own: they are counted once it has said whose they are.
        let client = match &listener.settings.proxy_protocol {
            None => peer.map(|peer| peer.ip()),
            Some(_) => None,
        };
        match self.admit(client, &view.gateway.config.server.limits) {
            Ok(admission) => {
                let newcomer = self.newcomer(number, peer, admission);
                self.serve_one(connection::serve(newcomer, transport));
            }
            Err(full) => self.refused_by(full),
        }
    }

    /// Counts a connection, if there may be one more.
    pub(super) fn admit(&self, client: Option<IpAddr>, limits: &Limits) -> Result<Admission, Full> {
        self.shared.client_limits.admit(client, limits)
    }

    /// A connection that was admitted.
    pub(super) fn newcomer(
        self: &Rc<Self>,
        listener: usize,
        peer: Option<SocketAddr>,
        admission: Admission,
    ) -> Newcomer {
        Newcomer {
            worker: self.clone(),
            listener,
            activity: self.connections.add(),
            peer,
            admission,
        }
    }

    /// Serves a connection, and counts it as long as it is open.
    pub(super) fn serve_one(self: &Rc<Self>, serving: impl Future<Output = ()> + 'static) {
        let open = self.open.hold();
        tokio::task::spawn_local(async move {
            serving.await;
            drop(open);
        });
    }

    /// Whether a listener has sockets for HTTP/3.
    pub(super) fn has_http3(&self, listener: usize) -> bool {
        self.shared.http3.get(listener).is_some_and(|http3| *http3)
    }

    /// Whether connections are to finish.
    pub(super) fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// Counts a connection that is over a limit.
    pub(super) fn refused_by(&self, full: Full) {
        match full {
            Full::All => self.refused.limit.add(1),
            Full::Client => self.refused.client_limit.add(1),
        }
    }

    /// Counts a connection that did not begin as its listener wants it.
    pub(super) fn refused_before_http(&self, why: &Ended) {
        match why {
            Ended::Quietly => {}
            Ended::NotAnnounced => self.refused.proxy_protocol.add(1),
            Ended::NotSecured(_) | Ended::PlainHttp(_) => self.refused.handshake.add(1),
        }
    }

    /// Looks after connections that take too long, here and upstream; and lets go of an old configuration where no
    /// request comes to do so.
    async fn sweep(self: Rc<Self>) {
        let mut ticks = interval(sweep_interval(&self.view().gateway.config.server.timeouts));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let view = self.view();
            self.connections.sweep(&view.gateway.config.server.timeouts);
            view.evict_idle();
        }
    }
}
