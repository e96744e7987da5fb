//! From the settings that an operator wrote to a filter, or to what is wrong with them.

use std::error::Error;
use std::fmt;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

use crate::{EditError, Filter};

mod place;
pub(crate) mod text;

/// What is wrong with a filter's settings. The operator reads it, so name the setting.
///
/// ```
/// use portcullis_sdk::SettingsError;
///
/// fn new(tokens: &[String]) -> Result<(), SettingsError> {
///     if tokens.is_empty() {
///         return Err("`tokens` is empty: nobody could come in".into());
///     }
///     Ok(())
/// }
/// assert_eq!(new(&[]).unwrap_err().to_string(), "`tokens` is empty: nobody could come in");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    text: String,
}

impl SettingsError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        SettingsError { text: text.into() }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for SettingsError {}

impl From<String> for SettingsError {
    fn from(text: String) -> Self {
        SettingsError::new(text)
    }
}

impl From<&str> for SettingsError {
    fn from(text: &str) -> Self {
        SettingsError::new(text)
    }
}

impl From<EditError> for SettingsError {
    fn from(error: EditError) -> Self {
        SettingsError::new(error.to_string())
    }
}

/// The settings of a filter that has none: any key is an error.
///
/// ```
/// use portcullis_sdk::{Filter, NoSettings, SettingsError, testing};
/// use serde_json::json;
///
/// struct Plain;
///
/// impl Filter for Plain {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings) -> Result<Self, SettingsError> {
///         Ok(Plain)
///     }
/// }
///
/// assert!(testing::filter::<Plain>(json!({})).is_ok());
/// assert!(testing::filter::<Plain>(json!({ "colour": "red" })).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Makes a filter from its settings as JSON. The gateway's `configure` and a native test both come through here.
pub(crate) fn configure<F: Filter>(settings: &str) -> Result<F, SettingsError> {
    let settings = serde_json::from_str(settings).map_err(|error| {
        // Without its place, which counts in JSON that no operator ever saw.
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        match place::path(settings, error.line(), error.column()) {
            path if path.is_empty() => SettingsError::new(text),
            path => SettingsError::new(format!("{path}: {text}")),
        }
    })?;
    F::new(settings)
}

/// The JSON Schema (2020-12) of a filter's settings.
pub(crate) fn schema<F: Filter>() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<F::Settings>();
    schema.as_value().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read by serde")]
    struct Settings {
        limits: Vec<Limit>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only read by serde")]
    struct Limit {
        name: String,
        rate: crate::rate_limit::Rate,
    }

    struct Anything;

    impl Filter for Anything {
        type Settings = Settings;

        fn new(_: Settings) -> Result<Self, SettingsError> {
            Ok(Anything)
        }
    }

    fn error(settings: &str) -> String {
        configure::<Anything>(settings)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn an_error_names_the_setting() {
        assert_eq!(error(r#"{"limits":[{"name":"a","rate":"5/min"}]}"#), "");
        assert_eq!(
            error(r#"{"limits":[{"name":"a","rate":"5/min"},{"name":7,"rate":"5/min"}]}"#),
            "limits[1].name: invalid type: integer `7`, expected a string"
        );
        assert_eq!(error(r#"{"limits":[{"name":"a"}]}"#), "limits[0]: missing field `rate`");
        assert_eq!(error(r"{}"), "missing field `limits`");
        assert!(error(r#"{"limit":[]}"#).contains("unknown field `limit`, expected `limits`"));
        assert_eq!(
            error(r#"{"limits":[{"name":"a","rate":"often"}]}"#),
            "limits[0].rate: `often` is no rate: write `5/min`, per s, min, hour or day"
        );
    }

    #[test]
    fn a_schema_names_its_draft_and_its_properties() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Anything>()).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["properties"]["limits"]["type"], "array");
        assert_eq!(schema["additionalProperties"], false);
    }
}
