//! Fields that belong to one connection and go no further (RFC 9110 section 7.6.1).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use smallvec::SmallVec;

use super::forwarded;

/// Whether a field belongs to the connection it came over.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::TE
        | header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::PROXY_AUTHORIZATION
        | header::PROXY_AUTHENTICATE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings"),
    }
}

/// Whether the one field that belongs to the connection is `TE: trailers`, as HTTP/3 wants it (RFC 9114 section 4.2). h2 sees to
/// that for HTTP/2.
pub(crate) fn is_only_te_trailers(headers: &HeaderMap) -> bool {
    let mut fields = headers.iter().filter(|(name, _)| is_hop_by_hop(name));
    fields.all(|(name, value)| *name == header::TE && value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// Removes what belongs to the connection, and what its `Connection` field names. `TE: trailers` stays, since we pass
/// trailers on; `Trailer` stays, since it announces them.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most messages have `Connection` at most, with a usual word: one look over the fields is cheaper than nine look-ups.
    let mut found: SmallVec<[HeaderName; 4]> = SmallVec::new();
    let mut trailers = false;
    for (name, value) in &*headers {
        if !is_hop_by_hop(name) {
            continue;
        }
        match *name {
            header::CONNECTION if is_usual(value.as_bytes()) => {}
            header::CONNECTION => found.extend(named_by(value)),
            header::TE => trailers |= accepts_trailers(value),
            _ => {}
        }
        found.push(name.clone());
    }
    for name in found {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The fields that a value of `Connection` names, but for its two usual words.
fn named_by(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let words = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    words
        .filter(|word| !is_usual(word))
        .filter_map(|word| HeaderName::from_bytes(word).ok())
        .filter(may_be_named)
}

fn is_usual(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"keep-alive") || word.eq_ignore_ascii_case(b"close")
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// A sender may not name away what the message needs end to end (RFC 9110 section 7.6.1), or what says who it is and where it
/// comes from.
fn may_be_named(name: &HeaderName) -> bool {
    ![
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::AUTHORIZATION,
        header::COOKIE,
        header::ORIGIN,
        header::TE,
    ]
    .contains(name)
}

/// A frame of a body on its way on: trailers lose what belongs to the connection, and what must stand before the body, where
/// it is looked at (RFC 9110 section 6.5.1: framing, routing, authentication, and how the content is to be read).
pub(crate) fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            strip(&mut trailers);
            for name in NO_TRAILERS {
                trailers.remove(name);
            }
            // Who the client is, is said in the head, by us; and a target may read `_` as `-`.
            let claims: Vec<HeaderName> = trailers
                .keys()
                .filter(|name| is_claim(name.as_str()))
                .cloned()
                .collect();
            for name in claims {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

fn is_claim(name: &str) -> bool {
    forwarded::is_claim(name) || matches!(name, "client-cert" | "client-cert-chain") || name.contains('_')
}

const NO_TRAILERS: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::VIA,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn fields_of_the_connection_go() {
        let left = stripped(&[
            ("connection", "keep-alive, X-Secret"),
            ("x-secret", "1"),
            ("x-kept", "2"),
        ]);
        assert_eq!(left, ["x-kept"]);
        assert_eq!(
            stripped(&[("upgrade", "h2c"), ("http2-settings", "AA"), ("keep-alive", "5")]),
            [""; 0]
        );
    }

    #[test]
    fn a_client_cannot_name_away_what_the_message_needs() {
        let left = stripped(&[
            ("connection", "host, authorization, content-length"),
            ("authorization", "x"),
            ("host", "a"),
        ]);
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn trailers_stay_welcome() {
        assert_eq!(stripped(&[("te", "trailers, deflate"), ("connection", "te")]), ["te"]);
        assert_eq!(stripped(&[("te", "deflate"), ("connection", "te")]), [""; 0]);
    }

    #[test]
    fn trailers_carry_nothing_that_had_to_come_first() {
        let mut trailers = HeaderMap::new();
        for name in [
            "host",
            "content-length",
            "authorization",
            "keep-alive",
            "x-forwarded-for",
            "x-forwarded-port",
            "client-cert",
            "client_cert",
            "x-checksum",
        ] {
            trailers.append(name, HeaderValue::from_static("1"));
        }
        let left = without_forbidden_trailers(Frame::trailers(trailers))
            .into_trailers()
            .unwrap();
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
        assert!(without_forbidden_trailers(Frame::data(Bytes::new())).is_data());
    }
}
