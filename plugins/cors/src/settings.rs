//! What an operator writes.

use portcullis_sdk::{HeaderName, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whose pages may read responses: `https://shop.example`, `https://*.example.com`, `http://localhost:*`, or `*`.
    #[schemars(length(min = 1))]
    pub(crate) allow_origins: Vec<String>,
    /// The methods that pages may use, or `*`.
    #[serde(default = "simple_methods")]
    #[schemars(length(min = 1))]
    pub(crate) allow_methods: Vec<String>,
    /// The request fields that pages may set beside the few that are always allowed, or `*` (all but `authorization`).
    #[serde(default)]
    pub(crate) allow_headers: Vec<String>,
    /// The response fields that pages may read beside the few that are always allowed, or `*`.
    #[serde(default)]
    pub(crate) expose_headers: Vec<String>,
    /// How long browsers may keep the answer to a preflight: `10m`. They have limits of their own, and 5 s by default.
    #[schemars(regex(pattern = "^[0-9]{1,6}[smh]$"))]
    max_age: Option<String>,
    /// Whether pages may send cookies and `authorization`. Not together with `*`.
    #[serde(default)]
    pub(crate) allow_credentials: bool,
}

impl Settings {
    /// Whether the lists are of names, and do not contradict each other.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if self.allow_methods.is_empty() {
            return Err("`allow_methods` is empty".into());
        }
        for (setting, names) in [
            ("allow_methods", &self.allow_methods),
            ("allow_headers", &self.allow_headers),
            ("expose_headers", &self.expose_headers),
        ] {
            // Methods and field names are both tokens, and so is `*`.
            if let Some(wrong) = names.iter().find(|name| HeaderName::new(name).is_err()) {
                return Err(format!("`{setting}`: `{wrong}` is no name").into());
            }
            self.no_star(setting, names)?;
        }
        self.no_star("allow_origins", &self.allow_origins)
    }

    /// With credentials, browsers take `*` for a name like any other, and for an origin that fits none.
    fn no_star(&self, setting: &str, names: &[String]) -> Result<(), SettingsError> {
        if self.allow_credentials && names.iter().any(|name| name == "*") {
            return Err(format!("`{setting}` cannot be `*` together with `allow_credentials`: list them").into());
        }
        Ok(())
    }

    /// `max_age` in seconds.
    pub(crate) fn max_age_seconds(&self) -> Result<Option<u64>, SettingsError> {
        let Some(written) = &self.max_age else { return Ok(None) };
        match seconds(written) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(format!("`max_age`: `{written}` is not like `10m`").into()),
        }
    }
}

fn seconds(written: &str) -> Option<u64> {
    let (number, unit) = written.split_at_checked(written.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(u64::from(number.parse::<u32>().ok()?) * seconds)
}

/// Those that a page may use without a preflight.
fn simple_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(String::from).to_vec()
}
