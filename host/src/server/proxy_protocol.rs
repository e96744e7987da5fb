//! Who the client is, when a load balancer in front says so in the PROXY protocol, version 1 or 2.

use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, PartialResult, v1, v2};

/// What a connection's first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// So many bytes; and whose connection it is, if it is not the load balancer's own.
    Client { length: usize, client: Option<SocketAddr> },
    /// More bytes are needed.
    Incomplete,
    /// It is not the PROXY protocol, or longer than we read.
    Malformed,
}

/// Bytes of a version 1 header at most.
const V1_LONGEST: usize = 107;
/// Bytes of a version 2 header before its addresses.
const V2_FIXED: usize = 16;
/// Bytes of a version 2 header at most, its additions included. Nobody sends more than a few hundred.
const V2_LONGEST: usize = 4 << 10;

/// Reads the header at the beginning of these bytes.
pub(super) fn read(bytes: &[u8]) -> Announced {
    let compared = bytes.len().min(v2::PROTOCOL_PREFIX.len());
    if bytes[..compared] == v2::PROTOCOL_PREFIX[..compared] {
        return match compared == v2::PROTOCOL_PREFIX.len() {
            true => read_v2(bytes),
            false => Announced::Incomplete,
        };
    }
    read_v1(bytes)
}

fn read_v1(bytes: &[u8]) -> Announced {
    let prefix = v1::PROTOCOL_PREFIX.as_bytes();
    let compared = bytes.len().min(prefix.len());
    if bytes[..compared] != prefix[..compared] {
        return Announced::Malformed;
    }
    let line = bytes.get(..V1_LONGEST).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < V1_LONGEST {
            true => Announced::Incomplete,
            false => Announced::Malformed,
        };
    };
    let length = end + 2;
    // After UNKNOWN stands whatever the sender likes, which is to be ignored.
    if line.starts_with(b"PROXY UNKNOWN\r\n") || line.starts_with(b"PROXY UNKNOWN ") {
        return Announced::Client { length, client: None };
    }
    match v1::Header::try_from(&line[..length]).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(addresses)) => Announced::Client {
            length,
            client: Some((addresses.source_address, addresses.source_port).into()),
        },
        Ok(v1::Addresses::Tcp6(addresses)) => Announced::Client {
            length,
            client: Some((addresses.source_address, addresses.source_port).into()),
        },
        Ok(v1::Addresses::Unknown) | Err(_) => Announced::Malformed,
    }
}

fn read_v2(bytes: &[u8]) -> Announced {
    // The length stands in the last two of the fixed bytes.
    let length = bytes
        .get(V2_FIXED - 2..V2_FIXED)
        .map(|length| V2_FIXED + usize::from(length[0]) * 256 + usize::from(length[1]));
    if length.is_some_and(|length| length > V2_LONGEST) {
        return Announced::Malformed;
    }
    let header = match HeaderResult::from(v2::Header::try_from(bytes)) {
        HeaderResult::V2(Ok(header)) => header,
        result if result.is_incomplete() => return Announced::Incomplete,
        _ => return Announced::Malformed,
    };
    let source = |address: IpAddr, port: u16| Some(SocketAddr::new(address, port));
    let client = match (header.command, &header.addresses) {
        // The load balancer's own connection, to see whether we are well.
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(addresses)) => {
            source(addresses.source_address.into(), addresses.source_port)
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(addresses)) => {
            source(addresses.source_address.into(), addresses.source_port)
        }
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    };
    let length = header.len();
    Announced::Client { length, client }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(length: usize, address: &str) -> Announced {
        let client = (!address.is_empty()).then(|| address.parse().unwrap());
        Announced::Client { length, client }
    }

    /// Version 2: version and command, family and protocol, and what follows the length.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 0, 80];

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 80\r\nGET /";
        assert_eq!(read(line), client(43, "192.0.2.1:4660"));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\n";
        assert_eq!(read(line), client(44, "[2001:db8::1]:4660"));
        assert_eq!(read(&v2(1, 0x11, &ADDRESSES)), client(28, "192.0.2.1:4660"));
    }

    #[test]
    fn additions_are_passed_over_and_bounded() {
        let mut rest = ADDRESSES.to_vec();
        rest.extend([0xea, 0, 3, 1, 2, 3]);
        assert_eq!(read(&v2(1, 0x11, &rest)), client(34, "192.0.2.1:4660"));
        rest.resize(5_000, 0);
        assert_eq!(read(&v2(1, 0x11, &rest)), Announced::Malformed);
    }

    #[test]
    fn a_load_balancer_may_speak_for_itself() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), client(15, ""));
        assert_eq!(read(b"PROXY UNKNOWN what ever\r\n"), client(25, ""));
        assert_eq!(read(&v2(0, 0x00, &[])), client(16, ""));
        assert_eq!(read(&v2(0, 0x11, &ADDRESSES)), client(28, ""));
        assert_eq!(read(&v2(1, 0x00, &[])), client(16, ""));
    }

    #[test]
    fn every_beginning_is_incomplete() {
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 80\r\n".to_vec();
        for whole in [v1, v2(1, 0x11, &ADDRESSES)] {
            for length in 0..whole.len() {
                assert_eq!(read(&whole[..length]), Announced::Incomplete, "{length} bytes");
            }
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 100]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4660\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 80 90\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 70000 80\r\n",
            b"PROXY UNKNOWNER\r\n",
            b"proxy UNKNOWN\r\n",
            b"\x16\x03\x01",
            &long,
            &v2(7, 0x11, &ADDRESSES),
            &v2(1, 0x11, &ADDRESSES[..8]),
        ] {
            assert_eq!(read(bytes), Announced::Malformed, "{bytes:?}");
        }
    }
}
