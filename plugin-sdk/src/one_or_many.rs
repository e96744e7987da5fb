//! A list that may be written without its brackets.

use schemars::JsonSchema;
use serde::Deserialize;

/// One value or a list of them, for settings: `"shop"` or `["shop", "office"]`.
///
/// ```
/// use portcullis_sdk::OneOrMany;
/// use serde_json::{from_value, json};
///
/// let one: OneOrMany<String> = from_value(json!("shop"))?;
/// assert_eq!(one.into_vec(), ["shop"]);
/// let many: OneOrMany<u16> = from_value(json!([502, 503]))?;
/// assert_eq!(many.into_vec(), [502, 503]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum OneOrMany<T> {
    /// `"shop"`
    One(T),
    /// `["shop", "office"]`
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// As a list either way.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}
