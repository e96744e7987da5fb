//! Whether a request's head may enter: one meaning only, within the limits, in one normal form.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};

use super::hop_by_hop;
use crate::config::resolved::Server;
use crate::rejection::Rejection;
use crate::router::{PathError, normalise};

/// What a head says, once it may enter.
pub(crate) struct Accepted {
    /// The path in its normal form, and the query as it came.
    pub(crate) target: PathAndQuery,
    /// Host and port, as in a `Host` field; empty where an HTTP/1.0 client named none.
    pub(crate) host: HeaderValue,
}

/// Checks a head, and takes out of it what belongs to the connection.
pub(crate) fn accept(parts: &mut Parts, server: &Server) -> Result<Accepted, Rejection> {
    if parts.method == Method::CONNECT {
        return Err(Rejection::NotImplemented);
    }
    check_size(parts, server)?;
    check_fields(&parts.headers, server)?;
    let host = host(parts)?;
    let raw = parts.uri.path();
    let path = normalise(raw, &server.paths).map_err(|error| Rejection::BadRequest(in_words(error)))?;
    let target = match (path, parts.uri.path_and_query()) {
        (Cow::Borrowed(_), Some(target)) => target.clone(),
        (path, _) => {
            let text = match parts.uri.query() {
                Some(query) => format!("{path}?{query}"),
                None => path.into_owned(),
            };
            PathAndQuery::try_from(text).map_err(|_| Rejection::BadRequest("the path is malformed"))?
        }
    };
    hop_by_hop::strip(&mut parts.headers);
    // Whoever reads the body here says `100 Continue`; upstream it would only wait.
    if parts.headers.contains_key(header::EXPECT) {
        parts.headers.remove(header::EXPECT);
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    Ok(Accepted { target, host })
}

/// What is wrong with a path, for its sender.
fn in_words(error: PathError) -> &'static str {
    match error {
        PathError::NotAbsolute => "the request target is no path",
        PathError::BadPercent => "the path holds a `%` without two hexadecimal digits",
        PathError::Forbidden => "the path holds a character that must be percent-encoded",
        PathError::Nul => "the path holds an encoded NUL",
        PathError::EncodedSlash => "the path holds an encoded slash",
        PathError::Backslash => "the path holds a backslash",
        PathError::AboveRoot => "the path leads above its root",
        PathError::HiddenDots => "the path hides a dot segment",
    }
}

fn check_size(parts: &Parts, server: &Server) -> Result<(), Rejection> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > server.limits.uri_size {
        return Err(Rejection::UriTooLong);
    }
    // HTTP/1 has been counted while it was parsed; here this is for HTTP/2.
    if parts.headers.len() > server.limits.header_count {
        return Err(Rejection::HeadersTooLarge);
    }
    Ok(())
}

fn check_fields(headers: &HeaderMap, server: &Server) -> Result<(), Rejection> {
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || headers.get_all(header::TRANSFER_ENCODING).iter().count() > 1 {
            return Err(Rejection::BadRequest("Transfer-Encoding may only be `chunked`"));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Rejection::BadRequest(
                "Transfer-Encoding and Content-Length exclude each other",
            ));
        }
    }
    if !server.underscores_in_headers && headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(Rejection::BadRequest("field names with `_` are not accepted"));
    }
    Ok(())
}

/// The host that the request is for: `Host`, or HTTP/2's `:authority`; where both are there they must agree.
fn host(parts: &Parts) -> Result<HeaderValue, Rejection> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Rejection::BadRequest("more than one Host field"));
    }
    if let Some(scheme) = parts.uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(Rejection::BadRequest("the request target's scheme is not HTTP"));
    }
    match (parts.uri.authority(), field) {
        (Some(authority), Some(field)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(field.as_bytes()) => Err(
            Rejection::BadRequest("the request target and the Host field name different hosts"),
        ),
        (_, Some(field)) if field.is_empty() => Err(Rejection::BadRequest("the Host field is empty")),
        (_, Some(field)) if is_authority(field.as_bytes()) => Ok(field.clone()),
        (_, Some(_)) => Err(Rejection::BadRequest("the Host field is malformed")),
        (Some(authority), None) if is_authority(authority.as_str().as_bytes()) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Rejection::BadRequest("the authority is malformed"))
        }
        (Some(_), None) => Err(Rejection::BadRequest("the authority is malformed")),
        (None, None) if parts.version == Version::HTTP_10 => Ok(HeaderValue::from_static("")),
        (None, None) => Err(Rejection::BadRequest("the Host field is missing")),
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

/// HTTP/2 may split cookies over fields; HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::COOKIE).iter();
    if values.next().is_none() || values.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
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
    fn cookies_of_several_fields_become_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }

    #[test]
    fn a_host_has_no_user_and_no_quotes() {
        assert!(is_authority(b"example.com:8080") && is_authority(b"[::1]:80"));
        for bad in [&b"a@b"[..], b"a\"b", b"a b", b"a/b", b"a:b:c"] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
