//! Limits how often a client, a consumer or a route may be called.

mod settings;

use std::time::Duration;

use portcullis_sdk::rate_limit::{Decision, Key, Limiter, OnMissingKey};
use portcullis_sdk::{Failure, Filter, Outcome, Reply, Request, SettingsError, register_filter};

pub use crate::settings::Settings;

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
    /// The note for what a limit in shadow would have refused.
    note: String,
}

impl Filter for RateLimit {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        let limiter = Limiter::open(settings.limit()?)?;
        let name = settings.name.as_deref().unwrap_or("default");
        let (quota, window) = (settings.rate.count(), whole_seconds(settings.rate.period()));
        Ok(RateLimit {
            limiter,
            policy: format!("\"{name}\";q={quota};w={window}"),
            // Two limits on one route must not overwrite each other's note, named or not.
            note: format!("rate-limit:{name}:{quota}/{window}"),
            name: format!("\"{name}\""),
            key: settings.key,
            on_missing_key: settings.on_missing_key,
            cost: settings.cost,
            shadow: settings.shadow,
            headers: settings.headers && !settings.shadow,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        let Some(key) = Key::first(&self.key, self.on_missing_key, request) else {
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
            // Both are lists of policies, so that several limits, and the upstream's own, stand side by side.
            request.append_response_header("ratelimit-policy", &self.policy)?;
            request.append_response_header("ratelimit", self.state(&decision))?;
        }
        Ok(Outcome::Continue)
    }
}

impl RateLimit {
    /// The value of `RateLimit`: what is left, and the seconds until all of it is there again.
    fn state(&self, decision: &Decision) -> String {
        let (left, seconds) = (
            decision.remaining.to_string(),
            whole_seconds(decision.reset).to_string(),
        );
        [&self.name, ";r=", &left, ";t=", &seconds].concat()
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
    let detail = "The request has nothing that its limit could be counted by.";
    Reply::problem(403, "Forbidden", detail).into()
}

/// Seconds, rounded up: nobody is told to come back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

register_filter!(RateLimit);

#[cfg(test)]
mod tests;
