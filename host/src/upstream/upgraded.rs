//! A connection to a target that has changed its protocol.

use bytes::Bytes;
use http::HeaderValue;
use hyper::rt::{Read, Write};
use tokio::sync::oneshot;

use super::Lease;

/// A socket under a protocol that the gateway does not know.
pub(crate) trait Duplex: Read + Write + Unpin {}

impl<S: Read + Write + Unpin> Duplex for S {}

/// A connection after HTTP: its socket, and what had been read from it already.
pub(crate) struct Released {
    pub(crate) socket: Box<dyn Duplex>,
    pub(crate) ahead: Bytes,
}

/// A target's connection that goes on in another protocol. The target counts it as in flight for as long as this lives.
pub(crate) struct Upgraded {
    /// The protocol, as the target names it.
    pub(crate) protocol: HeaderValue,
    released: oneshot::Receiver<Released>,
    _lease: Lease,
}

impl Upgraded {
    /// The connection over which the target has answered 101; none where it cannot leave HTTP.
    pub(crate) fn new(mut lease: Lease, protocol: HeaderValue) -> Option<Upgraded> {
        Some(Upgraded {
            protocol,
            released: lease.connection.released()?,
            _lease: lease,
        })
    }

    /// The socket, once HTTP is done with it; none where the connection has failed meanwhile.
    pub(crate) async fn released(&mut self) -> Option<Released> {
        (&mut self.released).await.ok()
    }
}
