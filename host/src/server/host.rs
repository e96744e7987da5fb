//! Whom a request is for, as the client names it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::Ipv6Addr;
use std::rc::Rc;

use http::HeaderValue;

use super::framing::decimal;

/// Whom a request is for.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Host and port, as in a `Host` field; empty where an HTTP/1.0 client named none.
    pub(crate) field: HeaderValue,
    /// As the router compares it: without the port, in lower case.
    pub(crate) name: Rc<str>,
}

impl Host {
    /// Of a request that names none.
    pub(super) fn nobody() -> Host {
        Host {
            field: HeaderValue::from_static(""),
            name: "".into(),
        }
    }
}

/// The host that a client named last. Most clients of a connection name one only, which is so checked once.
#[derive(Debug, Default)]
pub(crate) struct KnownHost(RefCell<Option<Host>>);

impl KnownHost {
    /// The host that these bytes name, if they can name one.
    pub(super) fn named(&self, bytes: &[u8]) -> Option<Host> {
        let mut known = self.0.borrow_mut();
        if let Some(host) = known.as_ref().filter(|host| host.field.as_bytes() == bytes) {
            return Some(host.clone());
        }
        // Copied, since it outlives the request: a part of what was read would keep all of that in memory.
        let field = HeaderValue::from_bytes(bytes).ok().filter(|_| is_authority(bytes))?;
        let host = Host {
            name: host_name(&field).into(),
            field,
        };
        Some(known.insert(host).clone())
    }
}

/// `host` or `host:port`: a name of letters, digits, `-`, `.`, `_` and `~`, an IPv4 address, or an IPv6 address in brackets.
/// The grammar allows more (RFC 3986 section 3.2.2: `a,b`, `%61`, an empty name or port); servers take that for different
/// hosts.
fn is_authority(bytes: &[u8]) -> bool {
    let (is_host, port) = if let [b'[', rest @ ..] = bytes {
        let end = rest.iter().position(|byte| *byte == b']').unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        let address = std::str::from_utf8(address).unwrap_or_default();
        (address.parse::<Ipv6Addr>().is_ok(), after.strip_prefix(b"]"))
    } else {
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        let (name, after) = bytes.split_at(end);
        let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~');
        (!name.is_empty() && name.iter().all(of_name), Some(after))
    };
    is_host && port.is_some_and(is_port_or_nothing)
}

/// Nothing, or `:port` as a plain number.
fn is_port_or_nothing(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b':', port @ ..] => decimal(port).is_some_and(|port| port <= u64::from(u16::MAX)),
        _ => false,
    }
}

/// The host without port, in lower case, as the router compares it.
pub(crate) fn host_name(host: &HeaderValue) -> Cow<'_, str> {
    let host = host.to_str().unwrap_or_default();
    let name = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    };
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_port_and_case() {
        for (field, name) in [
            ("Example.com:80", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a", "a"),
        ] {
            assert_eq!(host_name(&HeaderValue::from_static(field)), name);
        }
    }

    #[test]
    fn the_host_that_was_named_last_is_not_taken_for_another() {
        let known = KnownHost::default();
        for (field, name) in [("A:80", "a"), ("A:80", "a"), ("A:81", "a"), ("b", "b"), ("A:80", "a")] {
            let host = known.named(field.as_bytes()).unwrap();
            assert_eq!((host.field.to_str().unwrap(), &*host.name), (field, name));
        }
        assert!(known.named(b"a@b").is_none() && known.named(b"A:80").is_some());
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            &b"example.com:8080"[..],
            b"[::1]:80",
            b"[::1]",
            b"a_b",
            b"127.0.0.1:0",
            b"a.:65535",
        ] {
            assert!(is_authority(good), "{good:?}");
        }
        for bad in [
            &b""[..],
            b"a@b",
            b"a\"b",
            b"a b",
            b"a/b",
            b"a:b:c",
            b"a,b",
            b"a;b",
            b"a:",
            b":80",
            b"a:-1",
            b"a:065",
            b"a:65536",
            b"[::1",
            b"[::1]x",
            b"[a]",
            b"::1",
            b"%61",
            b"\xe9",
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
