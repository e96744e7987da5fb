//! One request and its response on the way through.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::edit::{Edit, HeaderEdit};
use crate::config::resolved::Encoding;
use crate::grpc::Dialect;
use crate::router::Params;
use crate::server::early_hints::Hints;
use crate::tls::ClientCertificate;

/// One request and its response on the way through the gateway.
///
/// It lives in a box that moves into a filter's store for the length of one call and back, so nothing in it is bound to
/// a thread.
#[derive(Debug)]
pub struct Exchange {
    /// The request's method.
    pub method: Method,
    /// What goes upstream: the path in its normal form, and the query.
    pub target: PathAndQuery,
    /// The path that was matched; path parameters are ranges of it.
    pub matched: PathAndQuery,
    /// `http` or `https`, as the client sees it.
    pub scheme: Scheme,
    /// Host and port as the client named them, in the form of a `Host` field.
    pub host: HeaderValue,
    /// The protocol that the client speaks.
    pub version: Version,
    /// The request's fields.
    pub headers: HeaderMap,
    /// The protocols that its client would rather go on in, and that its route allows: a value of `Upgrade`.
    pub(crate) upgrade: Option<HeaderValue>,
    /// Where the target's early hints go, if its client can take any.
    pub(crate) hints: Option<Arc<Hints>>,
    /// How its client likes the response encoded, of the ways that its route has.
    pub(crate) encoding: Option<Encoding>,
    /// The response, from the response phase on.
    pub response: ResponseHead,
    /// The route that matched.
    pub route: Arc<RouteInfo>,
    /// The ranges of `matched` that are path parameters.
    pub params: Params,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub client: IpAddr,
    /// Who the client is, if it has shown a certificate.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// What filters noted.
    pub notes: Vec<(String, String)>,
    /// When the request's head had arrived.
    pub started: Instant,
    /// When its route's time is over.
    pub deadline: Instant,
    /// How its client speaks gRPC, if it does.
    pub(crate) grpc: Option<Dialect>,
    /// When a gRPC call as a whole is to be over, where its caller or its route says so.
    pub call_deadline: Option<Instant>,
    /// Bytes of request body read so far.
    pub request_bytes: u64,
    /// Bytes of response body sent so far.
    pub response_bytes: u64,
    /// What the call at hand changed, to be undone if it fails.
    pub(crate) undo: Vec<Edit>,
    /// The place in the pipeline of the filter at hand.
    pub(crate) place: usize,
    /// Places of filters that failed, or are out of service, and are passed by from then on.
    pub(crate) skipped: Vec<usize>,
    /// What filters want done to the response's fields, each when it comes back to the filter's place.
    pub(crate) later: Vec<(usize, HeaderEdit)>,
    /// Bytes that filters may still add to headers and notes.
    pub(crate) room: usize,
    /// The same before the call at hand.
    pub(crate) room_kept: usize,
    id: Option<ExchangeId>,
}

/// The head of a response.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status code.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
}

/// What an exchange needs to know of its route.
#[derive(Debug)]
pub struct RouteInfo {
    /// The route's name.
    pub name: Arc<str>,
    /// From a request's head to its response's.
    pub timeout: Duration,
    /// Whether somebody wrote it down: then it holds for a gRPC call as a whole.
    pub timeout_written: bool,
}

/// Bytes that the filters of one exchange may add to its headers and notes together.
const ROOM: usize = 256 * 1024;

static NOWHERE: LazyLock<Arc<RouteInfo>> = LazyLock::new(|| {
    Arc::new(RouteInfo {
        name: "".into(),
        timeout: Duration::from_secs(60),
        timeout_written: false,
    })
});

impl Exchange {
    /// An exchange whose request has been read and routed.
    #[expect(
        clippy::too_many_arguments,
        reason = "every part of a request's head, given once, in one place"
    )]
    pub fn new(
        parts: http::request::Parts,
        target: PathAndQuery,
        scheme: Scheme,
        host: HeaderValue,
        route: Arc<RouteInfo>,
        params: Params,
        client: IpAddr,
        started: Instant,
    ) -> Box<Exchange> {
        let grpc = Dialect::of(&parts.method, parts.version, &parts.headers);
        Box::new(Exchange {
            method: parts.method,
            matched: target.clone(),
            target,
            scheme,
            host,
            version: parts.version,
            headers: parts.headers,
            upgrade: None,
            hints: None,
            encoding: None,
            response: ResponseHead::default(),
            deadline: started + route.timeout,
            grpc,
            call_deadline: None,
            route,
            params,
            client,
            client_certificate: None,
            notes: Vec::new(),
            started,
            request_bytes: 0,
            response_bytes: 0,
            undo: Vec::new(),
            place: 0,
            skipped: Vec::new(),
            later: Vec::new(),
            room: ROOM,
            room_kept: ROOM,
            id: None,
        })
    }

    /// An exchange of nobody: what a ready instance holds between calls, and what a filter is configured with.
    pub fn nobody() -> Box<Exchange> {
        let (parts, ()) = http::Request::new(()).into_parts();
        Exchange::new(
            parts,
            PathAndQuery::from_static("/"),
            Scheme::HTTP,
            HeaderValue::from_static(""),
            NOWHERE.clone(),
            Params::default(),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Instant::now(),
        )
    }

    /// Its id: drawn when somebody first asks, since most exchanges end without a line that names it.
    pub fn id(&mut self) -> ExchangeId {
        *self.id.get_or_insert_with(ExchangeId::draw)
    }

    /// Takes another exchange's id: what an instance does for a body's stream is done on that exchange's behalf.
    pub(crate) fn adopt(&mut self, id: ExchangeId) {
        self.id = Some(id);
    }

    /// Whether it is a gRPC call: gRPC itself, not gRPC-Web.
    pub(crate) fn is_grpc_call(&self) -> bool {
        self.grpc == Some(Dialect::Native)
    }

    /// Host and port as the client named them.
    pub fn authority(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// The client's address as text. Most are IPv4, and most filters that count ask for it: a fifth of the formatting
    /// machinery's instructions.
    pub(crate) fn client_text(&self) -> String {
        let IpAddr::V4(address) = self.client else {
            return self.client.to_string();
        };
        let mut text = String::with_capacity("255.255.255.255".len());
        let mut digits = itoa::Buffer::new();
        for (place, octet) in address.octets().into_iter().enumerate() {
            if place > 0 {
                text.push('.');
            }
            text.push_str(digits.format(octet));
        }
        text
    }

    /// What a `{name}` of the route's match took, percent-decoded.
    pub fn path_parameter(&self, name: &str) -> Option<String> {
        let raw = self.params.get(name, self.matched.path())?;
        Some(percent_decode_str(raw).decode_utf8_lossy().into_owned())
    }

    /// What was noted under a name.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes
            .iter()
            .find(|(noted, _)| noted == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Names an exchange in the access log and in the errors that the gateway makes: 128 random bits in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeId(u128);

impl ExchangeId {
    /// A fresh one. Ids name; they are no secret, so a fast generator is enough.
    pub fn draw() -> ExchangeId {
        ExchangeId(fastrand::u128(..))
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_by_its_address() {
        let mut exchange = Exchange::nobody();
        for address in ["0.0.0.0", "10.200.3.255", "2001:db8::1"] {
            exchange.client = address.parse().unwrap();
            assert_eq!(exchange.client_text(), address);
        }
    }
}
