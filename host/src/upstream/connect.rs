//! A new connection to a target.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::addresses::Addresses;
use super::connection::{Connection, Http1, Http2};
use super::http2_io::Http2Io;
use super::interim::Interim;
use super::last_head::{LastHead, TargetIo};
use super::life::Life;
use super::pool::Freed;
use super::proxy_header::header;
use super::reach::{Reached, reach};
use super::response_head;
use super::slots::Slot;
use super::target::Target;
use crate::body::Body;
use crate::config::resolved::{Address, Connections};
use crate::server::executor::LocalExecutor;
use crate::server::frames::Frames;
use crate::turns::Turns;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("it does not accept connections: {0}")]
    Refused(#[from] std::io::Error),
    #[error("its name has no address, or none is known yet")]
    Unresolved,
    #[error("it does not accept connections in time")]
    Timeout,
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    #[error("the handshake failed: {0}")]
    Handshake(#[from] hyper::Error),
    #[error("all connections that it may have are in use")]
    Busy,
}

impl ConnectError {
    /// Its words in metrics, in the order of [`place`](ConnectError::place).
    pub(super) const REASONS: [&str; 6] = ["refused", "unresolved", "timeout", "tls", "handshake", "busy"];

    /// Which of these it is.
    pub(super) fn place(&self) -> usize {
        match self {
            ConnectError::Refused(_) => 0,
            ConnectError::Unresolved => 1,
            ConnectError::Timeout => 2,
            ConnectError::Tls(_) => 3,
            ConnectError::Handshake(_) => 4,
            ConnectError::Busy => 5,
        }
    }
}

/// Bytes of a response's head at most, as for requests.
const HEAD_SIZE: usize = 64 << 10;

/// Bytes buffered for one connection.
const BUFFER: usize = 128 << 10;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to say so: many requests
/// share it, so a dead one must be found out.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Connects, and runs the connection in a task of this thread. `preamble` goes out before everything else.
pub(super) async fn connect(
    target: &Rc<Target>,
    slot: Option<Slot>,
    preamble: &[u8],
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let start = Instant::now();
    let settings = &target.settings.connections;
    let connected = async {
        let reached = reach(&target.address, &target.state.addresses, settings, preamble, limit).await?;
        let left = limit.saturating_sub(start.elapsed());
        let life = Life::new(settings, Some(target.connections.clone()), slot);
        let speaks = speak(reached, life, target.pool.freed.clone(), settings);
        timeout(left, speaks).await.unwrap_or(Err(ConnectError::Timeout))
    };
    let connected = connected.await;
    match &connected {
        Ok(_) => target.connections.opened(start.elapsed()),
        Err(error) => {
            target.connections.failed(error);
            target.warn(error);
        }
    }
    connected
}

/// Connects for one request that asks how a target is doing: counted nowhere, and kept for nobody.
pub(super) async fn connect_once(
    address: &Address,
    addresses: &Addresses,
    settings: &Connections,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let connected = timeout(limit, async {
        let preamble = settings
            .proxy_protocol
            .map_or_else(Vec::new, |version| header(version, None));
        let reached = reach(address, addresses, settings, &preamble, limit).await?;
        let life = Life::new(settings, None, None);
        speak(reached, life, Rc::default(), settings).await
    });
    connected.await.unwrap_or(Err(ConnectError::Timeout))
}

/// Begins to speak HTTP.
async fn speak(
    reached: Reached,
    life: Rc<Life>,
    freed: Rc<Freed>,
    settings: &Connections,
) -> Result<Connection, ConnectError> {
    let io = TokioIo::new(reached.socket);
    if reached.http2 {
        let secure = settings.tls.is_some();
        let io = Http2Io::new(io, Frames::of_target(&settings.frames), life.clone());
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .max_header_list_size(HEAD_SIZE as u32)
            .handshake::<_, Body>(io)
            .await?;
        return Ok(Connection::Http2(Http2::run(sender, connection, life, freed, secure)));
    }
    let mut builder = http1::Builder::new();
    builder
        .max_headers(response_head::FIELDS)
        .max_header_size(HEAD_SIZE)
        .max_buf_size(BUFFER);
    let head = Rc::<LastHead>::default();
    let interim = Rc::<Interim>::default();
    let turns = Rc::<Turns>::default();
    let io = TargetIo {
        socket: io,
        head: head.clone(),
        interim: interim.clone(),
        turns: turns.clone(),
    };
    let (sender, connection) = builder.handshake::<_, Body>(io).await?;
    Ok(Connection::Http1(Http1::run(
        sender, connection, head, interim, turns, life,
    )))
}
