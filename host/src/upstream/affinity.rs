//! What of a request speaks for one target rather than another.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, header};
use xxhash_rust::xxh3::xxh3_64;

use super::sticky;
use crate::config::resolved::{self, Balance, HashKey};
use crate::pipeline::Exchange;
use crate::router;

/// What of a request speaks for one target. Mostly nothing: only a hash and a cookie look at it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Affinity {
    /// The hash of what the upstream hashes; none where the request does not have it.
    pub(super) key: Option<u64>,
    /// The target that the client's cookie names.
    pub(super) asked: Option<u64>,
}

impl Affinity {
    /// What of this request speaks for one target of this upstream.
    pub(super) fn of(exchange: &Exchange, settings: &resolved::Upstream) -> Affinity {
        Affinity {
            key: match &settings.balance {
                Balance::Hash(key, _) => hash(exchange, key),
                _ => None,
            },
            asked: match &settings.sticky {
                Some(sticky) => cookie(&exchange.headers, &sticky.cookie).and_then(sticky::read),
                None => None,
            },
        }
    }

    /// The key as a number from 0 to below 1, of other bits than those that find its target.
    pub(super) fn fraction(self) -> Option<f64> {
        self.key
            .map(|key| (key.swap_bytes() >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

fn hash(exchange: &Exchange, key: &HashKey) -> Option<u64> {
    match key {
        HashKey::Header(name) => exchange.headers.get(name).map(|value| xxh3_64(value.as_bytes())),
        HashKey::Cookie(name) => cookie(&exchange.headers, name).map(xxh3_64),
        HashKey::ClientAddress => Some(match exchange.client.to_canonical() {
            IpAddr::V4(address) => xxh3_64(&address.octets()),
            IpAddr::V6(address) => xxh3_64(&address.octets()),
        }),
        HashKey::Path(name) => {
            let value = exchange.params.get(name, exchange.matched.path())?;
            Some(xxh3_64(&Cow::from(percent_encoding::percent_decode_str(value))))
        }
        HashKey::Query(name) => {
            let value = router::query_value(exchange.target.query()?, name)?;
            Some(xxh3_64(&value))
        }
    }
}

/// The value of a cookie. HTTP/2 clients send cookies in fields of their own (RFC 9113 section 8.2.3).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = pairs.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(
            value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn equal_parts_have_equal_hashes() {
        let mut exchange = Exchange::nobody();
        exchange.headers.insert("x-user", HeaderValue::from_static("ann"));
        exchange.target = "/a?x=1&user=a%6En".parse().unwrap();
        let header = hash(&exchange, &HashKey::Header("x-user".parse().unwrap()));
        assert_eq!(header, Some(xxh3_64(b"ann")));
        assert_eq!(header, hash(&exchange, &HashKey::Query("user".to_owned())));
        assert_eq!(None, hash(&exchange, &HashKey::Query("other".to_owned())));
        assert_eq!(None, hash(&exchange, &HashKey::Cookie("user".to_owned())));
        assert!(hash(&exchange, &HashKey::ClientAddress).is_some());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        for value in ["session=abc; user=one", "xuser=two;userx=3; quoted=\"four\""] {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        let found = |name| cookie(&headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(found("user").as_deref(), Some("one"));
        assert_eq!(found("quoted").as_deref(), Some("four"));
        assert_eq!(found("four"), None);
    }

    #[test]
    fn a_key_is_also_a_fraction() {
        let affinity = |key| Affinity { key, asked: None };
        assert_eq!(Affinity::default().fraction(), None);
        assert_eq!(affinity(Some(0)).fraction(), Some(0.0));
        assert!(
            affinity(Some(u64::MAX))
                .fraction()
                .is_some_and(|fraction| fraction < 1.0)
        );
    }
}
