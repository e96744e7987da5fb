//! Lets web pages of the listed origins read responses, and answers their preflights: the CORS protocol of the Fetch
//! standard.

mod origin;
mod settings;

use portcullis_sdk::{Failure, Filter, Outcome, Phase, Reply, Request, Response, SettingsError, register_filter};

use crate::origin::Origins;
pub use crate::settings::Settings;

/// The note that carries the value of `Access-Control-Allow-Origin` from the request to the response.
const NOTE: &str = "cors:allow-origin";

/// The filter.
pub struct Cors {
    origins: Origins,
    credentials: bool,
    expose: Option<String>,
    methods: String,
    headers: Option<String>,
    max_age: Option<String>,
}

impl Filter for Cors {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Cors {
            max_age: settings.max_age_seconds()?.map(|seconds| seconds.to_string()),
            origins: Origins::parse(&settings.allow_origins)?,
            credentials: settings.allow_credentials,
            expose: listed(&settings.expose_headers),
            methods: settings.allow_methods.join(", "),
            headers: listed(&settings.allow_headers),
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let Some(origin) = request.header("origin") else {
            return Ok(Outcome::Continue);
        };
        let allowed = origin.to_str().and_then(|origin| self.origins.allowed(origin));
        let preflight = request.method() == "OPTIONS" && request.header("access-control-request-method").is_some();
        match (preflight, allowed) {
            (true, Some(allowed)) => Ok(self.preflight(allowed).into()),
            // The browser fails the page's request either way, since the field it looks for is not there. This status
            // shows in the access log, and to whoever looks for the reason.
            (true, None) => {
                let reply = Reply::problem(403, "Forbidden", "This origin is not allowed here.");
                Ok(reply.header("vary", "Origin").into())
            }
            (false, Some(allowed)) => {
                request.set_note(NOTE, allowed)?;
                Ok(Outcome::Continue)
            }
            // The response goes out without the fields, and the browser keeps it from the page.
            (false, None) => Ok(Outcome::Continue),
        }
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        // Whatever the upstream says of it: this filter decides.
        for name in [
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
        ] {
            response.remove_header(name)?;
        }
        // Also without an origin, or a cache would serve this response to a page.
        if !self.origins.any() && !varies_by_origin(response) {
            response.append_header("vary", "Origin")?;
        }
        let Some(allowed) = request.note(NOTE) else {
            return Ok(Outcome::Continue);
        };
        response.set_header("access-control-allow-origin", allowed)?;
        if self.credentials {
            response.set_header("access-control-allow-credentials", "true")?;
        }
        if let Some(expose) = &self.expose {
            response.set_header("access-control-expose-headers", expose)?;
        }
        Ok(Outcome::Continue)
    }
}

impl Cors {
    fn preflight(&self, allowed: &str) -> Reply {
        let mut reply = Reply::new(204)
            .header("access-control-allow-origin", allowed)
            .header("access-control-allow-methods", self.methods.as_str())
            .header(
                "vary",
                "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            );
        if self.credentials {
            reply = reply.header("access-control-allow-credentials", "true");
        }
        if let Some(headers) = &self.headers {
            reply = reply.header("access-control-allow-headers", headers.as_str());
        }
        if let Some(max_age) = &self.max_age {
            reply = reply.header("access-control-max-age", max_age.as_str());
        }
        reply
    }
}

fn varies_by_origin(response: &Response) -> bool {
    let is_it = |name: &str| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin");
    response
        .header_values("vary")
        .iter()
        .filter_map(|value| value.to_str())
        .any(|value| value.split(',').any(is_it))
}

fn listed(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

register_filter!(Cors);

#[cfg(test)]
mod tests;
