//! Which fields a call may send.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Why a field may not be passed on or set.
pub(crate) fn refused(name: &HeaderName) -> Option<&'static str> {
    let text = name.as_str();
    let is_framing = matches!(
        text,
        "connection"
            | "content-length"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    );
    // An answer to these is not the whole body that the gateway asks for, and the host is the upstream's.
    let is_ours = text.starts_with("if-")
        || matches!(
            text,
            "accept-encoding" | "content-encoding" | "expect" | "host" | "range"
        );
    match (is_framing, is_ours) {
        (true, _) => Some("it belongs to one connection"),
        (_, true) => Some("the gateway sets it itself"),
        _ => None,
    }
}

/// What a call sends before its own fields: what it passes of the client's, and that it wants plain JSON.
pub(crate) fn first(client: &HeaderMap, pass: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(pass.len() + 4);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in pass {
        let mut values = client.get_all(name).iter();
        if let Some(value) = values.next() {
            headers.insert(name.clone(), value.clone());
        }
        for value in values {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}
