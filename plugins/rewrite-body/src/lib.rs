//! Replaces text in bodies while they stream by.

mod media_type;
mod replacer;

use std::rc::Rc;

use portcullis_sdk::{Failure, Filter, HeaderValue, Outcome, Phase, Request, Response, SettingsError, register_filter};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::media_type::MediaTypes;
pub use crate::replacer::Replacement;
use crate::replacer::{Replacements, Replacer};

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is replaced in request bodies.
    #[serde(default)]
    request: Vec<Replacement>,
    /// What is replaced in response bodies.
    #[serde(default)]
    response: Vec<Replacement>,
    /// The media types that are rewritten; a `*` stands for anything.
    #[serde(default = "text_types")]
    content_types: Vec<String>,
}

/// The filter.
pub struct RewriteBody {
    request: Option<Rc<Replacements>>,
    response: Option<Rc<Replacements>>,
    content_types: MediaTypes,
}

impl Filter for RewriteBody {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        let Settings {
            request,
            response,
            content_types,
        } = settings;
        if request.is_empty() && response.is_empty() {
            return Err("there is nothing to replace: list `request` or `response`".into());
        }
        Ok(RewriteBody {
            request: Replacements::new("request", request)?,
            response: Replacements::new("response", response)?,
            content_types: MediaTypes::parse(&content_types)?,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        if self.response.is_some() {
            // Neither a compressed answer nor a part of one could be rewritten. Without any `accept-encoding` the
            // upstream would be free to choose: RFC 9110 section 12.5.3.
            request.set_header("accept-encoding", "identity")?;
            request.remove_header("range")?;
            request.remove_header("if-range")?;
        }
        let Some(replacements) = &self.request else {
            return Ok(Outcome::Continue);
        };
        if !self.readable(
            request.header("content-type"),
            &request.header_values("content-encoding"),
        ) {
            return Ok(Outcome::Continue);
        }
        for name in DIGESTS {
            request.remove_header(name)?;
        }
        Ok(Outcome::transform(Replacer::new(replacements)))
    }

    fn on_response(&self, _: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        let Some(replacements) = &self.response else {
            return Ok(Outcome::Continue);
        };
        let status = response.status();
        // A 304 speaks of the same body as the 200 before it, and so has to carry the same tag.
        if status == 304 {
            weaken_tag(response)?;
        }
        let whole = !matches!(status, 204 | 206 | 304);
        if !whole
            || !self.readable(
                response.header("content-type"),
                &response.header_values("content-encoding"),
            )
        {
            return Ok(Outcome::Continue);
        }
        weaken_tag(response)?;
        response.remove_header("accept-ranges")?;
        for name in DIGESTS {
            response.remove_header(name)?;
        }
        Ok(Outcome::transform(Replacer::new(replacements)))
    }
}

/// Fields that hold a hash of the body, which is another one by the time it arrives: RFC 9530 and those before it.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

impl RewriteBody {
    /// Whether a body is of a type that is rewritten, and not compressed.
    fn readable(&self, content_type: Option<HeaderValue>, content_encoding: &[HeaderValue]) -> bool {
        let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        let content_type = content_type.and_then(HeaderValue::into_string);
        content_type.is_some_and(|written| self.content_types.hold(&written)) && content_encoding.iter().all(identity)
    }
}

/// A strong `etag` promises the very bytes that the upstream sent, a weak one only the same meaning (RFC 9110
/// section 8.8.1). Conditional requests go on working: `if-none-match` compares weakly.
fn weaken_tag(response: &mut Response) -> Result<(), Failure> {
    if let Some(tag) = response.header("etag").filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
        response.set_header("etag", [b"W/", tag.as_bytes()].concat())?;
    }
    Ok(())
}

fn text_types() -> Vec<String> {
    [
        "text/*",
        "application/json",
        "application/*+json",
        "application/xml",
        "application/*+xml",
        "application/javascript",
    ]
    .map(String::from)
    .to_vec()
}

register_filter!(RewriteBody);

#[cfg(test)]
mod tests;
