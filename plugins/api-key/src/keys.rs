//! The consumers and their keys, kept as hashes.

use std::collections::BTreeMap;
use std::hint::black_box;

use portcullis_sdk::{Secret, SettingsError};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A consumer's key, as an operator writes it: `key` or `sha256`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// The key itself.
    key: Option<Secret>,
    /// The key's SHA-256 in 64 hexadecimal digits, so that the configuration does not hold the key.
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    sha256: Option<String>,
    /// Notes to set where this consumer comes in: `{ plan = "gold" }`.
    #[serde(default)]
    notes: BTreeMap<String, String>,
}

/// Who a key belongs to.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) notes: BTreeMap<String, String>,
    hash: [u8; 32],
}

/// All consumers.
pub(crate) struct Keys(Vec<Known>);

impl Keys {
    pub(crate) fn new(consumers: BTreeMap<String, Consumer>) -> Result<Self, SettingsError> {
        if consumers.is_empty() {
            return Err("`keys` is empty: nothing could pass".into());
        }
        let mut all: Vec<Known> = Vec::with_capacity(consumers.len());
        for (name, consumer) in consumers {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                return Err(format!("`keys`: `{name}` cannot be a consumer's name: only printable ASCII can").into());
            }
            let hash = match (&consumer.key, &consumer.sha256) {
                (Some(key), None) if key.expose().is_empty() => {
                    return Err(format!("`keys.{name}.key` is empty").into());
                }
                (Some(key), None) => Sha256::digest(key.expose().as_bytes()).into(),
                (None, Some(text)) => {
                    from_hex(text).ok_or_else(|| format!("`keys.{name}.sha256` is not 64 hexadecimal digits"))?
                }
                _ => return Err(format!("`keys.{name}` needs `key` or `sha256`, and not both").into()),
            };
            if let Some(other) = all.iter().find(|known| known.hash == hash) {
                return Err(format!("`keys`: `{}` and `{name}` have the same key", other.name).into());
            }
            all.push(Known {
                name,
                notes: consumer.notes,
                hash,
            });
        }
        Ok(Keys(all))
    }

    /// Whose key this is. Always compares with all of them, to the last byte, so that the time taken tells nothing.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Known> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        self.0.iter().fold(
            None,
            |found, known| if same(&known.hash, &hash) { Some(known) } else { found },
        )
    }
}

/// Compares without an early exit; `black_box` keeps the compiler from making one.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
