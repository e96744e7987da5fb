//! What a client shows to come in, and what the settings hold of it.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::settings::text::secret_setting;
use crate::{HeaderValue, Secret, SettingsError};

/// A token or key that a client has to show, for settings: the text itself, or `sha256:` and its hash in hexadecimal.
///
/// With a hash, neither the configuration nor the gateway's memory holds what lets somebody in. `printf '%s' "$TOKEN" |
/// sha256sum` makes one. It is a plain SHA-256, so that a request costs well under a microsecond: what is hashed has to
/// be long and random, and no password. `Debug` shows `…`.
///
/// ```
/// use portcullis_sdk::{Credential, SettingsError};
///
/// let plain: Credential = "open sesame".parse()?;
/// let hashed: Credential = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb".parse()?;
/// for credential in [plain, hashed] {
///     assert!(credential.matches(b"open sesame"));
///     assert!(!credential.matches(b"open barley"));
///     assert_eq!(format!("{credential:?}"), "…");
/// }
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone)]
pub struct Credential(Kept);

#[derive(Clone)]
enum Kept {
    Plain(Secret),
    Hashed([u8; 32]),
}

impl Credential {
    /// Whether this is what a client has shown, in a time that does not tell how much of it was right.
    pub fn matches(&self, shown: &[u8]) -> bool {
        Credential::find(std::slice::from_ref(self), shown).is_some()
    }

    /// The one of these that a client has shown.
    ///
    /// All of them are looked at, so that the time taken does not tell which it is. What is shown is hashed once at
    /// most, and not at all where nothing is kept as a hash.
    ///
    /// ```
    /// use portcullis_sdk::{Credential, SettingsError};
    ///
    /// let tokens: Vec<Credential> = vec!["one".parse()?, "two".parse()?];
    /// assert!(Credential::find(&tokens, b"two").is_some());
    /// assert!(Credential::find(&tokens, b"three").is_none());
    /// # Ok::<(), SettingsError>(())
    /// ```
    pub fn find<'all, T: AsRef<Credential>>(all: &'all [T], shown: &[u8]) -> Option<&'all T> {
        let mut hash = None;
        all.iter().fold(None, |found, one| {
            let is_it = match &one.as_ref().0 {
                Kept::Plain(secret) => secret.matches(shown),
                Kept::Hashed(own) => same(own, hash.get_or_insert_with(|| Sha256::digest(shown).into())),
            };
            if is_it { Some(one) } else { found }
        })
    }

    /// The same, kept as its hash: better for a long list, since hashes are compared faster than texts.
    #[must_use]
    pub fn hashed(self) -> Self {
        Credential(Kept::Hashed(self.sha256()))
    }

    /// Its SHA-256, by which two can be told apart in `Filter::new`. Compare nothing from a client with it.
    pub fn sha256(&self) -> [u8; 32] {
        match &self.0 {
            Kept::Plain(secret) => Sha256::digest(secret.expose().as_bytes()).into(),
            Kept::Hashed(hash) => *hash,
        }
    }
}

impl HeaderValue {
    /// What follows an authentication scheme: the `abc` of `Bearer abc`. None where there is another scheme or nothing.
    ///
    /// Schemes are compared without regard to case (RFC 9110 section 11.1), and one space or more follows them (section
    /// 11.4). A tab counts as a space: to many servers it is one.
    ///
    /// ```
    /// use portcullis_sdk::HeaderValue;
    ///
    /// assert_eq!(HeaderValue::from("bearer abc").credentials("Bearer"), Some(&b"abc"[..]));
    /// assert_eq!(HeaderValue::from("Basic abc").credentials("Bearer"), None);
    /// assert_eq!(HeaderValue::from("Bearer ").credentials("Bearer"), None);
    /// ```
    pub fn credentials(&self, scheme: &str) -> Option<&[u8]> {
        let (word, rest) = self.as_bytes().split_at_checked(scheme.len())?;
        let blank = rest.first().is_some_and(|&byte| byte == b' ' || byte == b'\t');
        let rest = rest.trim_ascii();
        (blank && word.eq_ignore_ascii_case(scheme.as_bytes()) && !rest.is_empty()).then_some(rest)
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

impl FromStr for Credential {
    type Err = SettingsError;

    // What is wrong is said without the text: it may be a secret.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text.strip_prefix("sha256:") {
            None if text.is_empty() => Err("it is empty".into()),
            None => Ok(Credential(Kept::Plain(Secret::from(text.to_owned())))),
            Some(hash) => match from_hex(hash) {
                Some(hash) => Ok(Credential(Kept::Hashed(hash))),
                None => Err("what follows `sha256:` is not 64 hexadecimal digits".into()),
            },
        }
    }
}

impl AsRef<Credential> for Credential {
    fn as_ref(&self) -> &Credential {
        self
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

secret_setting!(Credential, "credential", { "type": "string", "minLength": 1, "writeOnly": true });

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_hash_and_its_text_are_the_same_credential() {
        let (hashed, plain): (Credential, Credential) = (ABC.parse().unwrap(), "abc".parse().unwrap());
        assert_eq!(hashed.sha256(), plain.sha256());
        assert!(hashed.matches(b"abc") && plain.clone().hashed().matches(b"abc"));
        assert!(!hashed.matches(ABC.as_bytes()));
        assert!(Credential::find(&[plain, hashed], b"ab").is_none());
    }

    #[test]
    fn an_error_does_not_show_what_may_be_secret() {
        for (wrong, why) in [
            ("\"\"", "it is empty"),
            (
                "\"sha256:xyzzy\"",
                "what follows `sha256:` is not 64 hexadecimal digits",
            ),
        ] {
            let error = serde_json::from_str::<Credential>(wrong).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("xyzzy"), "{error}");
        }
    }

    #[test]
    fn credentials_follow_their_scheme_and_a_space() {
        let read = |value: &str| HeaderValue::from(value).credentials("Bearer").map(<[u8]>::to_vec);
        for written in ["BEARER  s3cret", "Bearer\ts3cret", "Bearer \t s3cret"] {
            assert_eq!(read(written).unwrap(), b"s3cret", "{written:?}");
        }
        for other in ["s3cret", "Bearer", "Bearers3cret", "Bear", "Basic s3cret"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
