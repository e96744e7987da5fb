//! The socket to a target: TCP or a Unix socket, with TLS over it where the upstream says so.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use super::addresses::Addresses;
use super::connect::ConnectError;
use super::dial::dial;
use super::tls;
use crate::config::resolved::{Address, Connections, HttpVersion, TargetTls};
use crate::socket::{Rewound, Socket, Transport};

/// A socket to a target, and what to speak over it.
pub(crate) struct Reached {
    pub(crate) socket: Socket,
    pub(crate) http2: bool,
}

/// How often the kernel asks a silent peer again, once it has begun to.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// Connects to a target within `limit`, TLS included. Bound to no thread: health checks connect by it as requests do.
///
/// `preamble` goes out before everything else.
pub(crate) async fn reach(
    address: &Address,
    addresses: &Addresses,
    settings: &Connections,
    preamble: &[u8],
    limit: Duration,
) -> Result<Reached, ConnectError> {
    let reached = timeout(limit, async {
        let mut transport = transport(address, addresses, settings).await?;
        if !preamble.is_empty() {
            send(&mut transport, preamble).await?;
        }
        match &settings.tls {
            None => Ok(Reached {
                socket: Socket::Plain(transport),
                http2: settings.http == HttpVersion::Two,
            }),
            Some(tls) => handshake(transport, tls, address, settings.http).await,
        }
    });
    reached.await.unwrap_or(Err(ConnectError::Timeout))
}

async fn transport(
    address: &Address,
    addresses: &Addresses,
    settings: &Connections,
) -> Result<Transport, ConnectError> {
    match address {
        Address::Tcp { .. } => {
            let stream = dial(&addresses.now().ok_or(ConnectError::Unresolved)?).await?;
            stream.set_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(settings.tcp_keepalive)
                .with_interval(ASK_AGAIN);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            Ok(stream.into())
        }
        Address::Unix(path) => Ok(UnixStream::connect(path).await?.into()),
    }
}

async fn send(transport: &mut Transport, bytes: &[u8]) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    transport.write_all(bytes).await
}

async fn handshake(
    transport: Transport,
    settings: &TargetTls,
    address: &Address,
    http: HttpVersion,
) -> Result<Reached, ConnectError> {
    let connector = TlsConnector::from(settings.client.clone());
    let stream = connector
        .connect(server_name(settings, address)?, Rewound::from(transport))
        .await;
    let stream = stream.map_err(|error| ConnectError::Tls(tls::reason(&error)))?;
    let http2 = match http {
        HttpVersion::One => false,
        HttpVersion::Two => true,
        HttpVersion::Auto => stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2),
    };
    let socket = Socket::Tls(Box::new(TlsStream::Client(stream)));
    Ok(Reached { socket, http2 })
}

/// Whose certificate is expected: a target is asked for by its own name, never by that of a client's request.
fn server_name(settings: &TargetTls, address: &Address) -> Result<ServerName<'static>, ConnectError> {
    if let Some(name) = &settings.server_name {
        return Ok(name.clone());
    }
    let host = match address {
        Address::Tcp { host, .. } => ServerName::try_from(host.to_string()).ok(),
        Address::Unix(_) => None,
    };
    host.ok_or_else(|| ConnectError::Tls("no certificate can have the target's name: set `server_name`".to_owned()))
}
