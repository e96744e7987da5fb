//! Listening sockets: one for each thread on the same address, so that the kernel spreads connections over threads.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::inherited::Inherited;
use super::socket_file::SocketFile;
use crate::config::resolved::ListenAddress;
use crate::socket::Transport;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// One thread's socket on an address.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// For HTTP/3.
    Udp(UdpSocket),
}

/// An address that is listened on.
#[derive(Debug)]
pub(super) struct Bound {
    /// With the port that was taken, where any would do.
    pub(super) address: ListenAddress,
    /// Of each thread, those that it accepts from.
    pub(super) sockets: Vec<Vec<Listening>>,
    /// The file of a Unix socket, unless whoever opened it keeps it.
    pub(super) file: Option<SocketFile>,
}

impl Listening {
    /// The same socket once more.
    pub(super) fn again(&self) -> io::Result<Listening> {
        Ok(match self {
            Listening::Tcp(socket) => Listening::Tcp(socket.try_clone()?),
            Listening::Unix(socket) => Listening::Unix(socket.try_clone()?),
            Listening::Udp(socket) => Listening::Udp(socket.try_clone()?),
        })
    }
}

impl From<Listening> for OwnedFd {
    fn from(listening: Listening) -> OwnedFd {
        match listening {
            Listening::Tcp(socket) => socket.into(),
            Listening::Unix(socket) => socket.into(),
            Listening::Udp(socket) => socket.into(),
        }
    }
}

/// Listens on an address, once for each thread, with the sockets that are there already or new ones. `mode` is that of a
/// Unix socket; with `http3`, UDP on the same port belongs to it.
///
/// # Errors
///
/// The address is in use, by anybody.
pub(super) fn bind(
    address: &ListenAddress,
    mode: Option<u32>,
    http3: bool,
    threads: usize,
    inherited: &mut Inherited,
) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(address) => {
            let mut attempts = ATTEMPTS;
            loop {
                match bind_ip(*address, http3, threads, inherited) {
                    // Another port may be free for both.
                    Err(error) if http3 && address.port() == 0 && attempts > 0 && is_in_use(&error) => attempts -= 1,
                    bound => return bound,
                }
            }
        }
        ListenAddress::Unix(path) => {
            let (mut sockets, with_file) = inherited.unix(path);
            let file = if sockets.is_empty() {
                let (socket, file) = bind_unix(path, mode)?;
                sockets.push(socket);
                Some(file)
            } else if with_file {
                Some(SocketFile::of_another(path)?)
            } else {
                None
            };
            Ok(Bound {
                address: address.clone(),
                sockets: shared_out(sockets.into_iter().map(Listening::Unix).collect(), threads)?,
                file,
            })
        }
    }
}

/// How often a port is tried that is free for TCP, and may not be for UDP.
const ATTEMPTS: usize = 8;

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn bind_ip(address: SocketAddr, http3: bool, threads: usize, inherited: &mut Inherited) -> io::Result<Bound> {
    let mut sockets = inherited.tcp(address);
    if sockets.is_empty() {
        sockets = bind_tcp(address, threads)?;
    }
    let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
    let address = bound.unwrap_or(address);
    let mut shares = shared_out(sockets.into_iter().map(Listening::Tcp).collect(), threads)?;
    if http3 {
        let mut sockets = inherited.udp(address);
        if sockets.is_empty() {
            sockets = bind_udp(address, threads)?;
        }
        // Two threads that read from one socket would take each other's packets away, so none is shared.
        for (number, socket) in sockets.into_iter().enumerate() {
            let share = number % shares.len();
            shares[share].push(Listening::Udp(socket));
        }
    }
    Ok(Bound {
        address: ListenAddress::Tcp(address),
        sockets: shares,
        file: None,
    })
}

/// Gives each thread something to accept from, and each socket somebody who accepts: connections would wait for ever in one
/// that nobody looks at.
fn shared_out(sockets: Vec<Listening>, threads: usize) -> io::Result<Vec<Vec<Listening>>> {
    let mut shares: Vec<Vec<Listening>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
    for (number, share) in shares.iter_mut().enumerate().skip(sockets.len()) {
        share.push(sockets[number % sockets.len()].again()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        let share = number % shares.len();
        shares[share].push(socket);
    }
    Ok(shares)
}

/// Port 0 takes a free one, the same for all. `SO_REUSEPORT` alone would let a second gateway in unnoticed, so the address
/// is first bound without it.
fn bind_tcp(address: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    let socket = |address| socket(address, Type::STREAM, Protocol::TCP);
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    probe.listen(1)?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    let bind_one = |_| {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    (0..threads.max(1)).map(bind_one).collect()
}

/// One for each thread. The kernel chooses among them by a packet's addresses, so that a connection stays with its thread.
fn bind_udp(address: SocketAddr, threads: usize) -> io::Result<Vec<UdpSocket>> {
    let socket = || socket(address, Type::DGRAM, Protocol::UDP);
    // As for TCP: nobody else may be there.
    socket()?.bind(&address.into())?;
    let bind_one = |_| {
        let socket = socket()?;
        socket.set_reuse_port(true)?;
        // What comes while the thread is busy. The kernel gives as much of it as it may, and never fails.
        let _ = socket.set_recv_buffer_size(RECEIVED);
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    (0..threads.max(1)).map(bind_one).collect()
}

/// Bytes of packets that may wait to be read.
const RECEIVED: usize = 2 << 20;

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // Connections of a gateway that has just ended still occupy the port.
        socket.set_reuse_address(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One socket that all threads accept from: a path can be bound once only.
fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::created(path)?;
    // Nobody can connect before `listen`, so nobody gets in under another mode.
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from(socket), file))
}

/// Removes the file of a socket that nobody listens on any more. A file of any other kind is somebody's, and stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |what: &str| io::Error::new(io::ErrorKind::AddrInUse, what);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(about) if !about.file_type().is_socket() => Err(in_use("there is a file that is no socket")),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(in_use("somebody listens there already")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

/// The same socket in a thread's runtime.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    /// To be called within a runtime. A socket of UDP is given back: nothing is accepted from it.
    pub(super) fn new(listening: Listening) -> io::Result<Result<Accepting, UdpSocket>> {
        Ok(match listening {
            Listening::Tcp(socket) => Ok(Accepting::Tcp(tokio::net::TcpListener::from_std(socket)?)),
            Listening::Unix(socket) => Ok(Accepting::Unix(tokio::net::UnixListener::from_std(socket)?)),
            Listening::Udp(socket) => Err(socket),
        })
    }

    /// The next connection, and its other end where that has an address.
    pub(super) async fn accept(&self) -> io::Result<(Transport, Option<SocketAddr>)> {
        match self {
            Accepting::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Answers are written whole; waiting for more to send with them only costs time.
                let _ = stream.set_nodelay(true);
                Ok((stream.into(), Some(peer)))
            }
            Accepting::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((stream.into(), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_free_port_and_nobody_else_may() {
        let sockets = bind_tcp("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert!(
            addresses
                .iter()
                .all(|address| *address == addresses[0] && address.port() != 0)
        );
        assert_eq!(bind_tcp(addresses[0], 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn every_thread_accepts_and_every_socket_is_accepted_from() {
        for (given, threads) in [(1, 3), (3, 2), (2, 2)] {
            let sockets = bind_tcp("127.0.0.1:0".parse().unwrap(), given).unwrap();
            let shares = shared_out(sockets.into_iter().map(Listening::Tcp).collect(), threads).unwrap();
            let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
            assert_eq!(
                (sizes.len(), sizes.iter().sum::<usize>()),
                (threads, given.max(threads)),
                "{sizes:?}"
            );
            assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());

        let (_socket, file) = bind_unix(&path, Some(0o600)).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind_unix(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert_eq!(bind_unix(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
