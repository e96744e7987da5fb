//! One thread's QUIC on one address: who may connect, and with which settings.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig};

use crate::config::resolved::Limits;
use crate::gateway::Gateway;
use crate::server::connection::{STREAM_WINDOW, connection_window};
use crate::server::worker::Worker;
use crate::tls::ListenerTls;

/// What all endpoints of a process share, so that a packet means the same to each of them.
#[derive(Clone, Default)]
pub(crate) struct Keys(EndpointConfig);

/// One thread's QUIC on one address.
pub(crate) struct Endpoint {
    quinn: quinn::Endpoint,
    /// The number of its listener.
    listener: usize,
    local: SocketAddr,
    /// What connections are accepted with, made for this gateway.
    current: RefCell<(Arc<Gateway>, Arc<ServerConfig>)>,
    /// Held by each handshake with an address that anybody could have written.
    unproven: Rc<()>,
}

/// Handshakes on one thread with addresses that are not proven; who comes on top must first show that it gets what is sent
/// to its address.
const MOST_UNPROVEN: usize = 64;

/// Client's one-way streams at a time. Three are of use to us.
const ONE_WAY_STREAMS: u32 = 16;
/// Bytes of all streams that a client has not acknowledged.
pub(super) const SEND_WINDOW: u64 = 2 << 20;
/// A client of which nothing comes for so long has gone.
const GONE: Duration = Duration::from_secs(60);
/// It is asked this often whether it has. Most clients give a connection up after 30 seconds without a packet.
const ASKED: Duration = Duration::from_secs(20);

impl Endpoint {
    /// To be called within a runtime. None where the listener speaks no HTTP/3.
    pub(crate) fn new(
        worker: &Worker,
        listener: usize,
        socket: UdpSocket,
        keys: &Keys,
    ) -> io::Result<Option<Rc<Endpoint>>> {
        let view = worker.view();
        let tls = view.listeners.get(listener).and_then(|listener| listener.tls.as_ref());
        let limits = &view.gateway.config.server.limits;
        let Some(config) = tls.and_then(|tls| server_config(tls, limits)) else {
            return Ok(None);
        };
        let local = socket.local_addr()?;
        let quinn = quinn::Endpoint::new(keys.0.clone(), Some(config.clone()), socket, Arc::new(TokioRuntime))?;
        Ok(Some(Rc::new(Endpoint {
            quinn,
            listener,
            local,
            current: RefCell::new((view.gateway.clone(), Arc::new(config))),
            unproven: Rc::default(),
        })))
    }

    /// Accepts connections.
    pub(crate) async fn accept(self: Rc<Self>, worker: Rc<Worker>) {
        while let Some(incoming) = self.quinn.accept().await {
            self.welcome(&worker, incoming);
        }
    }

    /// Takes no more connections. Those that are open go on.
    pub(crate) fn close(&self) {
        self.quinn.set_server_config(None);
    }

    /// Serves a connection, if there may be one more.
    fn welcome(&self, worker: &Rc<Worker>, incoming: quinn::Incoming) {
        let view = worker.view();
        let listener = view.listeners.get(self.listener);
        let settings = listener.and_then(|listener| listener.settings.http3.as_ref());
        let tls = listener.and_then(|listener| listener.tls.as_ref());
        let (Some(settings), Some(tls)) = (settings, tls) else {
            // The configuration that came later has none here.
            return incoming.refuse();
        };
        let proven = incoming.remote_address_validated();
        if !proven && (settings.retry || Rc::strong_count(&self.unproven) > MOST_UNPROVEN) {
            // It can only fail for proven ones.
            let _ = incoming.retry();
            return;
        }
        let limits = &view.gateway.config.server.limits;
        let peer = incoming.remote_address();
        // Whose address is not proven may be somebody else, whom it must not count for.
        let admission = match worker.admit(proven.then(|| peer.ip()), limits) {
            Ok(admission) => admission,
            Err(full) => {
                worker.refused_by(full);
                return incoming.refuse();
            }
        };
        let Some(config) = self.config(&view.gateway, tls) else {
            return incoming.refuse();
        };
        match incoming.accept_with(config) {
            Ok(connecting) => {
                let newcomer = worker.newcomer(self.listener, Some(peer), admission);
                let unproven = (!proven).then(|| self.unproven.clone());
                worker.serve_one(super::serve(newcomer, connecting, self.local, unproven));
            }
            Err(error) => tracing::debug!(%error, "no QUIC connection with a client"),
        }
    }

    /// What connections are accepted with now.
    fn config(&self, gateway: &Arc<Gateway>, tls: &ListenerTls) -> Option<Arc<ServerConfig>> {
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(&current.0, gateway) {
            let config = server_config(tls, &gateway.config.server.limits)?;
            *current = (gateway.clone(), Arc::new(config));
        }
        Some(current.1.clone())
    }
}

/// How connections are made. None where the listener speaks no HTTP/3.
fn server_config(tls: &ListenerTls, limits: &Limits) -> Option<ServerConfig> {
    let mut config = ServerConfig::with_crypto(tls.quic.clone()?);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.http2_streams.into())
        .max_concurrent_uni_streams(ONE_WAY_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(connection_window(limits).into())
        .send_window(SEND_WINDOW)
        .max_idle_timeout(IdleTimeout::try_from(GONE).ok())
        .keep_alive_interval(Some(ASKED))
        .datagram_receive_buffer_size(None);
    config
        .transport_config(Arc::new(transport))
        .incoming_buffer_size(64 << 10)
        .incoming_buffer_size_total(4 << 20)
        // Each thread has a socket of its own, and the kernel chooses among them by addresses: from another address a client
        // would come to another thread.
        .migration(false);
    Some(config)
}
