//! Sockets that were opened before this process began: by systemd (socket activation), or by the gateway that this one
//! follows.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Socket, Type};

use super::handover::Passed;

/// Sockets that were opened before this process began, until their listeners take them. What a socket is for is read off
/// the socket itself: its type and the address that it is bound to.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    socket: Socket,
    /// Its file comes along: a gateway has bound it.
    with_file: bool,
}

impl Inherited {
    /// Those that systemd opened (`LISTEN_FDS`, sd_listen_fds(3)). To be called once, before there are threads.
    pub(crate) fn from_systemd() -> Inherited {
        let mut given = listenfd::ListenFd::from_env();
        let sockets = (0..given.len()).filter_map(|index| {
            if let Ok(Some(listener)) = given.take_tcp_listener(index) {
                return Some(Socket::from(listener));
            }
            if let Ok(Some(listener)) = given.take_unix_listener(index) {
                return Some(Socket::from(OwnedFd::from(listener)));
            }
            given.take_udp_socket(index).ok().flatten().map(Socket::from)
        });
        let given = |socket| Given {
            socket,
            with_file: false,
        };
        Inherited {
            sockets: sockets.map(given).collect(),
        }
    }

    /// Those that a gateway passed on.
    pub(super) fn from_gateway(sockets: Vec<Passed>) -> Inherited {
        let given = |passed: Passed| Given {
            socket: passed.socket.into(),
            with_file: passed.with_file,
        };
        Inherited {
            sockets: sockets.into_iter().map(given).collect(),
        }
    }

    /// Takes the listeners of a TCP address.
    pub(crate) fn tcp(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let taken = self.take(|socket| is_of(socket, Type::STREAM, address));
        taken.map(|given| TcpListener::from(given.socket)).collect()
    }

    /// Takes the sockets of a UDP address.
    pub(crate) fn udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let taken = self.take(|socket| is_of(socket, Type::DGRAM, address));
        taken.map(|given| UdpSocket::from(given.socket)).collect()
    }

    /// Takes the listeners of a path, and says whether its file comes along.
    pub(super) fn unix(&mut self, path: &Path) -> (Vec<UnixListener>, bool) {
        let is_bound = |socket: &Socket| {
            let address = socket.local_addr();
            address.is_ok_and(|address| address.as_pathname().is_some_and(|bound| same_file(bound, path)))
        };
        let mut with_file = false;
        let taken = self.take(is_bound).map(|given| {
            with_file |= given.with_file;
            UnixListener::from(OwnedFd::from(given.socket))
        });
        (taken.collect(), with_file)
    }

    /// The addresses of those that no listener took.
    pub(crate) fn left(&self) -> impl Iterator<Item = String> {
        self.sockets.iter().map(|given| match given.socket.local_addr() {
            Ok(address) => match (address.as_socket(), address.as_pathname()) {
                (Some(address), _) => address.to_string(),
                (None, Some(path)) => format!("unix:{}", path.display()),
                (None, None) => "an address of another kind".to_owned(),
            },
            Err(error) => format!("a socket that does not say where it is bound ({error})"),
        })
    }

    fn take(&mut self, wanted: impl Fn(&Socket) -> bool) -> impl Iterator<Item = Given> {
        let (taken, left) = self.sockets.drain(..).partition(|given| wanted(&given.socket));
        self.sockets = left;
        let taken: Vec<Given> = taken;
        // The sockets are served by a runtime, whoever opened them.
        taken
            .into_iter()
            .filter(|given| given.socket.set_nonblocking(true).is_ok())
    }
}

fn is_of(socket: &Socket, kind: Type, address: SocketAddr) -> bool {
    let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
    bound == Some(address) && socket.r#type().is_ok_and(|found| found == kind)
}

/// Sockets keep the path that they were bound with, which may be written differently.
fn same_file(bound: &Path, path: &Path) -> bool {
    bound == path || matches!((bound.canonicalize(), path.canonicalize()), (Ok(bound), Ok(path)) if bound == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_takes_its_own_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (tcp, udp) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [&tcp, &other].map(|listener| listener.local_addr().unwrap());
        let udp_address = udp.local_addr().unwrap();
        let sockets = [
            OwnedFd::from(tcp.try_clone().unwrap()),
            tcp.into(),
            udp.into(),
            UnixListener::bind(&path).unwrap().into(),
            other.into(),
        ];
        let passed = sockets.map(|socket| Passed {
            socket,
            with_file: true,
        });
        let mut inherited = Inherited::from_gateway(passed.into());

        assert_eq!(inherited.tcp(addresses[0]).len(), 2);
        assert_eq!(inherited.tcp(addresses[0]).len(), 0);
        assert!(matches!(inherited.unix(&path), (sockets, true) if sockets.len() == 1));
        assert_eq!(
            inherited.left().collect::<Vec<_>>(),
            [udp_address, addresses[1]].map(|left| left.to_string())
        );
        assert_eq!(inherited.udp(udp_address).len(), 1);
        assert_eq!(inherited.udp(addresses[1]).len(), 0);
    }
}
