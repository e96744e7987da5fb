//! Running a filter natively, under `cargo test`: no gateway, no WebAssembly.
//!
//! Make the filter with [`filter`], describe an exchange, [run](Exchange::run) it, and look at what came of it. The
//! exchange goes through all the phases that the filter's [`PHASES`](crate::Filter::PHASES) list, and obeys the
//! gateway's rules on names, values, paths and protected fields.
//!
//! ```
//! use portcullis_sdk::testing::{self, Exchange};
//! use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, Request, SettingsError};
//!
//! struct Mark;
//!
//! impl Filter for Mark {
//!     type Settings = NoSettings;
//!
//!     fn new(_: NoSettings) -> Result<Self, SettingsError> {
//!         Ok(Mark)
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
//!         request.set_header("x-marked", request.client_address())?;
//!         Ok(Outcome::Continue)
//!     }
//! }
//!
//! let filter: Mark = testing::filter(serde_json::json!({}))?;
//! let ran = Exchange::get("/users/7").client_address("10.1.2.3").run(&filter);
//! assert!(ran.replied().is_none());
//! assert_eq!(ran.request().header("x-marked").unwrap(), "10.1.2.3");
//! # Ok::<(), SettingsError>(())
//! ```
//!
//! Time stands still until a test [advances](advance) it, tokens are good or bad as the test [says](accept_token), and
//! log lines can be [looked at](logged). All of it belongs to the thread, which `cargo test` gives each test anew.
//!
//! What is used the wrong way ends the test with a panic that says why.

mod exchange;
mod ran;

mod phases;

mod clock;
mod lines;
mod tokens;

pub(crate) mod host;

mod fields;
mod limiter;
mod path;

use serde_json::Value;

use crate::{Filter, SettingsError, settings};

pub use clock::advance;
pub use exchange::Exchange;
pub use lines::logged;
pub use ran::Ran;
pub use tokens::{accept_token, refuse_token};

/// Makes a filter from its settings as JSON, as the gateway does.
///
/// The gateway holds the settings against the filter's [schema] first; here only their types say no.
///
/// # Errors
/// What is wrong with the settings, as the operator would read it.
///
/// ```
/// use portcullis_sdk::rate_limit::Rate;
/// use portcullis_sdk::{Filter, SettingsError, testing};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use serde_json::json;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Settings {
///     rate: Rate,
/// }
///
/// struct Slow(Rate);
///
/// impl Filter for Slow {
///     type Settings = Settings;
///
///     fn new(settings: Settings) -> Result<Self, SettingsError> {
///         Ok(Slow(settings.rate))
///     }
/// }
///
/// let filter: Slow = testing::filter(json!({ "rate": "5/min" }))?;
/// assert_eq!(filter.0.count(), 5);
///
/// let error = testing::filter::<Slow>(json!({})).err().unwrap();
/// assert_eq!(error.to_string(), "missing field `rate`");
/// # Ok::<(), SettingsError>(())
/// ```
pub fn filter<F: Filter>(settings: Value) -> Result<F, SettingsError> {
    settings::configure(&settings.to_string())
}

/// The JSON Schema (2020-12) that the gateway holds a filter's settings against.
///
/// ```
/// use portcullis_sdk::{Filter, NoSettings, SettingsError, testing};
///
/// struct Nothing;
///
/// impl Filter for Nothing {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings) -> Result<Self, SettingsError> {
///         Ok(Nothing)
///     }
/// }
///
/// assert_eq!(testing::schema::<Nothing>()["additionalProperties"], false);
/// ```
pub fn schema<F: Filter>() -> Value {
    serde_json::from_str(&settings::schema::<F>()).expect("a schema is JSON")
}
