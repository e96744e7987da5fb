//! What requests are counted by.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::text::{shown_as_text, text_setting};
use crate::{HeaderName, Request, SettingsError};

/// What requests are counted by, for settings: `"client-ip"`, `"jwt:sub"`.
///
/// | key | is |
/// |---|---|
/// | `client-ip` | the client's address; of IPv6 the first 64 bits, since one household has all that begin with them |
/// | `api-key` | the note that the filter `api-key` leaves: the consumer |
/// | `jwt:NAME` | the note that the filter `jwt-auth` leaves: a claim |
/// | `header:NAME` | the first value of a field |
/// | `path:NAME` | a parameter of the route's path |
/// | `route` | the route's name: all its clients together |
/// | `global` | everything that the limit sees, together |
///
/// ```
/// use portcullis_sdk::Request;
/// use portcullis_sdk::rate_limit::{Key, Limiter, OnMissingKey};
///
/// fn may_pass(limiter: &Limiter, keys: &[Key], request: &Request) -> bool {
///     match Key::first(keys, OnMissingKey::Deny, request) {
///         Some(key) => limiter.check(&key, 1).allowed,
///         None => false,
///     }
/// }
///
/// let keys: Vec<Key> = serde_json::from_str(r#"["jwt:sub", "client-ip"]"#)?;
/// assert_eq!(keys[1], Key::client_ip());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    written: String,
    part: Part,
}

/// The part of an exchange that a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    ClientAddress,
    /// The note of the same name as the key.
    Note,
    Header(HeaderName),
    PathParameter(String),
    Route,
    /// Nothing: everything is counted together.
    Everything,
}

/// What becomes of a request that has none of the keys, for settings: `"deny"`, `"client-ip"` or `"global"`.
///
/// A missing key is never unlimited.
///
/// ```
/// use portcullis_sdk::rate_limit::OnMissingKey;
///
/// let written: OnMissingKey = serde_json::from_str(r#""client-ip""#)?;
/// assert_eq!(written, OnMissingKey::ClientIp);
/// assert_eq!(OnMissingKey::default(), OnMissingKey::Deny);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissingKey {
    /// It is refused.
    #[default]
    Deny,
    /// It is counted by the client's address.
    ClientIp,
    /// It is counted together with all others that have none.
    Global,
}

impl Key {
    /// The key `client-ip`.
    pub fn client_ip() -> Self {
        Key {
            written: "client-ip".into(),
            part: Part::ClientAddress,
        }
    }

    /// The bytes that this request is counted by, or none where it has not got that part, or has it empty.
    ///
    /// They begin with the key as written, so that a claim `10.0.0.1` is never taken for that address.
    pub fn of(&self, request: &Request) -> Option<Vec<u8>> {
        let value = match &self.part {
            Part::ClientAddress => return Some(client(request)),
            Part::Note => request.note(&self.written)?.into_bytes(),
            Part::Header(name) => request.header(name)?.into_bytes(),
            Part::PathParameter(name) => request.path_parameter(name)?.into_bytes(),
            Part::Route => request.route().into_bytes(),
            Part::Everything => return Some(EVERYTHING.to_vec()),
        };
        (!value.is_empty()).then(|| [self.written.as_bytes(), b"\0", &value].concat())
    }

    /// The bytes of the first of these keys that a request has, or what stands in for it; none where it is to be
    /// refused.
    pub fn first(keys: &[Key], on_missing: OnMissingKey, request: &Request) -> Option<Vec<u8>> {
        let found = keys.iter().find_map(|key| key.of(request));
        found.or_else(|| match on_missing {
            OnMissingKey::Deny => None,
            OnMissingKey::ClientIp => Some(client(request)),
            OnMissingKey::Global => Some(EVERYTHING.to_vec()),
        })
    }
}

const EVERYTHING: &[u8] = b"global\0*";

fn client(request: &Request) -> Vec<u8> {
    let address = request.client_address();
    let mut key = Vec::with_capacity(32);
    key.extend(b"client-ip\0");
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => key.extend(address.octets()),
        Ok(IpAddr::V6(address)) => key.extend(address.octets().iter().take(8)),
        Err(_) => key.extend(address.bytes()),
    }
    key
}

impl FromStr for Key {
    type Err = SettingsError;

    fn from_str(written: &str) -> Result<Self, SettingsError> {
        let part = match written.split_once(':') {
            None if written == "client-ip" => Part::ClientAddress,
            None if written == "api-key" => Part::Note,
            None if written == "route" => Part::Route,
            None if written == "global" => Part::Everything,
            Some(("jwt", claim)) if !claim.is_empty() => Part::Note,
            Some(("path", name)) if !name.is_empty() => Part::PathParameter(name.into()),
            Some(("header", name)) => {
                Part::Header(HeaderName::new(name).map_err(|_| format!("`{name}` is no header field name"))?)
            }
            _ => return Err("there are client-ip, api-key, jwt:NAME, header:NAME, path:NAME, route, global".into()),
        };
        let written = written.to_owned();
        Ok(Key { written, part })
    }
}

/// As it was written.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

text_setting!(Key, "key", { "type": "string", "pattern": "^(client-ip|api-key|route|global|(jwt|header|path):.+)$" });
shown_as_text!(Key);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_back_as_it_was() {
        for written in [
            "client-ip",
            "api-key",
            "jwt:sub",
            "header:X-A",
            "path:id",
            "route",
            "global",
        ] {
            let key: Key = serde_json::from_value(written.into()).unwrap();
            assert_eq!(serde_json::to_value(key).unwrap(), written);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_there_is() {
        for (wrong, why) in [
            (
                "ip",
                "there are client-ip, api-key, jwt:NAME, header:NAME, path:NAME, route, global",
            ),
            ("jwt:", "there are client-ip"),
            ("path:", "there are client-ip"),
            ("header:a b", "`a b` is no header field name"),
        ] {
            let error = serde_json::from_value::<Key>(wrong.into()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is no key: {why}")), "{error}");
        }
    }
}
