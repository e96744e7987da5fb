//! What goes to a target.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, Version, header};
use http_body::Body as _;

use super::Proxy;
use crate::body::Body;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;

impl Proxy {
    /// What goes to a target: these fields and this body, and all else as the exchange says.
    pub(crate) fn request(
        &self,
        exchange: &Exchange,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Request<Body>, Rejection> {
        let host = self.host.as_ref().unwrap_or(&exchange.host);
        let target = self.target(exchange)?;
        let http2 = self.upstream.settings.http2;
        let uri = if http2 {
            headers.remove(header::HOST);
            let authority = if host.is_empty() {
                self.upstream.settings.name.as_bytes()
            } else {
                host.as_bytes()
            };
            let uri = Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query(target);
            uri.build()
                .map_err(|_| Rejection::BadRequest("the host cannot be forwarded"))?
        } else {
            if self.host.is_some() || !headers.contains_key(header::HOST) {
                headers.insert(header::HOST, host.clone());
            }
            Uri::from(target)
        };
        if !http2 && !body.is_end_stream() && body.size_hint().exact().is_none() {
            // Or hyper would send a GET, for one, as if it had no body.
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if !http2
            && body.is_end_stream()
            && let Some(protocols) = &exchange.upgrade
        {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocols.clone());
        }
        if self.tells_deadline || exchange.grpc {
            self.tell_deadline(exchange, &mut headers);
        }
        let mut request = Request::new(body);
        *request.method_mut() = exchange.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = headers;
        if let Some(hints) = exchange.hints.as_ref().filter(|_| !http2) {
            hints.follow(&mut request);
        }
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
