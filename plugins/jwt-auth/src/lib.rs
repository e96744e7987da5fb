//! Lets a request pass only with a JSON Web Token that verifies, and hands its claims on.

mod claims;
mod refusal;
mod settings;
mod token;

use std::collections::BTreeMap;

use portcullis_sdk::jwt::Verifier;
use portcullis_sdk::{Failure, Filter, HeaderName, Outcome, Request, SettingsError, register_filter};

use crate::refusal::Refusal;
pub use crate::settings::Settings;
use crate::token::Place;

/// The filter.
pub struct JwtAuth {
    verifier: Verifier,
    place: Place,
    optional: bool,
    strip: bool,
    claims_to_headers: BTreeMap<String, HeaderName>,
    notes: Option<Vec<String>>,
}

impl Filter for JwtAuth {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(JwtAuth {
            verifier: Verifier::open(settings.verifier_options()?)?,
            place: Place {
                header: settings.header,
                cookie: settings.cookie,
            },
            optional: settings.optional,
            strip: settings.strip,
            claims_to_headers: settings.claims_to_headers,
            notes: settings.notes,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        // Whatever comes of this request, nobody but this filter says what these hold.
        for header in self.claims_to_headers.values() {
            request.remove_header(header)?;
        }
        match self.check(request)? {
            Ok(()) => Ok(Outcome::Continue),
            Err(refusal) => Ok(refusal.reply().into()),
        }
    }
}

impl JwtAuth {
    /// Verifies the request's token and hands its claims on. A refusal is the client's doing, a failure is ours.
    fn check(&self, request: &mut Request) -> Result<Result<(), Refusal>, Failure> {
        let token = match self.place.find(request) {
            Ok(Some(token)) => token,
            Ok(None) if self.optional => return Ok(Ok(())),
            Ok(None) => return Ok(Err(Refusal::Missing)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let claims = match self.verifier.verify(&token) {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(Refusal::Token(error))),
        };
        if self.strip {
            self.place.take_out(request)?;
        }
        for (claim, header) in &self.claims_to_headers {
            let Some(value) = claims.get(claim).and_then(claims::written) else {
                continue;
            };
            // A good signature does not make a claim fit for a header field: a line break in it is refused here.
            if request.set_header(header, value).is_err() {
                return Ok(Err(Refusal::Claim));
            }
        }
        match claims::note(request, &claims, self.notes.as_deref()) {
            Ok(()) => Ok(Ok(())),
            Err(_) => Ok(Err(Refusal::Claim)),
        }
    }
}

register_filter!(JwtAuth);

#[cfg(test)]
mod tests;
