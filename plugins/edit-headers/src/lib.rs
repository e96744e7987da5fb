//! Sets, appends, removes and renames header fields of requests and responses.

mod edits;

use portcullis_sdk::{
    EditError, Failure, Filter, Outcome, Phase, Reply, Request, Response, SettingsError, register_filter,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use crate::edits::Edits;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is done to the request before it goes on.
    #[serde(default)]
    request: Edits,
    /// What is done to the response before the client sees it.
    #[serde(default)]
    response: Edits,
}

/// The filter.
pub struct EditHeaders(Settings);

impl Filter for EditHeaders {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.request.check("request")?;
        settings.response.check("response")?;
        Ok(EditHeaders(settings))
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        match self
            .0
            .request
            .apply(request, |request, template| template.fill(request))
        {
            Ok(()) => Ok(Outcome::Continue),
            // The client filled its header section so far that ours do not fit: its mistake, and no failure.
            Err(EditError::TooLarge) => {
                let detail = "The request's header section is too large.";
                Ok(Reply::problem(431, "Request Header Fields Too Large", detail).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        self.0.response.apply(response, |_, template| template.fill(request))?;
        Ok(Outcome::Continue)
    }
}

register_filter!(EditHeaders);

#[cfg(test)]
mod tests;
