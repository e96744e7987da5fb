//! The host's capabilities, called. What a plugin does not use, the linker drops together with its import.

use std::time::Duration;

use serde_json::{Map, Value};

use super::bindings::portcullis::filter::{jwt, log as wit_log, rate_limit};
use crate::SettingsError;
use crate::jwt::{Algorithm, KeySource, VerifierOptions, VerifyError};
use crate::log::Level;
use crate::rate_limit::{Decision, Limit, OnStoreError};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => wit_log::Level::Trace,
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
        Level::Error => wit_log::Level::Error,
    };
    wit_log::log(level, message);
}

pub(crate) struct Limiter(rate_limit::Limiter);

impl Limiter {
    pub(crate) fn open(limit: Limit) -> Result<Self, SettingsError> {
        let options = rate_limit::LimiterOptions {
            name: limit.name,
            rate: limit.rate,
            period_ms: limit.period.as_millis().try_into().unwrap_or(u64::MAX),
            burst: limit.burst,
            on_store_error: match limit.on_store_error {
                OnStoreError::Local => rate_limit::OnStoreError::Local,
                OnStoreError::Allow => rate_limit::OnStoreError::Allow,
                OnStoreError::Deny => rate_limit::OnStoreError::Deny,
            },
        };
        Ok(Limiter(rate_limit::Limiter::open(&options)?))
    }

    pub(crate) fn check(&self, key: &[u8], cost: u32) -> Decision {
        let decision = self.0.check(key, cost);
        Decision {
            allowed: decision.allowed,
            remaining: decision.remaining,
            reset: Duration::from_millis(decision.reset_ms),
            retry_after: Duration::from_millis(decision.retry_after_ms),
        }
    }
}

pub(crate) struct Verifier(jwt::Verifier);

impl Verifier {
    pub(crate) fn open(options: VerifierOptions) -> Result<Self, SettingsError> {
        let options = jwt::VerifierOptions {
            keys: options.keys.into_iter().map(key_source).collect(),
            algorithms: options.algorithms.into_iter().map(algorithm).collect(),
            issuers: options.issuers,
            audiences: options.audiences,
            required_claims: options.required_claims,
            leeway_seconds: options.leeway.as_secs().try_into().unwrap_or(u32::MAX),
        };
        Ok(Verifier(jwt::Verifier::open(&options)?))
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Map<String, Value>, VerifyError> {
        let claims = self.0.verify(token).map_err(refusal)?;
        serde_json::from_str(&claims).map_err(|_| VerifyError::Malformed)
    }
}

fn key_source(source: KeySource) -> jwt::KeySource {
    match source {
        KeySource::Secret(secret) => jwt::KeySource::Secret(secret),
        KeySource::Pem(pem) => jwt::KeySource::Pem(pem),
        KeySource::Jwks(json) => jwt::KeySource::Jwks(json),
        KeySource::JwksFile(path) => jwt::KeySource::JwksFile(path),
        KeySource::JwksUrl(url) => jwt::KeySource::JwksUrl(url),
    }
}

fn algorithm(algorithm: Algorithm) -> jwt::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jwt::Algorithm::Hs256,
        Algorithm::Hs384 => jwt::Algorithm::Hs384,
        Algorithm::Hs512 => jwt::Algorithm::Hs512,
        Algorithm::Rs256 => jwt::Algorithm::Rs256,
        Algorithm::Rs384 => jwt::Algorithm::Rs384,
        Algorithm::Rs512 => jwt::Algorithm::Rs512,
        Algorithm::Ps256 => jwt::Algorithm::Ps256,
        Algorithm::Ps384 => jwt::Algorithm::Ps384,
        Algorithm::Ps512 => jwt::Algorithm::Ps512,
        Algorithm::Es256 => jwt::Algorithm::Es256,
        Algorithm::Es384 => jwt::Algorithm::Es384,
        Algorithm::EdDsa => jwt::Algorithm::Eddsa,
    }
}

fn refusal(error: jwt::VerifyError) -> VerifyError {
    match error {
        jwt::VerifyError::Malformed => VerifyError::Malformed,
        jwt::VerifyError::Algorithm => VerifyError::Algorithm,
        jwt::VerifyError::UnknownKey => VerifyError::UnknownKey,
        jwt::VerifyError::Signature => VerifyError::Signature,
        jwt::VerifyError::Expired => VerifyError::Expired,
        jwt::VerifyError::NotYetValid => VerifyError::NotYetValid,
        jwt::VerifyError::Issuer => VerifyError::Issuer,
        jwt::VerifyError::Audience => VerifyError::Audience,
        jwt::VerifyError::MissingClaim(name) => VerifyError::MissingClaim(name),
        jwt::VerifyError::KeysUnavailable => VerifyError::KeysUnavailable,
    }
}
