//! Listening sockets: one for each thread on the same address, so that the kernel spreads connections over threads.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Binds an address once for each thread. Port 0 takes a free one, the same for all.
///
/// # Errors
///
/// The address is in use, by anybody: `SO_REUSEPORT` alone would let a second gateway in unnoticed, so the address is
/// first bound without it.
pub(super) fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
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

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a gateway that has just ended still occupy the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_free_port_and_nobody_else_may() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert!(
            addresses
                .iter()
                .all(|address| *address == addresses[0] && address.port() != 0)
        );
        assert_eq!(bind(addresses[0], 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
