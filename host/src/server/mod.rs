//! From sockets to answers: listeners, connections, and the threads that serve them.
//!
//! One thread per core, each with its own runtime, its own listening sockets, its own upstream connections and its own
//! ready filter instances. What they share: the current [`Gateway`], counters that each writes its own part of, and the
//! store behind rate limits.

pub(crate) mod accept;
pub(crate) mod activity;
mod client_limits;
mod completion;
mod connection;
pub(crate) mod early_hints;
mod ending;
pub(crate) mod executor;
mod extended_connect;
mod flood;
pub(crate) mod forwarded;
pub mod frames;
mod framing;
pub(crate) mod handover;
mod handshake;
pub(crate) mod hop_by_hop;
pub(crate) mod host;
pub(crate) mod http3;
pub(crate) mod incoming;
pub(crate) mod inherited;
mod io;
mod listener;
mod outgoing;
mod pace;
mod proxy_protocol;
mod rest;
mod service;
mod socket_file;
mod tunnel;
pub(crate) mod upgrade;
pub(crate) mod view;
pub(crate) mod wait;
mod worker;

use std::fmt;
use std::io::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use self::client_limits::ClientLimits;
use self::handover::Passed;
use self::inherited::Inherited;
use self::socket_file::SocketFile;
use crate::acme::Keeper;
use crate::config::resolved::ListenAddress;
use crate::gateway::Gateway;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::Writer;
use crate::upstream::{Tending, UpstreamState};

/// What is found out sooner than this is not worth a line in the log.
const SHORTLY: Duration = Duration::from_millis(250);

/// What the threads share.
pub(crate) struct Shared {
    current: ArcSwap<Gateway>,
    /// Counts configurations, so that a thread sees a new one by one load.
    version: AtomicU64,
    metrics: Metrics,
    /// The names of the listeners that the process was started with; threads and connections know them by number.
    listeners: Vec<Arc<str>>,
    /// Which of them have sockets for HTTP/3.
    http3: Vec<bool>,
    quic: http3::Keys,
    client_limits: Arc<ClientLimits>,
    access_log: Writer,
}

impl Shared {
    pub(crate) fn new(gateway: Gateway, metrics: &Metrics) -> std::io::Result<Shared> {
        Ok(Shared {
            access_log: Writer::start(&gateway.config.log.access)?,
            listeners: gateway.listeners.iter().map(|one| one.settings.name.clone()).collect(),
            http3: gateway
                .listeners
                .iter()
                .map(|one| one.settings.http3.is_some())
                .collect(),
            quic: http3::Keys::default(),
            current: ArcSwap::from_pointee(gateway),
            version: AtomicU64::new(1),
            metrics: metrics.clone(),
            client_limits: Arc::default(),
        })
    }
}

/// The life of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// No new connections; those that are open finish.
    Draining,
    /// Everything ends.
    Stopped,
}

/// A server that is running.
pub(crate) struct Server {
    shared: Arc<Shared>,
    listening: Vec<Listening>,
    /// The listening sockets once more, where another gateway may take them over.
    passed_on: Vec<Passed>,
    files: Vec<SocketFile>,
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
    tending: Tending,
    keeper: Keeper,
    /// Not while another gateway still accepts connections from the same sockets.
    keeps_certificates: bool,
}

/// An address where a running server listens.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    pub(crate) address: ListenAddress,
    /// Whether clients speak HTTPS there.
    pub(crate) secure: bool,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, self.secure) {
            (ListenAddress::Tcp(address), false) => write!(f, "http://{address}"),
            (ListenAddress::Tcp(address), true) => write!(f, "https://{address}"),
            (ListenAddress::Unix(_), false) => write!(f, "{}", self.address),
            (ListenAddress::Unix(_), true) => write!(f, "{} with TLS", self.address),
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{address} cannot be listened on: {source} ({written})")]
    Listen {
        address: ListenAddress,
        source: Error,
        written: String,
    },
    #[error("the access log cannot be opened: {0}")]
    AccessLog(Error),
    #[error("no thread can be started: {0}")]
    Thread(Error),
}

impl Server {
    /// Starts listening, with the sockets that are there already and new ones, and serving.
    pub(crate) fn start(gateway: Gateway, metrics: &Metrics, inherited: &mut Inherited) -> Result<Server, StartError> {
        let passes_on = gateway.config.server.handover.is_some();
        let (threads, listeners) = (gateway.config.server.threads, gateway.config.listeners.clone());
        let shared = Arc::new(Shared::new(gateway, metrics).map_err(StartError::AccessLog)?);
        let (mut listening, mut files, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        let mut passed_on = Vec::new();
        for (number, listener) in listeners.iter().enumerate() {
            let http3 = listener.http3.is_some();
            for address in &listener.addresses {
                let failed = |source| StartError::Listen {
                    address: address.clone(),
                    source,
                    written: match &*listener.name {
                        "default" => "`server.listen`, in the demo `--listen`".to_owned(),
                        name => format!("the listener `{name}`"),
                    },
                };
                let bound = listener::bind(address, listener.mode, http3, threads, inherited).map_err(failed)?;
                for socket in bound.sockets.iter().flatten().filter(|_| passes_on) {
                    passed_on.push(Passed {
                        socket: socket.again().map_err(failed)?.into(),
                        with_file: bound.file.is_some(),
                    });
                }
                listening.push(Listening {
                    listener: listener.name.clone(),
                    address: bound.address,
                    secure: listener.tls.is_some(),
                });
                files.extend(bound.file);
                sockets.push((number, bound.sockets));
            }
        }
        let (stage, _) = watch::channel(Stage::Serving);
        let mut server = Server {
            shared,
            listening,
            passed_on,
            files,
            stage,
            threads: Vec::new(),
            tending: Tending::start(metrics).map_err(StartError::Thread)?,
            keeper: Keeper::new(metrics),
            keeps_certificates: false,
        };
        let current = server.current();
        server.tending.update(current.upstreams.clone());
        for index in 0..threads {
            let own = sockets.iter_mut().flat_map(|(number, sockets)| {
                let share = sockets.pop().unwrap_or_default();
                share.into_iter().map(|socket| (*number, socket))
            });
            let own = own.collect();
            let thread = worker::start(index, server.shared.clone(), own, server.stage.subscribe());
            server.threads.push(thread.map_err(StartError::Thread)?);
        }
        Ok(server)
    }

    /// Looks after certificates from now on: questions of their authorities come here, and to no other gateway.
    pub(crate) fn keep_certificates(&mut self) {
        self.keeps_certificates = true;
        let current = self.current();
        self.keeper.update(&current.acme, &current.challenges);
    }

    /// The listening sockets once more, for the gateway that follows.
    pub(crate) fn sockets_to_pass_on(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed_on)
    }

    /// This gateway serves in another one's place: the files of its sockets are this one's.
    pub(crate) fn take_files(&mut self) {
        self.files.iter_mut().for_each(SocketFile::take);
    }

    /// Another gateway serves in this one's place, or will: the files of its sockets are the other's.
    pub(crate) fn leave_files(&mut self) {
        self.files.iter_mut().for_each(SocketFile::leave);
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The configuration that new requests are served with.
    pub(crate) fn current(&self) -> Arc<Gateway> {
        self.shared.current.load_full()
    }

    /// Serves new requests with another configuration, once it is known how its upstreams are doing. Exchanges under way
    /// end with the one they began with.
    pub(crate) async fn replace(&mut self, gateway: Gateway) {
        let mut both = gateway.upstreams.clone();
        both.extend(self.current().upstreams.iter().cloned());
        self.tending.update(both);
        // Those that went on as they were have been waited for once.
        let before = self.current();
        let is_new = |state: &&Arc<UpstreamState>| !before.upstreams.iter().any(|known| Arc::ptr_eq(known, state));
        let new: Vec<_> = gateway.upstreams.iter().filter(is_new).cloned().collect();
        if !settled(&new, gateway.config.server.timeouts.reload).await {
            let upstreams = unsettled(&new);
            tracing::warn!(
                upstreams,
                "it is not known yet how these are doing; the new configuration is used all the same"
            );
        }
        self.tending.update(gateway.upstreams.clone());
        let gateway = Arc::new(gateway);
        self.shared.current.store(gateway.clone());
        self.shared.version.fetch_add(1, Ordering::Release);
        if self.keeps_certificates {
            self.keeper.update(&gateway.acme, &gateway.challenges);
        }
    }

    /// Waits until it is known how the upstreams are doing, for a while: one that never answers must not keep the gateway from
    /// serving the others. True when it is known.
    pub(crate) fn settled(&self) -> impl Future<Output = bool> + use<> {
        let gateway = self.current();
        async move {
            let limit = gateway.config.server.timeouts.ready;
            if settled(&gateway.upstreams, SHORTLY.min(limit)).await {
                return true;
            }
            tracing::info!(
                upstreams = unsettled(&gateway.upstreams),
                "waiting until it is known how these are doing; /ready answers 503 meanwhile"
            );
            settled(&gateway.upstreams, limit).await
        }
    }

    /// Takes no more connections, and lets those that are open finish.
    pub(crate) fn drain(&mut self) {
        self.passed_on.clear();
        self.keeper.stop();
        self.stage.send_replace(Stage::Draining);
    }

    /// Waits until all threads have ended, at most this long; then ends them. True when nothing was cut off.
    pub(crate) async fn finish(mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut whole = true;
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if whole && Instant::now() >= deadline {
                whole = false;
                self.stage.send_replace(Stage::Stopped);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        whole
    }
}

async fn settled(upstreams: &[Arc<UpstreamState>], limit: Duration) -> bool {
    let settled = async {
        for upstream in upstreams {
            upstream.settled().await;
        }
    };
    tokio::time::timeout(limit, settled).await.is_ok()
}

/// The names of those of which it is not known how they are doing.
fn unsettled(upstreams: &[Arc<UpstreamState>]) -> String {
    let unsettled = upstreams.iter().filter(|upstream| !upstream.is_settled());
    let names: Vec<_> = unsettled.map(|upstream| upstream.settings.name.as_str()).collect();
    names.join(", ")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Stopped);
    }
}
