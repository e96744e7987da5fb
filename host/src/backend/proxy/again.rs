//! Whether a request is sent again after a failure, to whom, and when.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::attempt::Attempt;
use super::failure::{Cause, Failed, retry_after};
use super::{Answer, Proxy, Terms};

use crate::grpc;
use crate::pipeline::Exchange;
use crate::upstream::{Stands, Target, UpstreamBody};

impl Proxy {
    /// Whether an answer says to ask again, so that it is passed on only where that is not to be.
    pub(super) fn asks_again(&self, answer: &Answer, attempt: &Attempt, exchange: &Exchange) -> Option<Cause> {
        if !self.judges_answers || attempt.again.is_none() {
            return None;
        }
        let (on, head) = (&self.retry.on, &answer.response);
        if attempt.idempotent && on.status(head.status()) {
            return Some(Cause::Status);
        }
        let unavailable = on.unavailable && exchange.is_grpc_call() && grpc::is_unavailable(head.headers());
        unavailable.then_some(Cause::Unavailable)
    }

    /// The target to send the request to again, after a pause where there is to be one; or the failure that stays.
    pub(super) async fn again(
        &self,
        failed: Failed,
        attempt: &mut Attempt,
        tried: &[Rc<Target>],
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Result<Rc<Target>, Failed> {
        let cause = failed.cause();
        let unsent = matches!(failed, Failed::Unsent(_));
        if tried.len() >= self.retry.tries as usize || !self.is_cause(cause, unsent || attempt.idempotent) {
            return Err(failed);
        }
        let now = Instant::now();
        let breaker = self.upstream.breaker();
        if breaker.is_some_and(|breaker| breaker.stands(now) == Stands::Open) {
            return Err(failed);
        }
        let other = self.upstream.next(tried, attempt.affinity);
        // Who did not even accept is not asked twice.
        let is_other = other.is_some();
        let same = || {
            self.upstream
                .next(&[], attempt.affinity)
                .filter(|_| cause != Cause::ConnectTimeout)
        };
        let Some(target) = other.or_else(same) else {
            return Err(failed);
        };
        let free = unsent && is_other;
        let wait = if free {
            Duration::ZERO
        } else {
            self.pause(&failed, tried.len())
        };
        // A target may ask for any time.
        if now.checked_add(wait).is_none_or(|then| then >= exchange.deadline) {
            return Err(failed);
        }
        if attempt.request.is_none() {
            match self.repeated(attempt, exchange, terms) {
                Some(request) => attempt.request = Some(request),
                None => return Err(failed),
            }
        }
        // What was never sent is no load.
        if !free && !self.budget.withdraw(now) {
            self.counts.over_budget.add(1);
            return Err(failed);
        }
        self.counts.retried(cause);
        if let Failed::Answered(_, answer) = failed {
            drain(*answer, self.upstream.settings.idle_timeout);
        }
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(target)
    }

    /// Whether this is something to send a request again for; `safe`: a repetition does no harm.
    fn is_cause(&self, cause: Cause, safe: bool) -> bool {
        let on = &self.retry.on;
        match cause {
            Cause::Connect | Cause::ConnectTimeout => on.connect,
            Cause::Reset => on.reset && safe,
            Cause::Timeout => on.timeout && safe,
            Cause::Status | Cause::Unavailable => true,
            Cause::Final => false,
        }
    }

    /// How long to wait after so many tries: half to all of a time that doubles, or as long as the target asks for.
    fn pause(&self, failed: &Failed, tries: usize) -> Duration {
        let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let longest = self.retry.longest_backoff;
        let backoff = self.retry.backoff.saturating_mul(1 << doublings).min(longest);
        let backoff = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        let asked = match failed {
            Failed::Answered(_, answer) => retry_after(answer.response.status(), answer.response.headers()),
            _ => None,
        };
        asked.map_or(backoff, |asked| asked.max(backoff))
    }
}

/// Bytes of a response, and time, that are spent on keeping its connection.
const DRAINED: usize = 64 << 10;
const DRAINING: Duration = Duration::from_secs(1);

/// Reads an answer that nobody wants, so that its connection can be used again. One that is long or slow is not worth it:
/// then the connection is closed.
pub(super) fn drain(answer: Answer, idle_timeout: Duration) {
    let Answer { response, lease } = answer;
    let mut body = UpstreamBody::new(response.into_body(), lease, None, idle_timeout);
    if body.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(timeout(DRAINING, async move {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
            match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }));
}
