//! The consumers, and their keys.

use std::collections::BTreeMap;

use portcullis_sdk::{Credential, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;

/// A consumer's key, as an operator writes it: `key` or `sha256`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The key itself, or `sha256:` and its hash.
    key: Option<Credential>,
    /// The key's SHA-256 in 64 hexadecimal digits, so that the configuration does not hold the key.
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    sha256: Option<String>,
    /// Notes to set where this consumer comes in: `{ plan = "gold" }`.
    #[serde(default)]
    notes: BTreeMap<String, String>,
}

/// Who a key belongs to.
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) notes: BTreeMap<String, String>,
    key: Credential,
}

impl AsRef<Credential> for Consumer {
    fn as_ref(&self) -> &Credential {
        &self.key
    }
}

/// All consumers, no two of them with the same key.
pub(crate) fn all(keys: BTreeMap<String, Key>) -> Result<Vec<Consumer>, SettingsError> {
    if keys.is_empty() {
        return Err("`keys` is empty: nothing could pass".into());
    }
    let mut owners = BTreeMap::new();
    let mut all = Vec::with_capacity(keys.len());
    for (name, Key { key, sha256, notes }) in keys {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(format!("`keys`: `{name}` cannot be a consumer's name: only printable ASCII can").into());
        }
        let key = match (key, sha256) {
            (Some(key), None) => key.hashed(),
            (None, Some(hash)) => (format!("sha256:{hash}").parse())
                .map_err(|_| format!("`keys.{name}.sha256` is not 64 hexadecimal digits"))?,
            _ => return Err(format!("`keys.{name}` needs `key` or `sha256`, and not both").into()),
        };
        if let Some(other) = owners.insert(key.sha256(), name.clone()) {
            return Err(format!("`keys`: `{other}` and `{name}` have the same key").into());
        }
        all.push(Consumer { name, notes, key });
    }
    Ok(all)
}
