//! Lets web pages of the listed origins read responses, and answers their preflights: the CORS protocol of the Fetch
//! standard.

mod settings;

use portcullis_sdk::{
    Failure, Filter, OriginPattern, Outcome, Phase, Reply, Request, Response, SettingsError, register_filter,
};

pub use crate::settings::Settings;

/// The note that carries the value of `Access-Control-Allow-Origin` from the request to the response.
const NOTE: &str = "cors:allow-origin";

/// The filter.
pub struct Cors {
    origins: Vec<OriginPattern>,
    /// Whether every origin is allowed. Then all of them get `*`, and nothing varies.
    any: bool,
    /// The answer to a preflight, but for its origin.
    preflight: Reply,
    /// What a response to an allowed page carries beside its origin.
    fields: Vec<(&'static str, String)>,
}

impl Filter for Cors {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let varies = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        let mut preflight = Reply::new(204).header("vary", varies);
        preflight = preflight.header("access-control-allow-methods", settings.allow_methods.join(", "));
        let mut fields = Vec::new();
        if settings.allow_credentials {
            preflight = preflight.header("access-control-allow-credentials", "true");
            fields.push(("access-control-allow-credentials", "true".to_owned()));
        }
        if !settings.allow_headers.is_empty() {
            preflight = preflight.header("access-control-allow-headers", settings.allow_headers.join(", "));
        }
        if let Some(max_age) = settings.max_age {
            preflight = preflight.header("access-control-max-age", max_age.duration().as_secs().to_string());
        }
        if !settings.expose_headers.is_empty() {
            fields.push(("access-control-expose-headers", settings.expose_headers.join(", ")));
        }
        Ok(Cors {
            any: settings.allow_origins.iter().any(OriginPattern::is_any),
            origins: settings.allow_origins,
            preflight,
            fields,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let Some(origin) = request.header("origin") else {
            return Ok(Outcome::Continue);
        };
        let allowed = origin.to_str().and_then(|origin| self.allowed(origin));
        let preflight = request.method() == "OPTIONS" && request.header("access-control-request-method").is_some();
        match (preflight, allowed) {
            (true, Some(allowed)) => {
                let reply = self.preflight.clone();
                return Ok(reply.header("access-control-allow-origin", allowed).into());
            }
            // The browser fails the page's request either way, since the field it looks for is not there. This status
            // shows in the access log, and to whoever looks for the reason.
            (true, None) => {
                let reply = Reply::problem(403, "Forbidden", "This origin is not allowed here.");
                return Ok(reply.header("vary", "Origin").into());
            }
            (false, Some(allowed)) => request.set_note(NOTE, allowed)?,
            // The response goes out without the fields, and the browser keeps it from the page.
            (false, None) => {}
        }
        Ok(Outcome::Continue)
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        // Whatever the upstream says of it: this filter decides.
        response.remove_header("access-control-allow-origin")?;
        response.remove_header("access-control-allow-credentials")?;
        response.remove_header("access-control-expose-headers")?;
        // Also without an origin, or a cache would serve this response to a page.
        if !self.any && !varies_by_origin(response) {
            response.append_header("vary", "Origin")?;
        }
        if let Some(allowed) = request.note(NOTE) {
            response.set_header("access-control-allow-origin", allowed)?;
            for (name, value) in &self.fields {
                response.set_header(name, value)?;
            }
        }
        Ok(Outcome::Continue)
    }
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin` for a request's `Origin`, or none where it is not allowed.
    fn allowed<'origin>(&self, origin: &'origin str) -> Option<&'origin str> {
        match self.any {
            true => Some("*"),
            false => {
                let listed = self.origins.iter().any(|pattern| pattern.matches(origin));
                listed.then_some(origin)
            }
        }
    }
}

fn varies_by_origin(response: &Response) -> bool {
    let is_it = |name: &str| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin");
    let values = response.header_values("vary");
    let mut names = values
        .iter()
        .filter_map(|value| value.to_str())
        .flat_map(|value| value.split(','));
    names.any(is_it)
}

register_filter!(Cors);

#[cfg(test)]
mod tests;
