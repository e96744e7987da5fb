//! Whom a request is for, as the client names it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use http::HeaderValue;
use http::uri::Authority;

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

/// `host` or `host:port`, without user information.
fn is_authority(bytes: &[u8]) -> bool {
    // Nearly every host is a name or an IPv4 address with or without a port; the rest is left to the parser.
    let (name, port) = match bytes.iter().rposition(|byte| *byte == b':') {
        Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
        None => (bytes, &[][..]),
    };
    let is_plain = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if is_plain && !name.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit) {
        return true;
    }
    !bytes.contains(&b'@') && !bytes.contains(&b'"') && Authority::try_from(bytes).is_ok()
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
    fn a_host_has_no_user_and_no_quotes() {
        assert!(is_authority(b"example.com:8080") && is_authority(b"[::1]:80"));
        for bad in [&b"a@b"[..], b"a\"b", b"a b", b"a/b", b"a:b:c"] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
