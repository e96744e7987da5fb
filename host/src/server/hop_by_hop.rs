//! Fields that belong to one connection and go no further (RFC 9110 section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// They are looked for by their place here.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];
const CONNECTION: u16 = 1;
const TE: u16 = 1 << 1;

/// Removes what belongs to the connection, and what its `Connection` field names. `TE: trailers` stays, since we pass
/// trailers on; `Trailer` stays, since it announces them.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most messages have `Connection` at most: one look over the names is cheaper than nine look-ups.
    let found = headers.keys().fold(0, |found: u16, name| found | bit(name));
    if found == 0 {
        return;
    }
    if found & CONNECTION != 0 {
        for name in named(headers) {
            headers.remove(name);
        }
    }
    let trailers = found & TE != 0 && accepts_trailers(headers);
    for (place, name) in HOP_BY_HOP.iter().enumerate() {
        if found & 1 << place != 0 {
            headers.remove(name);
        }
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn bit(name: &HeaderName) -> u16 {
    HOP_BY_HOP
        .iter()
        .position(|own| own == name)
        .map_or(0, |place| 1 << place)
}

/// The fields that `Connection` names, but for its two usual words.
fn named(headers: &HeaderMap) -> SmallVec<[HeaderName; 2]> {
    let values = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let names = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    names
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(may_be_named)
        .collect()
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    })
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
