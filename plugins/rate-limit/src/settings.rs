//! What an operator writes, and the limit that it asks for.

use portcullis_sdk::SettingsError;
use portcullis_sdk::rate_limit::{Key, Limit, OnMissingKey, OnStoreError, Rate};
use schemars::JsonSchema;
use serde::Deserialize;

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How often: `5/min`, `10/s`, `100/hour`, `1000/day`.
    pub(crate) rate: Rate,
    /// How many at once; the count of `rate` by default.
    #[schemars(range(min = 1))]
    burst: Option<u32>,
    /// What requests are counted by: the first of these that a request has.
    #[serde(default = "by_client")]
    #[schemars(length(min = 1))]
    pub(crate) key: Vec<Key>,
    /// What becomes of a request that has none of the keys.
    #[serde(default)]
    pub(crate) on_missing_key: OnMissingKey,
    /// What a request takes from the budget.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub(crate) cost: u32,
    /// Counts, but refuses nothing: what would have been refused is noted for the access log.
    #[serde(default)]
    pub(crate) shadow: bool,
    /// Filters with the same name and limit count together, on all routes. The policy's name in the answer, too.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub(crate) name: Option<String>,
    /// What to do while a shared store does not answer. Counts are kept in the gateway's memory so far, so it has no
    /// effect yet.
    #[serde(default)]
    on_store_error: OnStoreError,
    /// Whether responses carry `RateLimit-Policy` and `RateLimit`.
    #[serde(default = "yes")]
    pub(crate) headers: bool,
}

impl Settings {
    /// The limit that is asked for.
    pub(crate) fn limit(&self) -> Result<Limit, SettingsError> {
        let burst = self.burst.unwrap_or(self.rate.count());
        let name = self.name.as_deref().unwrap_or_default();
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if self.key.is_empty() {
            return Err("`key` is empty: there is nothing to count by".into());
        }
        if self.cost == 0 || self.cost > burst {
            return Err(format!("`cost` is {}, and must be from 1 to {burst}, the burst", self.cost).into());
        }
        if name.len() > 64 || !name.bytes().all(in_name) {
            return Err(format!("`name`: `{name}` is not made of 1 to 64 letters, digits, `_`, `.` and `-`").into());
        }
        let limit = Limit::from(self.rate).burst(burst);
        Ok(limit.name(name).on_store_error(self.on_store_error))
    }
}

fn by_client() -> Vec<Key> {
    vec![Key::client_ip()]
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
