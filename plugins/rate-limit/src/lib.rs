//! Limits how often a client, a consumer or a route may be called.

mod key;
mod settings;

use std::time::Duration;

use portcullis_sdk::rate_limit::{Decision, Limiter};
use portcullis_sdk::{Failure, Filter, Outcome, Phase, Reply, Request, Response, SettingsError, register_filter};

pub use crate::key::Key;
pub use crate::settings::{OnMissingKey, Settings};

/// The filter.
pub struct RateLimit {
    limiter: Limiter,
    key: Vec<Key>,
    on_missing_key: OnMissingKey,
    cost: u32,
    shadow: bool,
    headers: bool,
    /// The policy's name as a structured field string (RFC 9651 section 3.3.3): `"default"`.
    name: String,
    /// The value of `RateLimit-Policy`: `"default";q=5;w=60`.
    policy: String,
    /// The note that carries the value of `RateLimit` from the request to the response.
    note: String,
}

impl Filter for RateLimit {
    type Settings = Settings;

    const PHASES: &'static [Phase] = &[Phase::Request, Phase::Response];

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        let limiter = Limiter::open(settings.limit()?)?;
        let name = format!("\"{}\"", settings.name.as_deref().unwrap_or("default"));
        let (quota, window) = (settings.rate.count(), whole_seconds(settings.rate.period()));
        Ok(RateLimit {
            limiter,
            policy: format!("{name};q={quota};w={window}"),
            // Two limits on one route must not overwrite each other's note, named or not.
            note: format!(
                "rate-limit:{}:{quota}/{window}",
                settings.name.as_deref().unwrap_or("default")
            ),
            name,
            key: settings.key,
            on_missing_key: settings.on_missing_key,
            cost: settings.cost,
            shadow: settings.shadow,
            headers: settings.headers && !settings.shadow,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let Some(key) = self.key(request) else {
            return Ok(if self.shadow { self.let_pass(request)? } else { no_key() });
        };
        let decision = self.limiter.check(&key, self.cost);
        if !decision.allowed {
            return Ok(if self.shadow {
                self.let_pass(request)?
            } else {
                self.refuse(&decision)
            });
        }
        if self.headers {
            request.set_note(&self.note, &self.state(&decision))?;
        }
        Ok(Outcome::Continue)
    }

    fn on_response(&self, request: &mut Request, response: &mut Response) -> Result<Outcome, Failure> {
        // Both are lists of policies, so that several limits, and the upstream's own, stand side by side.
        if self.headers
            && let Some(state) = request.note(&self.note)
        {
            response.append_header("ratelimit-policy", self.policy.as_str())?;
            response.append_header("ratelimit", state)?;
        }
        Ok(Outcome::Continue)
    }
}

impl RateLimit {
    /// The first key that the request has, or what stands in for it.
    fn key(&self, request: &Request) -> Option<Vec<u8>> {
        self.key
            .iter()
            .find_map(|key| key.of(request))
            .or_else(|| match self.on_missing_key {
                OnMissingKey::Deny => None,
                OnMissingKey::ClientIp => Key::client_ip().of(request),
                OnMissingKey::Global => Key::global().of(request),
            })
    }

    /// The value of `RateLimit`: what is left, and the seconds until all of it is there again.
    fn state(&self, decision: &Decision) -> String {
        format!(
            "{};r={};t={}",
            self.name,
            decision.remaining,
            whole_seconds(decision.reset)
        )
    }

    fn refuse(&self, decision: &Decision) -> Outcome {
        let wait = whole_seconds(decision.retry_after).max(1);
        let detail = format!("The limit on requests is reached. Try again in {wait} seconds.");
        let reply = Reply::problem(429, "Too Many Requests", &detail).header("retry-after", wait.to_string());
        if !self.headers {
            return reply.into();
        }
        reply
            .header("ratelimit-policy", self.policy.as_str())
            .header("ratelimit", self.state(decision))
            .into()
    }

    /// In shadow: lets pass what would have been refused, and notes it for the access log.
    fn let_pass(&self, request: &mut Request) -> Result<Outcome, Failure> {
        request.set_note(&self.note, "would-refuse")?;
        Ok(Outcome::Continue)
    }
}

/// 403 rather than 429: without a key there is nothing that waiting would refill.
fn no_key() -> Outcome {
    Reply::problem(
        403,
        "Forbidden",
        "The request has nothing that its limit could be counted by.",
    )
    .into()
}

/// Seconds, rounded up: nobody is told to come back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

register_filter!(RateLimit);

#[cfg(test)]
mod tests;
