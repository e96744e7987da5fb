//! Fields that belong to one connection and go no further (RFC 9110 section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes what belongs to the connection, and what its `Connection` field names. `TE: trailers` stays, since we pass
/// trailers on; `Trailer` stays, since it announces them.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Nearly every message has at most `Connection`: one look over the names is cheaper than ten look-ups.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let mut named: SmallVec<[HeaderName; 4]> = SmallVec::new();
    for value in headers.get_all(header::CONNECTION) {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        named.extend(
            names
                .filter_map(|name| HeaderName::from_bytes(name).ok())
                .filter(may_be_named),
        );
    }
    for name in named {
        headers.remove(name);
    }
    let trailers = accepts_trailers(headers);
    for name in [
        header::CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    })
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TE
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::PROXY_AUTHORIZATION
        || *name == header::PROXY_AUTHENTICATE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == HTTP2_SETTINGS
}

/// A sender may not name away what the message needs end to end (RFC 9110 section 7.6.1), or what says who it is.
fn may_be_named(name: &HeaderName) -> bool {
    ![
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CACHE_CONTROL,
        header::AUTHORIZATION,
        header::COOKIE,
        header::TE,
    ]
    .contains(name)
}

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
}
