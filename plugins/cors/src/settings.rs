//! What an operator writes.

use portcullis_sdk::{HeaderName, OriginPattern, SettingsError, TimeSpan};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whose pages may read responses: `https://shop.example`, `https://*.example.com`, `http://localhost:*`, or `*`.
    #[schemars(length(min = 1))]
    pub(crate) allow_origins: Vec<OriginPattern>,
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
    pub(crate) max_age: Option<TimeSpan>,
    /// Whether pages may send cookies and `authorization`. Not together with `*`.
    #[serde(default)]
    pub(crate) allow_credentials: bool,
}

impl Settings {
    /// Whether the lists are of names, and do not contradict each other.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let any = self.allow_origins.iter().any(OriginPattern::is_any);
        match self.allow_origins.len() {
            0 => return Err("`allow_origins` is empty: no page could read anything".into()),
            2.. if any => return Err("`allow_origins`: `*` stands alone or not at all".into()),
            _ if self.allow_methods.is_empty() => return Err("`allow_methods` is empty".into()),
            _ => self.no_star("allow_origins", any)?,
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
            self.no_star(setting, names.iter().any(|name| name == "*"))?;
        }
        Ok(())
    }

    /// With credentials, browsers take `*` for a name like any other, and for an origin that fits none.
    fn no_star(&self, setting: &str, star: bool) -> Result<(), SettingsError> {
        match star && self.allow_credentials {
            true => Err(format!("`{setting}` cannot be `*` together with `allow_credentials`: list them").into()),
            false => Ok(()),
        }
    }
}

/// Those that a page may use without a preflight.
fn simple_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(String::from).to_vec()
}
