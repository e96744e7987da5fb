//! The PROXY protocol towards targets: who is at the other end of the gateway.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::resolved::ProxyProtocol;

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client. Its port is 0 where only a proxy before us knows it.
    pub(crate) client: SocketAddr,
    /// Where it has connected to.
    pub(crate) gateway: SocketAddr,
}

impl Ends {
    /// The same for a client of which a trusted proxy speaks.
    pub(crate) fn of_client(self, client: IpAddr) -> Ends {
        if self.client.ip().to_canonical() == client {
            return self;
        }
        let client = SocketAddr::new(client, 0);
        Ends { client, ..self }
    }
}

/// What a connection begins with. Without ends it is the gateway's own, or its client has no address.
pub(crate) fn header(version: ProxyProtocol, ends: Option<Ends>) -> Vec<u8> {
    let ends = ends.map(of_one_family);
    match version {
        ProxyProtocol::V1 => ends
            .map_or_else(
                || "PROXY UNKNOWN\r\n".to_owned(),
                |ends| ppp::v1::Addresses::from(ends).to_string(),
            )
            .into_bytes(),
        ProxyProtocol::V2 => {
            use ppp::v2::{AddressFamily, Builder, Command, Protocol, Version};
            let built = match ends {
                Some(ends) => Builder::with_addresses(Version::Two | Command::Proxy, Protocol::Stream, ends).build(),
                None => Builder::new(
                    Version::Two | Command::Local,
                    AddressFamily::Unspecified | Protocol::Unspecified,
                )
                .build(),
            };
            // Writing to memory does not fail.
            built.unwrap_or_default()
        }
    }
}

/// Both as IPv4, or both as IPv6: the protocol knows no pair of one each.
fn of_one_family(ends: Ends) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, gateway) = (plain(ends.client), plain(ends.gateway));
    if client.is_ipv4() == gateway.is_ipv4() {
        return (client, gateway);
    }
    (mapped(client), mapped(gateway))
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let ip: Ipv6Addr = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddr::new(ip.into(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, gateway: &str) -> Ends {
        Ends {
            client: client.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
        }
    }

    fn line(client: &str, gateway: &str) -> String {
        String::from_utf8(header(ProxyProtocol::V1, Some(ends(client, gateway)))).unwrap()
    }

    #[test]
    fn the_first_version_is_a_line() {
        assert_eq!(
            line("192.0.2.7:4000", "[::ffff:127.0.0.1]:80"),
            "PROXY TCP4 192.0.2.7 127.0.0.1 4000 80\r\n"
        );
        assert_eq!(
            line("[2001:db8::7]:1", "[::1]:80"),
            "PROXY TCP6 2001:db8::7 ::1 1 80\r\n"
        );
        assert_eq!(
            line("[2001:db8::7]:1", "127.0.0.1:80"),
            "PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 1 80\r\n"
        );
        assert_eq!(header(ProxyProtocol::V1, None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn the_second_version_has_the_addresses_after_its_signature() {
        let bytes = header(ProxyProtocol::V2, Some(ends("192.0.2.7:4000", "127.0.0.1:80")));
        assert_eq!(&bytes[..12], b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(&bytes[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(&bytes[16..], [192, 0, 2, 7, 127, 0, 0, 1, 0x0f, 0xa0, 0, 80]);
        assert_eq!(&header(ProxyProtocol::V2, None)[12..], [0x20, 0, 0, 0]);
    }

    #[test]
    fn a_client_that_a_proxy_speaks_of_has_no_port() {
        let ends = ends("127.0.0.1:4000", "127.0.0.1:80");
        assert_eq!(ends.of_client("127.0.0.1".parse().unwrap()), ends);
        assert_eq!(
            ends.of_client("192.0.2.7".parse().unwrap()).client,
            "192.0.2.7:0".parse().unwrap()
        );
    }
}
