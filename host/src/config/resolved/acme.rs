//! `acme` of a listener's `tls`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::discovery::Roots;
use crate::config::source::Place;
use crate::config::units::Share;

/// A certificate that the gateway obtains itself (RFC 8555).
#[derive(Debug, Clone, PartialEq)]
pub struct Acme {
    /// The hosts that it is for, in lower case. At least one, none twice.
    pub domains: Vec<String>,
    /// Who issues it.
    pub authority: AcmeAuthority,
    /// How control of the domains is proven. By TLS by default.
    pub challenge: AcmeChallenge,
    /// Where it is kept.
    pub store: AcmeStore,
    /// The part of its lifetime after which it is replaced, where the authority does not say when. 66 % by default.
    pub renew_after: Share,
    /// The first pause after a refusal. 2 minutes by default.
    pub retry_first: Duration,
    /// The longest. 6 hours by default.
    pub retry_longest: Duration,
}

/// Somebody who issues certificates, and the account there.
#[derive(Debug, Clone, PartialEq)]
pub struct AcmeAuthority {
    /// The URL of its directory. Let's Encrypt's by default.
    pub directory: String,
    /// What its own certificate must lead to; none: the system's roots.
    pub roots: Option<Roots>,
    /// `mailto:` URLs that it may write to.
    pub contact: Vec<String>,
    /// An account that is there already, which the gateway's own is bound to (RFC 8555 section 7.3.4).
    pub external_account: Option<ExternalAccount>,
}

/// What a certificate authority knows an operator by.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalAccount {
    /// What it calls the account.
    pub key_id: String,
    /// The account's key.
    pub key: SecretBytes,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    pub(crate) fn new(bytes: Vec<u8>) -> SecretBytes {
        SecretBytes(bytes)
    }

    /// The secret itself, for whom it is meant.
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// How control of a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// On port 443, within TLS (RFC 8737).
    TlsAlpn01,
    /// On port 80 (RFC 8555 section 8.3).
    Http01,
}

/// A folder for account keys and certificates.
#[derive(Debug, Clone)]
pub struct AcmeStore {
    /// Where it is.
    pub folder: PathBuf,
    /// Where it is written.
    pub place: Place,
}

/// Two are equal where the folder is: a line more above it in the configuration is no reason to begin anew.
impl PartialEq for AcmeStore {
    fn eq(&self, other: &AcmeStore) -> bool {
        self.folder == other.folder
    }
}
