//! Addresses for what is to be found where it was, again and again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address of this machine that is free, and stays so while nobody listens there: it is one of the many in `127.0.0.0/8`
/// that no connection of another test is given for its own end, as it might be given a port of `127.0.0.1`.
pub fn free_address() -> SocketAddr {
    let ip = Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
    let socket = TcpListener::bind((ip, 0)).expect("a free port");
    socket.local_addr().expect("an address")
}
