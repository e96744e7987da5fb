//! Capability `rate-limit`: limiters whose counts all threads share, kept in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::Resource;

use crate::store::rate::{Quota, RateStore};
use crate::wasm::abi::v0_1::host::rate_limit::{Decision, Host, HostLimiter, LimiterOptions};
use crate::wasm::instance::HostState;

/// A limiter as one instance holds it. Instances serve several routes, so the counts belong to whoever is called: they
/// are looked up once for each caller and kept while the caller stays the same.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenLimiter {
    name: String,
    quota: Quota,
    current: Option<(Arc<str>, Arc<RateStore>)>,
}

/// All counts of the gateway, by scope and quota.
#[derive(Debug, Default)]
pub(crate) struct Limiters {
    stores: Mutex<HashMap<(String, Quota), Arc<RateStore>>>,
}

/// Bytes of a limiter's name.
const LONGEST_NAME: usize = 256;

/// The longest period: a limit per year is a quota, and belongs into a database.
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 24 * 3600);

impl Limiters {
    fn open(&self, scope: &str, quota: Quota) -> Arc<RateStore> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores
            .entry((scope.to_owned(), quota))
            .or_insert_with(|| Arc::new(RateStore::new(quota)))
            .clone()
    }

    pub(super) fn forget_unused(&self) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| Arc::strong_count(store) > 1 || store.was_used_within(UNUSED));
    }
}

/// Counts that no instance holds are kept this long, so that a filter may go and come back over reloads.
const UNUSED: Duration = Duration::from_secs(600);

impl OpenLimiter {
    fn counts(&mut self, limiters: &Limiters, scope: &Arc<str>) -> Arc<RateStore> {
        match &self.current {
            Some((current, store)) if Arc::ptr_eq(current, scope) => store.clone(),
            _ => {
                let store = if self.name.is_empty() {
                    limiters.open(scope, self.quota)
                } else {
                    // A name of its own kind: no filter's scope can be spelled like it.
                    limiters.open(&format!("name:{}", self.name), self.quota)
                };
                self.current = Some((scope.clone(), store.clone()));
                store
            }
        }
    }
}

impl Host for HostState {}

impl HostLimiter for HostState {
    fn open(&mut self, options: LimiterOptions) -> wasmtime::Result<Result<Resource<OpenLimiter>, String>> {
        if !self.configuring {
            return Ok(Err("limiters are opened in `configure` alone".to_owned()));
        }
        if options.name.len() > LONGEST_NAME {
            return Ok(Err(format!("the name of a limiter has at most {LONGEST_NAME} bytes")));
        }
        let period = Duration::from_millis(options.period_ms);
        if period > LONGEST_PERIOD {
            return Ok(Err("the period of a rate is at most a year".to_owned()));
        }
        let quota = match Quota::new(options.rate, period, options.burst) {
            Ok(quota) => quota,
            Err(refused) => return Ok(Err(refused.to_owned())),
        };
        let limiter = OpenLimiter {
            name: options.name,
            quota,
            current: None,
        };
        Ok(Ok(self.table.push(limiter)?))
    }

    fn check(&mut self, limiter: Resource<OpenLimiter>, key: Vec<u8>, cost: u32) -> wasmtime::Result<Decision> {
        let limiter = self.table.get_mut(&limiter)?;
        let Some(filter) = &self.filter else {
            return Err(wasmtime::Error::msg(
                "a limiter is used before the filter is configured",
            ));
        };
        let counts = limiter.counts(&filter.services.limiters, &self.labels.scope);
        let taken = counts.take(&key, cost);
        Ok(Decision {
            allowed: taken.allowed,
            remaining: taken.remaining,
            reset_ms: millis(taken.reset),
            retry_after_ms: millis(taken.retry_after),
        })
    }

    fn drop(&mut self, limiter: Resource<OpenLimiter>) -> wasmtime::Result<()> {
        self.table.delete(limiter)?;
        Ok(())
    }
}

/// Rounded up: a client that waits as long as it is told must then be let through.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
