//! Lets a request pass only with a JSON Web Token that verifies, and hands its claims on.

mod settings;

use portcullis_sdk::bearer::{self, Place};
use portcullis_sdk::jwt::{Claims, Verifier, VerifyError};
use portcullis_sdk::{EditError, Failure, Filter, Outcome, Reply, Request, SettingsError, register_filter};

pub use crate::settings::Settings;

/// How many claims become notes where the settings name none. A token may hold hundreds.
const MOST_NOTES: usize = 32;

/// The filter.
pub struct JwtAuth {
    verifier: Verifier,
    place: Place,
    settings: Settings,
}

impl Filter for JwtAuth {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        let mut claimed = settings.claims_to_headers.values();
        claimed.try_for_each(|header| header.check_editable("claims_to_headers"))?;
        if settings.strip {
            settings.header.check_editable("header")?;
        }
        Ok(JwtAuth {
            verifier: Verifier::open(settings.verifier_options()?)?,
            place: Place::new(settings.header.clone(), settings.cookie.clone()),
            settings,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        // Whatever comes of this request, nobody but this filter says what these hold.
        for header in self.settings.claims_to_headers.values() {
            request.remove_header(header)?;
        }
        let token = match self.place.find(request) {
            Ok(Some(token)) => token,
            Ok(None) if self.settings.optional => return Ok(Outcome::Continue),
            Ok(None) => return Ok(bearer::missing().into()),
            Err(reply) => return Ok(reply.into()),
        };
        let claims = match self.verifier.verify(token.as_str()) {
            Ok(claims) => claims,
            Err(error) => return Ok(unverified(&error).into()),
        };
        if self.settings.strip {
            token.take_out(request)?;
        }
        // A good signature does not make a claim fit for a header field: a line break in it is refused here.
        match self.hand_on(&claims, request) {
            Ok(()) => Ok(Outcome::Continue),
            Err(_) => Ok(bearer::invalid_token("a claim of it cannot be handed on").into()),
        }
    }
}

impl JwtAuth {
    /// Tells the upstream, later filters and the log what the settings ask for.
    fn hand_on(&self, claims: &Claims, request: &mut Request) -> Result<(), EditError> {
        for (name, header) in &self.settings.claims_to_headers {
            if let Some(value) = claims.written(name) {
                request.set_header(header, value)?;
            }
        }
        let named = self.settings.notes.iter().flatten().map(String::as_str);
        for name in ["sub"].into_iter().chain(named) {
            if let Some(value) = claims.written(name) {
                request.set_note(&format!("jwt:{name}"), &value)?;
            }
        }
        if self.settings.notes.is_none() {
            let others = claims.iter().map(|(name, _)| name).filter(|name| *name != "sub");
            let scalar = others.filter_map(|name| Some((name, claims.text(name)?)));
            for (name, value) in scalar.take(MOST_NOTES) {
                // Nobody asked for this one by name, so one that does not fit is left out.
                let _ = request.set_note(&format!("jwt:{name}"), &value);
            }
        }
        Ok(())
    }
}

fn unverified(error: &VerifyError) -> Reply {
    match error {
        VerifyError::KeysUnavailable => {
            let detail = "The keys to verify tokens with are not there yet.";
            Reply::problem(503, "Service Unavailable", detail).header("retry-after", "5")
        }
        // Which claim it is, is between the operator and whoever issues the tokens.
        VerifyError::MissingClaim(_) => bearer::invalid_token("a required claim is missing"),
        error => bearer::invalid_token(&error.to_string()),
    }
}

register_filter!(JwtAuth);

#[cfg(test)]
mod tests;
