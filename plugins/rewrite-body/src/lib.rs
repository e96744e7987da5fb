//! Replaces text in bodies while they stream by.

mod replacer;

use std::rc::Rc;

use portcullis_sdk::{
    Failure, Filter, HeaderValue, HoldBack, MediaRange, Message, Outcome, Phase, Request, Response, SettingsError,
    register_filter,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::replacer::{Replacement, Replacements};

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
    content_types: Vec<MediaRange>,
}

/// The filter.
pub struct RewriteBody {
    request: Rc<Replacements>,
    response: Rc<Replacements>,
    content_types: Vec<MediaRange>,
}

impl Filter for RewriteBody {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.request.is_empty() && settings.response.is_empty() {
            return Err("there is nothing to replace: list `request` or `response`".into());
        }
        if settings.content_types.is_empty() {
            return Err("`content_types` is empty: nothing would be rewritten".into());
        }
        Ok(RewriteBody {
            request: Rc::new(Replacements::new("request", settings.request)?),
            response: Rc::new(Replacements::new("response", settings.response)?),
            content_types: settings.content_types,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        if !self.response.list.is_empty() {
            // Neither a compressed answer nor a part of one could be rewritten. Without any `accept-encoding` the
            // upstream would be free to choose: RFC 9110 section 12.5.3.
            request.set_header("accept-encoding", "identity")?;
            request.remove_header("range")?;
            request.remove_header("if-range")?;
        }
        self.rewrite(&self.request, request)
    }

    fn on_response(&self, _: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        if self.response.list.is_empty() {
            return Ok(Outcome::Continue);
        }
        let outcome = match response.status() {
            // A 304 speaks of the same body as the 200 before it, and so has to carry the same tag.
            304 => Outcome::Continue,
            204 | 206 => return Ok(Outcome::Continue),
            _ => match self.rewrite(&self.response, response)? {
                Outcome::Continue => return Ok(Outcome::Continue),
                transform => transform,
            },
        };
        // A strong tag promises the very bytes that the upstream sent, a weak one only the same meaning (RFC 9110
        // section 8.8.1). Conditional requests go on working: `if-none-match` compares weakly.
        if let Some(tag) = response.header("etag").filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
            response.set_header("etag", [b"W/", tag.as_bytes()].concat())?;
        }
        Ok(outcome)
    }
}

impl RewriteBody {
    /// Rewrites the body of a message, if it is of a type that is rewritten, and not compressed.
    fn rewrite(&self, list: &Rc<Replacements>, message: &mut impl Message) -> Result<Outcome, Failure> {
        let listed = |value: HeaderValue| self.content_types.iter().any(|range| range.matches(&value));
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if list.list.is_empty()
            || !message.header("content-type").is_some_and(listed)
            || !message.header_values("content-encoding").iter().all(plain)
        {
            return Ok(Outcome::Continue);
        }
        message.remove_header("accept-ranges")?;
        // These hold a hash of the body, which is another one by the time it arrives: RFC 9530 and those before it.
        for name in ["content-digest", "repr-digest", "digest", "content-md5"] {
            message.remove_header(name)?;
        }
        let list = Rc::clone(list);
        let rewrite = move |text: &[u8], ended| list.rewrite(text, ended);
        Ok(Outcome::transform(HoldBack::new(rewrite)))
    }
}

fn text_types() -> Vec<MediaRange> {
    let types = "text/* application/json application/*+json application/xml application/*+xml application/javascript";
    types.split(' ').filter_map(|written| written.parse().ok()).collect()
}

register_filter!(RewriteBody);

#[cfg(test)]
mod tests;
