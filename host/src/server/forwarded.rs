//! Who the client is, and telling the upstream: `X-Forwarded-*`, `Forwarded` (RFC 7239) and `Via` (RFC 9110 section 7.6.3).

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use ipnet::IpNet;

use crate::config::resolved::is_trusted;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether a field is one by which proxies tell who the client is, and what it asked for: those that we write, and their kin
/// (`X-Forwarded-Port`, `X-Forwarded-Prefix`, `X-Forwarded-Client-Cert`).
pub(crate) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}

/// What one connection tells upstreams of its client; the values are made once and used for each of its requests.
#[derive(Debug)]
pub(crate) struct Forwarder {
    peer: IpAddr,
    trusted: bool,
    secure: bool,
    for_value: HeaderValue,
    /// The `Forwarded` value for the host that was asked for last.
    forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

/// Who the client is, and which scheme it used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) scheme: Scheme,
}

impl Forwarder {
    pub(crate) fn new(peer: SocketAddr, secure: bool, proxies: &[IpNet]) -> Forwarder {
        let peer = peer.ip().to_canonical();
        Forwarder {
            peer,
            trusted: is_trusted(proxies, peer),
            secure,
            for_value: HeaderValue::from_str(&peer.to_string()).unwrap_or(HeaderValue::from_static("unknown")),
            forwarded: RefCell::default(),
        }
    }

    /// The connection's other end.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Who the client is: the peer, or, where the peer is a trusted proxy, the last address it names that is no trusted
    /// proxy itself. Proxies name addresses in `X-Forwarded-For`, or else in `Forwarded`.
    pub(crate) fn client(&self, headers: &HeaderMap, proxies: &[IpNet]) -> Client {
        if !self.trusted {
            return Client {
                address: self.peer,
                scheme: self.scheme(),
            };
        }
        let standard = !headers.contains_key(X_FORWARDED_FOR);
        let (name, entry): (_, fn(&str) -> Option<&str>) = if standard {
            (header::FORWARDED, forwarded_for)
        } else {
            (X_FORWARDED_FOR, |entry| Some(entry))
        };
        let mut address = self.peer;
        'fields: for value in headers.get_all(name).iter().rev() {
            for element in value.to_str().unwrap_or_default().rsplit(',') {
                let Some(named) = entry(element.trim()).and_then(parse_address) else {
                    break 'fields;
                };
                address = named;
                if !is_trusted(proxies, named) {
                    break 'fields;
                }
            }
        }
        let scheme = match headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
            Some(b"https") => Scheme::HTTPS,
            Some(b"http") => Scheme::HTTP,
            _ => self.scheme(),
        };
        Client { address, scheme }
    }

    /// Takes out what a peer claims that is not trusted, so that neither a filter nor the upstream sees it.
    pub(crate) fn disbelieve(&self, headers: &mut HeaderMap) {
        if self.trusted {
            return;
        }
        let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
    }

    /// Writes the fields. What a peer that is not trusted sent is replaced; what a trusted one sent is added to.
    pub(crate) fn write(&self, headers: &mut HeaderMap, host: &HeaderValue, scheme: &Scheme) {
        headers.append(header::VIA, HeaderValue::from_static("1.1 portcullis"));
        let forwarded = self.forwarded(host);
        if self.trusted {
            headers.append(X_FORWARDED_FOR, self.for_value.clone());
            headers.append(header::FORWARDED, forwarded);
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        } else {
            headers.insert(X_FORWARDED_FOR, self.for_value.clone());
            headers.insert(header::FORWARDED, forwarded);
            headers.insert(X_FORWARDED_HOST, host.clone());
        }
        let proto = if *scheme == Scheme::HTTPS { "https" } else { "http" };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }

    fn scheme(&self) -> Scheme {
        if self.secure { Scheme::HTTPS } else { Scheme::HTTP }
    }

    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        if let Some((known, value)) = &*self.forwarded.borrow()
            && known == host
        {
            return value.clone();
        }
        let node = match self.peer {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        // `accept` has checked the host, so no quote or backslash can break out of the quotes.
        let text = format!(
            "for={node};host=\"{}\";proto={}",
            host.to_str().unwrap_or_default(),
            self.scheme()
        );
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("for=unknown"));
        *self.forwarded.borrow_mut() = Some((host.clone(), value.clone()));
        value
    }
}

/// The node of `for=` in one element of `Forwarded` (RFC 7239 section 4), without its quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    let node = element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    Some(node.trim_matches('"'))
}

/// An address as proxies write it: with or without port, IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, proxies: &[&str], forwarded_for: &str) -> String {
        let proxies: Vec<IpNet> = proxies.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, forwarded_for.parse().unwrap());
        Forwarder::new(peer.parse().unwrap(), false, &proxies)
            .client(&headers, &proxies)
            .address
            .to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1:1", &[], "198.51.100.7"), "192.0.2.1");
    }

    #[test]
    fn the_last_stranger_before_our_own_proxies_is_the_client() {
        let ours = ["10.0.0.0/8"];
        assert_eq!(
            client("10.0.0.1:1", &ours, "203.0.113.9, 198.51.100.7, 10.0.0.2"),
            "198.51.100.7"
        );
        assert_eq!(client("10.0.0.1:1", &ours, "10.0.0.3"), "10.0.0.3");
        assert_eq!(client("10.0.0.1:1", &ours, "198.51.100.7, garbage"), "10.0.0.1");
        assert_eq!(client("10.0.0.1:1", &ours, "[2001:db8::1]:443"), "2001:db8::1");
    }

    #[test]
    fn the_standard_field_says_the_same() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let client = |field: &'static str| {
            let headers = HeaderMap::from_iter([(header::FORWARDED, HeaderValue::from_static(field))]);
            Forwarder::new("10.0.0.1:1".parse().unwrap(), false, &proxies)
                .client(&headers, &proxies)
                .address
                .to_string()
        };
        assert_eq!(client("for=198.51.100.7;proto=https, For=10.0.0.2"), "198.51.100.7");
        assert_eq!(client(r#"host=a;for="[2001:db8::1]:443""#), "2001:db8::1");
        assert_eq!(client("for=unknown"), "10.0.0.1");
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        assert_eq!(client("[::ffff:192.0.2.1]:1", &[], ""), "192.0.2.1");
    }

    #[test]
    fn what_a_stranger_claims_is_replaced() {
        let forwarder = Forwarder::new("192.0.2.1:1".parse().unwrap(), false, &[]);
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("2.2.2.2"));

        forwarder.write(&mut headers, &HeaderValue::from_static("example.com"), &Scheme::HTTP);

        assert_eq!(
            headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>(),
            ["192.0.2.1"]
        );
        assert_eq!(
            headers[header::FORWARDED],
            "for=192.0.2.1;host=\"example.com\";proto=http"
        );
        assert_eq!(headers[header::VIA], "1.1 portcullis");
    }
}
