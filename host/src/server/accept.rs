//! Whether a request's head may enter: one meaning only, within the limits, in one normal form.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};

use super::forwarded;
use super::framing::decimal;
use super::hop_by_hop;
use super::host::{Host, KnownHost};
use crate::config::resolved::Server;
use crate::rejection::Rejection;
use crate::router::{PathError, normalise};

/// The target of `OPTIONS *`, which is for the gateway itself.
pub(crate) const ASTERISK: &str = "*";

/// What a head says, once it may enter.
pub(crate) struct Accepted {
    /// The path in its normal form, and the query as it came.
    pub(crate) target: PathAndQuery,
    /// Whom the request is for.
    pub(crate) host: Host,
    /// It says who its client is, and what the client asked for.
    pub(crate) claims: bool,
}

impl Accepted {
    /// What stands for a request that may not enter.
    pub(crate) fn nowhere() -> Accepted {
        Accepted {
            target: PathAndQuery::from_static("/"),
            host: Host::nobody(),
            claims: false,
        }
    }
}

/// Checks a head, and takes out of it what belongs to the connection. `known` is the host that the same client named last.
pub(crate) fn accept(parts: &mut Parts, server: &Server, known: &KnownHost) -> Result<Accepted, Rejection> {
    // CONNECT would make a tunnel of the gateway. TRACE would show its sender what it may not see: fields that proxies and
    // filters have added, and its browser's cookies.
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Rejection::NotImplemented);
    }
    let seen = Seen::of(&parts.headers);
    check_size(parts, &seen, server)?;
    if parts.version == Version::HTTP_3 && seen.hop_by_hop && !hop_by_hop::is_only_te_trailers(&parts.headers) {
        return Err(Rejection::BadRequest("a field belongs to connections of HTTP/1"));
    }
    check_fields(&parts.headers, &seen, server)?;
    check_expectation(parts.version, &seen)?;
    let host = host(parts, &seen, known)?;
    // HTTP/1's framing lets nothing else pass.
    let query = parts.uri.query().unwrap_or_default();
    if parts.version >= Version::HTTP_2 && !query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Rejection::BadRequest(in_words(PathError::Forbidden)));
    }
    let raw = parts.uri.path();
    if raw == ASTERISK && parts.method == Method::OPTIONS {
        let target = PathAndQuery::from_static(ASTERISK);
        let claims = seen.claims;
        return Ok(Accepted { target, host, claims });
    }
    let path = normalise(raw, &server.paths).map_err(|error| Rejection::BadRequest(in_words(error)))?;
    let target = match (path, parts.uri.path_and_query()) {
        // Copied, since it outlives the head: a part of what was read would keep all of that in memory.
        (Cow::Borrowed(_), Some(target)) => PathAndQuery::try_from(target.as_str()),
        (path, _) => {
            let text = match parts.uri.query() {
                Some(query) => format!("{path}?{query}"),
                None => path.into_owned(),
            };
            PathAndQuery::try_from(text)
        }
    };
    let target = target.map_err(|_| Rejection::BadRequest("the path is malformed"))?;
    let Seen {
        hop_by_hop,
        expectations,
        cookies,
        claims,
        client_cert,
        ..
    } = seen;
    if hop_by_hop {
        hop_by_hop::strip(&mut parts.headers);
    }
    // Who a client is, it proves in its TLS handshake (RFC 9440 section 4).
    if client_cert {
        parts.headers.remove(CLIENT_CERT);
        parts.headers.remove(CLIENT_CERT_CHAIN);
    }
    // Whoever reads the body here says `100 Continue`; upstream it would only wait.
    if expectations > 0 {
        parts.headers.remove(header::EXPECT);
    }
    // HTTP/2 may split cookies over fields; HTTP/1.1 may not (RFC 9113 section 8.2.3).
    if cookies > 1 && parts.version >= Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    Ok(Accepted { target, host, claims })
}

/// What of a head's fields decides about it, from one look over them.
#[derive(Default)]
struct Seen<'h> {
    host: Option<&'h HeaderValue>,
    hosts: usize,
    cookies: usize,
    expect: Option<&'h HeaderValue>,
    expectations: usize,
    length: Option<&'h HeaderValue>,
    lengths: usize,
    hop_by_hop: bool,
    underscore: bool,
    claims: bool,
    client_cert: bool,
    /// The size of the fields as HTTP/2 counts it (RFC 9113 section 6.5.2).
    size: usize,
}

/// Whether a field says who the client is, as only a gateway may.
fn is_client_cert(name: &str) -> bool {
    matches!(name, CLIENT_CERT | CLIENT_CERT_CHAIN)
}

const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";

/// What HTTP/2 counts for a field beside its name and value.
const FIELD_OVERHEAD: usize = 32;

/// The size of a section of fields as HTTP/2 counts it.
pub(crate) fn section_size(fields: &HeaderMap) -> usize {
    let sizes = fields.iter().map(|(name, value)| name.as_str().len() + value.len());
    sizes.map(|size| size + FIELD_OVERHEAD).sum()
}

impl Seen<'_> {
    fn of(headers: &HeaderMap) -> Seen<'_> {
        let mut seen = Seen::default();
        for (name, value) in headers {
            let text = name.as_str();
            match *name {
                header::HOST => {
                    seen.host = Some(value);
                    seen.hosts += 1;
                }
                header::COOKIE => seen.cookies += 1,
                header::CONTENT_LENGTH => {
                    seen.length = Some(value);
                    seen.lengths += 1;
                }
                header::EXPECT => {
                    seen.expect = Some(value);
                    seen.expectations += 1;
                }
                _ => {
                    seen.hop_by_hop |= hop_by_hop::is_hop_by_hop(name);
                    seen.claims |= forwarded::is_claim(text);
                    seen.client_cert |= is_client_cert(text);
                    seen.underscore |= text.bytes().any(|byte| byte == b'_');
                }
            }
            seen.size += text.len() + value.len() + FIELD_OVERHEAD;
        }
        seen
    }
}

/// What is wrong with a path, for its sender.
fn in_words(error: PathError) -> &'static str {
    match error {
        PathError::NotAbsolute => "the request target is no path",
        PathError::BadPercent => "the path holds a `%` without two hexadecimal digits",
        PathError::Forbidden => "the request target holds a character that must be percent-encoded",
        PathError::Nul => "the path holds an encoded NUL",
        PathError::EncodedSlash => "the path holds an encoded slash",
        PathError::Backslash => "the path holds a backslash",
        PathError::AboveRoot => "the path leads above its root",
        PathError::HiddenDots => "the path hides a dot segment",
    }
}

fn check_size(parts: &Parts, seen: &Seen<'_>, server: &Server) -> Result<(), Rejection> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > server.limits.uri_size {
        return Err(Rejection::UriTooLong);
    }
    // HTTP/1 has been counted while it was parsed; here this is for HTTP/2.
    let too_large = parts.version >= Version::HTTP_2 && seen.size + pseudo_size(parts) > server.limits.header_size;
    if too_large || parts.headers.len() > server.limits.header_count {
        return Err(Rejection::HeadersTooLarge);
    }
    Ok(())
}

/// The size of HTTP/2's pseudo-header fields, which are part of the section.
fn pseudo_size(parts: &Parts) -> usize {
    let fields = [
        (":method", Some(parts.method.as_str())),
        (":scheme", parts.uri.scheme_str()),
        (":authority", parts.uri.authority().map(Authority::as_str)),
        (":path", parts.uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let sizes = fields
        .iter()
        .filter_map(|(name, value)| Some(name.len() + (*value)?.len() + FIELD_OVERHEAD));
    sizes.sum()
}

fn check_fields(headers: &HeaderMap, seen: &Seen<'_>, server: &Server) -> Result<(), Rejection> {
    if seen.hop_by_hop
        && let Some(coding) = headers.get(header::TRANSFER_ENCODING)
    {
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
    // HTTP/1's framing has seen to that already; parsers of the others are more generous.
    if seen.lengths > 1 {
        return Err(Rejection::BadRequest("more than one Content-Length field"));
    }
    if seen.length.is_some_and(|length| decimal(length.as_bytes()).is_none()) {
        return Err(Rejection::BadRequest("Content-Length is not a number"));
    }
    if seen.underscore && !server.underscores_in_headers {
        return Err(Rejection::BadRequest("field names with `_` are not accepted"));
    }
    Ok(())
}

/// One expectation is known, and only one spelling of it: what is nearly it makes some servers wait for a body, and others
/// take that for the next request. HTTP/1.0 knows none, so there it says nothing (RFC 9110 section 10.1.1).
fn check_expectation(version: Version, seen: &Seen<'_>) -> Result<(), Rejection> {
    let Some(expect) = seen.expect.filter(|_| version != Version::HTTP_10) else {
        return Ok(());
    };
    if seen.expectations > 1 || !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return Err(Rejection::ExpectationFailed);
    }
    Ok(())
}

/// The host that the request is for: `Host`, or HTTP/2's `:authority`; where both are there they must agree.
fn host(parts: &Parts, seen: &Seen<'_>, known: &KnownHost) -> Result<Host, Rejection> {
    if seen.hosts > 1 {
        return Err(Rejection::BadRequest("more than one Host field"));
    }
    if let Some(scheme) = parts.uri.scheme_str()
        && scheme != "http"
        && scheme != "https"
    {
        return Err(Rejection::BadRequest("the request target's scheme is not HTTP"));
    }
    // `GET a` is a target for CONNECT alone.
    if parts.uri.scheme().is_none() && parts.uri.authority().is_some() {
        return Err(Rejection::BadRequest(in_words(PathError::NotAbsolute)));
    }
    let field = seen.host.map(HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, field) {
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => Err(Rejection::BadRequest(
            "the request target and the Host field name different hosts",
        )),
        (_, Some(b"")) => Err(Rejection::BadRequest("the Host field is empty")),
        (_, Some(field)) => known
            .named(field)
            .ok_or(Rejection::BadRequest("the Host field is malformed")),
        // HTTP/1.1 must name it in a field, also where the target does (RFC 9112 section 3.2).
        (_, None) if parts.version == Version::HTTP_11 => Err(Rejection::BadRequest("the Host field is missing")),
        (Some(authority), None) => known
            .named(authority)
            .ok_or(Rejection::BadRequest("the authority is malformed")),
        (None, None) if parts.version == Version::HTTP_10 => Ok(Host::nobody()),
        (None, None) => Err(Rejection::BadRequest("the Host field is missing")),
    }
}

fn join_cookies(headers: &mut HeaderMap) {
    let all: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_several_fields_become_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
