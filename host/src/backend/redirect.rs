//! Sends the client elsewhere (RFC 9110 section 15.4).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::pipeline::{Exchange, Reply};
use crate::rejection::Rejection;
use crate::router::Template;
use crate::server::host::host_name;

/// Sends the client elsewhere.
pub(crate) struct Redirect {
    pub(crate) to: Template,
    pub(crate) status: StatusCode,
    pub(crate) keep_query: bool,
}

impl Redirect {
    /// To the same host and path at this port of HTTPS. 308, since the method and the body must stay.
    pub(crate) fn to_https(port: u16) -> Option<Redirect> {
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        Some(Redirect {
            to: Template::parse(&format!("https://{{host}}{port}{{path}}")).ok()?,
            status: StatusCode::PERMANENT_REDIRECT,
            keep_query: true,
        })
    }

    pub(crate) fn answer(&self, exchange: &Exchange) -> Result<Reply, Rejection> {
        let mut location = String::new();
        let (host, path) = (host_name(&exchange.host), exchange.matched.path());
        if host.is_empty() && self.to.parameters().any(|name| name == "host") {
            return Err(Rejection::BadRequest("the request names no host"));
        }
        self.to.fill(&mut location, |name| match name {
            "host" => Some(&*host),
            "path" => Some(path),
            name => exchange.params.get(name, path),
        });
        if let Some(query) = exchange.target.query()
            && self.keep_query
        {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        // `//host` would be taken for another host, and so would `/\host` by some clients.
        if location.starts_with("//") || location.starts_with("/\\") {
            return Err(Rejection::BadRequest("the path cannot be redirected"));
        }
        let location =
            HeaderValue::try_from(location).map_err(|_| Rejection::BadRequest("the path cannot be redirected"))?;
        let headers = HeaderMap::from_iter([(header::LOCATION, location)]);
        Ok(Reply {
            status: self.status,
            headers,
            body: Bytes::new(),
        })
    }
}
