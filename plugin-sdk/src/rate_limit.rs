//! Limits on how often something may happen. Capability `rate-limit`.
//!
//! The gateway counts, across all its threads, in its memory. The algorithm is GCRA, the generic cell rate algorithm of
//! ITU-T I.371: the budget fills evenly, and up to `burst` of it may be taken at once. A shared store, which counts
//! across gateways, comes later, and [`OnStoreError`] then takes effect.
//!
//! Open the limiter in [`Filter::new`](crate::Filter::new). Natively a small limiter on the test's own clock stands in:
//!
//! ```
//! use std::time::Duration;
//!
//! use portcullis_sdk::rate_limit::{Limit, Limiter};
//! use portcullis_sdk::testing;
//!
//! let limiter = Limiter::open(Limit::per(2, Duration::from_secs(60)))?;
//! assert!(limiter.check(b"10.0.0.1", 1).allowed);
//! assert!(limiter.check(b"10.0.0.1", 1).allowed);
//!
//! let refused = limiter.check(b"10.0.0.1", 1);
//! assert!(!refused.allowed);
//! assert_eq!(refused.retry_after, Duration::from_secs(30));
//!
//! testing::advance(refused.retry_after);
//! assert!(limiter.check(b"10.0.0.1", 1).allowed);
//! # Ok::<(), portcullis_sdk::SettingsError>(())
//! ```

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SettingsError, host};

mod key;
mod rate;

pub use key::{Key, OnMissingKey};
pub use rate::Rate;

/// One limit over many keys.
///
/// ```
/// use portcullis_sdk::rate_limit::{Limiter, Rate};
///
/// let rate: Rate = "2/min".parse()?;
/// let limiter = Limiter::open(rate.into())?;
///
/// // Each key has a budget of its own.
/// assert!(limiter.check(b"ann", 2).allowed);
/// assert!(!limiter.check(b"ann", 1).allowed);
/// assert!(limiter.check(b"bob", 1).allowed);
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
pub struct Limiter {
    host: host::Limiter,
}

impl Limiter {
    /// Opens a limiter.
    ///
    /// # Errors
    /// Which option is wrong: a rate, a period or a burst of zero.
    pub fn open(limit: Limit) -> Result<Self, SettingsError> {
        host::Limiter::open(limit).map(|host| Limiter { host })
    }

    /// Takes `cost` from the key's budget if that much is there, and says so.
    ///
    /// Keys are opaque bytes. A cost of more than `burst` is never allowed; a cost of 0 only asks.
    pub fn check(&self, key: &[u8], cost: u32) -> Decision {
        self.host.check(key, cost)
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

/// What a limiter allows.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::rate_limit::{Limit, OnStoreError};
///
/// let limit = Limit::per(100, Duration::from_secs(1)).burst(20).name("search").on_store_error(OnStoreError::Deny);
/// assert_eq!((limit.rate, limit.burst), (100, 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many per period: 1 or more.
    pub rate: u32,
    /// The period: 1 ms or more, in whole milliseconds.
    pub period: Duration,
    /// How many at once: 1 or more. As many as the rate, if nothing else is said.
    pub burst: u32,
    /// Filters of one gateway that name the same limiter with the same options share its counts. Empty, as it is if
    /// nothing else is said: counts of this filter alone.
    pub name: String,
    /// What to do while a shared store does not answer. Without one, as today, it has no effect.
    pub on_store_error: OnStoreError,
}

impl Limit {
    /// So many per period, all of them at once if need be.
    pub fn per(rate: u32, period: Duration) -> Self {
        Limit {
            rate,
            period,
            burst: rate,
            name: String::new(),
            on_store_error: OnStoreError::default(),
        }
    }

    /// Sets how many may happen at once.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Shares the counts under this name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets what to do while a shared store does not answer.
    #[must_use]
    pub fn on_store_error(mut self, on_store_error: OnStoreError) -> Self {
        self.on_store_error = on_store_error;
        self
    }
}

impl From<Rate> for Limit {
    fn from(rate: Rate) -> Self {
        Limit::per(rate.count(), rate.period())
    }
}

/// What a limiter does while a shared store does not answer; in settings `"local"`, `"allow"` or `"deny"`.
///
/// It can be set today and takes effect once there is a shared store: until then the gateway counts in its memory.
///
/// ```
/// use portcullis_sdk::rate_limit::OnStoreError;
///
/// let written: OnStoreError = serde_json::from_str(r#""deny""#)?;
/// assert_eq!(written, OnStoreError::Deny);
/// assert_eq!(OnStoreError::default(), OnStoreError::Local);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OnStoreError {
    /// Count in this gateway alone.
    #[default]
    Local,
    /// Let everything pass.
    Allow,
    /// Let nothing pass.
    Deny,
}

/// The answer to one check. Times are in whole milliseconds.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::rate_limit::{Decision, Limit, Limiter};
///
/// let limiter = Limiter::open(Limit::per(60, Duration::from_secs(60)).burst(10))?;
/// let expected = Decision {
///     allowed: true,
///     remaining: 7,
///     reset: Duration::from_secs(3),
///     retry_after: Duration::ZERO,
/// };
/// assert_eq!(limiter.check(b"ann", 3), expected);
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may happen.
    pub allowed: bool,
    /// How many more may happen right now.
    pub remaining: u32,
    /// Until all of `burst` is available again.
    pub reset: Duration,
    /// Until this may happen: zero where it is allowed.
    pub retry_after: Duration,
}
