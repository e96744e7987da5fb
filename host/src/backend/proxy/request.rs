//! What goes to a target.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, Version, header};
use http_body::Body as _;

use super::Proxy;
use crate::body::Body;
use crate::config::resolved::HttpVersion;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;

impl Proxy {
    /// What goes to a target: these fields and this body, and all else as the exchange says. Its form is that of HTTP/1.1; a
    /// connection that speaks HTTP/2 changes it.
    pub(crate) fn request(
        &self,
        exchange: &Exchange,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Request<Body>, Rejection> {
        let host = self.host.as_ref().unwrap_or(&exchange.host);
        let target = self.target(exchange)?;
        // A request of HTTP/1.1 has one, or it would not have been accepted (RFC 9112 section 3.2).
        let has_host = exchange.version == Version::HTTP_11 || headers.contains_key(header::HOST);
        if self.host.is_some() || !has_host {
            headers.insert(header::HOST, host.clone());
        }
        if self.upstream.settings.connections.http != HttpVersion::Two
            && body.is_end_stream()
            && let Some(protocols) = &exchange.upgrade
        {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocols.clone());
        }
        if self.tells_deadline || exchange.is_grpc_call() {
            self.tell_deadline(exchange, &mut headers);
        }
        let mut request = Request::new(body);
        *request.method_mut() = exchange.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The path and query that the target sees.
    pub(super) fn target(&self, exchange: &Exchange) -> Result<PathAndQuery, Rejection> {
        // What a filter has set is later, and so wins.
        let template = self
            .path
            .as_ref()
            .filter(|_| exchange.target.path() == exchange.matched.path());
        let Some(template) = template else {
            return Ok(exchange.target.clone());
        };
        let mut target = String::new();
        template.fill(&mut target, |name| exchange.params.get(name, exchange.matched.path()));
        if let Some(query) = exchange.target.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).map_err(|_| Rejection::BadRequest("the path cannot be forwarded"))
    }
}
