//! Lets a request pass only with one of the tokens that the settings list.

use portcullis_sdk::serde_json::json;
use portcullis_sdk::{
    Credential, Failure, Filter, HeaderName, HeaderValue, Outcome, Reply, Request, SettingsError, register_filter,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The field that carries the token.
    #[serde(default = "default_header")]
    header: HeaderName,
    /// The word before the token, as in `Authorization: Bearer ...`. None: the token is the whole value.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._~+-]+$"))]
    scheme: Option<String>,
    /// The tokens that are accepted, each as it is or as `sha256:` and its hash.
    #[schemars(length(min = 1))]
    tokens: Vec<Credential>,
    /// The answer where there is no token: by default 401 and `Token is missing!`.
    #[serde(default)]
    missing: Refusal,
    /// The answer to a token that is not accepted: by default 401 and `Token is invalid!`.
    #[serde(default)]
    invalid: Refusal,
    /// Whether the token is taken out before the request goes on.
    #[serde(default = "yes")]
    strip: bool,
}

/// How a request is refused.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The status: 401 by default.
    #[schemars(range(min = 400, max = 499))]
    status: Option<u16>,
    /// The `message` of the JSON body.
    message: Option<String>,
}

/// The filter.
pub struct TokenAuth {
    header: HeaderName,
    scheme: Option<String>,
    tokens: Vec<Credential>,
    missing: Reply,
    invalid: Reply,
    strip: bool,
}

impl Filter for TokenAuth {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.tokens.is_empty() {
            return Err("`tokens` is empty: nothing could pass".into());
        }
        if settings.strip {
            settings.header.check_editable("header")?;
        }
        // RFC 9110 section 11.6.1 wants a challenge with every 401. Without a scheme of the operator's, the challenge
        // names the field.
        let challenge = match &settings.scheme {
            Some(scheme) => scheme.clone(),
            None => format!("Token header=\"{}\"", settings.header),
        };
        Ok(TokenAuth {
            missing: settings.missing.reply("Token is missing!", &challenge)?,
            invalid: settings.invalid.reply("Token is invalid!", &challenge)?,
            header: settings.header,
            scheme: settings.scheme,
            tokens: settings.tokens,
            strip: settings.strip,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let value = request.header(&self.header);
        let Some(token) = value.as_ref().and_then(|value| self.token(value)) else {
            return Ok(self.missing.clone().into());
        };
        let accepted = Credential::find(&self.tokens, token).is_some();
        // A second value that the upstream would see, but that nobody checked.
        let ambiguous = !self.strip && request.header_values(&self.header).len() > 1;
        if !accepted || ambiguous {
            return Ok(self.invalid.clone().into());
        }
        if self.strip {
            request.remove_header(&self.header)?;
        }
        Ok(Outcome::Continue)
    }
}

impl TokenAuth {
    /// The token in the field's value: what follows the scheme, or all of it.
    fn token<'value>(&self, value: &'value HeaderValue) -> Option<&'value [u8]> {
        match &self.scheme {
            Some(scheme) => value.credentials(scheme),
            None => Some(value.as_bytes()).filter(|token| !token.is_empty()),
        }
    }
}

impl Refusal {
    fn reply(self, message: &str, challenge: &str) -> Result<Reply, SettingsError> {
        let status = self.status.unwrap_or(401);
        let reply = Reply::json(status, json!({ "message": self.message.as_deref().unwrap_or(message) }));
        match status {
            401 => Ok(reply.header("www-authenticate", challenge)),
            400..=499 => Ok(reply),
            _ => Err("`status` of a refusal is not from 400 to 499".into()),
        }
    }
}

fn default_header() -> HeaderName {
    HeaderName::new("x-access-tokens").expect("it is a token")
}

fn yes() -> bool {
    true
}

register_filter!(TokenAuth);

#[cfg(test)]
mod tests;
