//! Keeps certificates: obtains those that are missing, and replaces those that are due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use instant_acme::CertificateIdentifier;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::account::Holder;
use super::authority::Advice;
use super::certificate::AcmeCertificate;
use super::challenges::Challenges;
use super::failure::{Cost, Failure};
use super::order::{Delivered, order};
use super::renewal::Renewal;
use super::store::{Pause, Store, short_digest};
use crate::config::resolved::Acme;
use crate::telemetry::metrics::{ACME_ORDERS, CONTROL_THREAD};
use crate::telemetry::{Counter, Metrics};
use crate::tls::Certificate;

/// Looks after the certificates of the current configuration, on the runtime that it is used on. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    metrics: Metrics,
    /// By the address of the certificate, which the task keeps alive.
    tasks: HashMap<usize, AbortHandle>,
}

/// How often it is seen whether another gateway has obtained a certificate, and what the clock says.
const LOOK: Duration = Duration::from_secs(60);

/// A pause of before takes no longer, however the clock was set meanwhile.
const LONGEST_REST: Duration = Duration::from_hours(24);

/// One order takes no longer.
const LONGEST_ORDER: Duration = Duration::from_secs(5 * 60);

impl Keeper {
    pub(crate) fn new(metrics: &Metrics) -> Keeper {
        Keeper {
            metrics: metrics.clone(),
            tasks: HashMap::new(),
        }
    }

    /// These are the certificates from now on: new ones are looked after, those that are gone no longer.
    pub(crate) fn update(&mut self, certificates: &[Arc<AcmeCertificate>], challenges: &Arc<Challenges>) {
        let mut before = std::mem::take(&mut self.tasks);
        for certificate in certificates {
            let key = Arc::as_ptr(certificate).addr();
            let known = before.remove(&key).filter(|task| !task.is_finished());
            let task = known.unwrap_or_else(|| {
                let (certificate, challenges) = (certificate.clone(), challenges.clone());
                let (metrics, pause) = (self.metrics.clone(), certificate.settings.retry_longest);
                let keep = move || Keeping::new(certificate.clone(), challenges.clone(), &metrics).keep();
                tokio::spawn(for_ever(pause, keep)).abort_handle()
            });
            self.tasks.insert(key, task);
        }
        for task in before.into_values() {
            task.abort();
        }
    }

    /// Nothing is looked after any more: another gateway does so, or none.
    pub(crate) fn stop(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.abort();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Begins again, after a pause, what should never have ended. Ends it when dropped.
async fn for_ever<T: Future<Output = ()> + Send + 'static>(pause: Duration, begin: impl Fn() -> T) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(begin());
        if let Some(Err(error)) = task.join_next().await {
            tracing::error!(%error, again = seconds(pause), "nobody looked after a certificate any more: a bug");
        }
        sleep(pause).await;
    }
}

/// One certificate that is kept.
struct Keeping {
    certificate: Arc<AcmeCertificate>,
    store: Store,
    challenges: Arc<Challenges>,
    advice: Advice,
    holder: Holder,
    /// When the store's file was written that was looked at last.
    seen: Option<SystemTime>,
    renewal: Option<Renewal>,
    /// Whether the last order has failed.
    is_failing: bool,
    obtained: Counter,
    failed: Counter,
}

impl Keeping {
    fn new(certificate: Arc<AcmeCertificate>, challenges: Arc<Challenges>, metrics: &Metrics) -> Keeping {
        let first: Arc<str> = certificate.settings.domains.first().map_or("", String::as_str).into();
        let counter = |result: &str| {
            let labels = vec![("certificate", first.clone()), ("result", result.into())];
            metrics.counter(CONTROL_THREAD, ACME_ORDERS, labels)
        };
        Keeping {
            store: Store::of(&certificate.settings),
            advice: Advice::default(),
            holder: Holder::default(),
            seen: None,
            renewal: None,
            is_failing: false,
            obtained: counter("ok"),
            failed: counter("failed"),
            certificate,
            challenges,
        }
    }

    async fn keep(mut self) {
        let domains = self.certificate.settings.domains.join(", ");
        let mut pauses = Pauses::new(&self.certificate.settings);
        let rest = self.resume(&mut pauses);
        if !rest.is_zero() {
            let next_try = seconds(rest);
            tracing::info!(
                domains,
                next_try,
                "the last order has failed, before this gateway began"
            );
        }
        let mut not_before = Instant::now() + rest;
        loop {
            self.adopt();
            let due = self.until_due().await;
            let wait = due.max(not_before.saturating_duration_since(Instant::now()));
            if !wait.is_zero() {
                sleep(wait.min(LOOK)).await;
                continue;
            }
            match self.obtain().await {
                Ok(()) => {
                    self.is_failing = false;
                    pauses = Pauses::new(&self.certificate.settings);
                    self.store.forget_pause(&self.certificate.settings.domains);
                }
                Err(failure) => {
                    self.is_failing = true;
                    self.failed.add(1);
                    let pause = pauses.after(&failure, self.advice.take());
                    let current = self.certificate.shown.current();
                    let shown_until = current.map(|one| date(one.not_after()));
                    let (next_try, shown_until) = (seconds(pause), shown_until.as_deref().unwrap_or("none is there"));
                    tracing::warn!(domains, error = %failure, next_try, shown_until, "no certificate was obtained");
                    not_before = Instant::now() + pause;
                    self.keep_pause(&pauses, pause);
                }
            }
        }
    }

    /// How long it is still to be waited after a failure of before; the pauses go on from there.
    fn resume(&self, pauses: &mut Pauses) -> Duration {
        let settings = &self.certificate.settings;
        let kept = self.store.pause(&settings.domains);
        let Some(kept) = kept.filter(|kept| kept.settings == digest(settings)) else {
            return Duration::ZERO;
        };
        pauses.after_refusal = kept.after_refusal.min(pauses.longest);
        pauses.after_silence = kept.after_silence.min(pauses.longest);
        Duration::from_millis(kept.until.saturating_sub(since_1970())).min(LONGEST_REST)
    }

    fn keep_pause(&self, pauses: &Pauses, pause: Duration) {
        let settings = &self.certificate.settings;
        let kept = Pause {
            until: since_1970().saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            after_refusal: pauses.after_refusal,
            after_silence: pauses.after_silence,
            settings: digest(settings),
        };
        if let Err(error) = self.store.keep_pause(&settings.domains, &kept) {
            tracing::warn!(%error, "the pause after a failure cannot be kept: a restart will order at once");
        }
    }

    /// Zero where there is no certificate, or it is time for another one.
    async fn until_due(&mut self) -> Duration {
        let Some(current) = self.certificate.shown.current() else {
            return Duration::ZERO;
        };
        if self.certificate.is_standing_in() {
            return Duration::ZERO;
        }
        let settings = &self.certificate.settings;
        let renewal = match self.renewal.take().filter(|renewal| renewal.is_of(&current)) {
            Some(renewal) => self.renewal.insert(renewal),
            None => self.renewal.insert(Renewal::of(current, settings)),
        };
        renewal.ask(settings, &self.store).await;
        renewal.due().duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Obtains one, if no other gateway has done so meanwhile.
    async fn obtain(&mut self) -> Result<(), Failure> {
        let certificate = self.certificate.clone();
        let lock = self.store.lock().await;
        let _lock = lock.map_err(|error| Failure::here(format!("the store cannot be locked: {error}")))?;
        self.adopt();
        if !self.until_due().await.is_zero() {
            return Ok(());
        }
        // An authority that does not keep to RFC 9773 is not told a second time.
        let replaced = self
            .renewal
            .as_ref()
            .and_then(Renewal::replaced)
            .filter(|_| !self.is_failing);
        let delivered = timeout(LONGEST_ORDER, self.ordered(replaced));
        let late = |_| Failure::here(format!("not within {} s", LONGEST_ORDER.as_secs()));
        let delivered = delivered.await.map_err(late)??;
        let domains = &certificate.settings.domains;
        let issued = usable(&delivered, domains).inspect_err(|_| self.store.forget_order(domains))?;
        let (names, until) = (domains.join(", "), date(issued.not_after()));
        let Delivered { chain, key } = delivered;
        if let Err(error) = self.store.keep_certificate(domains, &chain, &key) {
            tracing::error!(domains = names, %error, "a certificate was obtained, but cannot be kept for the next start");
        }
        self.store.forget_order(domains);
        self.seen = self.store.certificate_changed(domains);
        certificate.shown.replace(Arc::new(issued));
        self.obtained.add(1);
        tracing::info!(domains = names, until, "certificate obtained");
        if self.until_due().await.is_zero() {
            // Or it would be ordered again at once, and again.
            return Err(Failure::in_vain(
                "what was issued is due again already: is this machine's clock right?",
            ));
        }
        Ok(())
    }

    async fn ordered(&mut self, replaced: Option<CertificateIdentifier<'_>>) -> Result<Delivered, Failure> {
        let (settings, store) = (&self.certificate.settings, &self.store);
        let known = self.holder.account(&settings.authority, store, &self.advice).await?;
        match order(settings, &known, store, &self.challenges, replaced.clone()).await {
            Err(failure) if failure.is("accountDoesNotExist") => {
                let account = self.holder.created(&settings.authority, store, &self.advice).await?;
                order(settings, &account, store, &self.challenges, replaced).await
            }
            ordered => ordered,
        }
    }

    /// Shows what another gateway has put into the store, if it is good for longer.
    fn adopt(&mut self) {
        let AcmeCertificate { settings, shown, .. } = &*self.certificate;
        let changed = self.store.certificate_changed(&settings.domains);
        if changed.is_none() || changed == self.seen {
            return;
        }
        self.seen = changed;
        let Some(found) = self.store.certificate(&settings.domains) else {
            return;
        };
        if self.certificate.is_standing_in()
            || shown
                .current()
                .is_none_or(|current| current.not_after() < found.not_after())
        {
            let (domains, until) = (settings.domains.join(", "), date(found.not_after()));
            tracing::info!(domains, until, "certificate taken from the store");
            shown.replace(Arc::new(found));
        }
    }
}

/// What an order depends on.
fn digest(settings: &Acme) -> String {
    let authority = &settings.authority;
    let external = authority.external_account.as_ref();
    let external = external.map(|external| (&external.key_id, external.key.reveal()));
    let whose = (&authority.directory, &authority.contact, external);
    let retry = (settings.retry_first, settings.retry_longest);
    short_digest(&format!("{:?}", (&settings.domains, settings.challenge, whose, retry)))
}

fn since_1970() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What was delivered, if clients can be shown it for these domains.
fn usable(delivered: &Delivered, domains: &[String]) -> Result<Certificate, Failure> {
    let issued = Certificate::from_pem(delivered.chain.as_bytes(), delivered.key.as_bytes())
        .map_err(|error| Failure::in_vain(format!("what was issued cannot be used: {error}")))?;
    match domains.iter().all(|domain| issued.covers(domain)) {
        true => Ok(issued),
        false => Err(Failure::in_vain("what was issued is for other domains")),
    }
}

/// How long it is waited after failures.
#[derive(Debug)]
struct Pauses {
    longest: Duration,
    after_refusal: Duration,
    after_silence: Duration,
}

/// Authorities count refusals. One that did not answer at all can soon be asked again.
const AFTER_SILENCE: Duration = Duration::from_secs(5);

impl Pauses {
    fn new(settings: &Acme) -> Pauses {
        Pauses {
            longest: settings.retry_longest,
            after_refusal: settings.retry_first,
            after_silence: AFTER_SILENCE.min(settings.retry_first),
        }
    }

    /// Not before the authority wants to be asked again. Each is twice the one before; between a half and all of it is
    /// taken, so that many gateways do not come back at once. What cost a certificate is followed by the longest.
    fn after(&mut self, failure: &Failure, not_before: Option<Instant>) -> Duration {
        let next = match failure.cost {
            Cost::Nothing => Some(&mut self.after_silence),
            Cost::Refusal => Some(&mut self.after_refusal),
            Cost::Certificate => None,
        };
        let pause = next.map_or(self.longest, |next| {
            let pause = next.mul_f64(0.5 + fastrand::f64() / 2.0);
            *next = (*next * 2).min(self.longest);
            pause
        });
        let asked_for = not_before.map(|at| at.saturating_duration_since(Instant::now()));
        pause.max(asked_for.unwrap_or_default())
    }
}

fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn seconds(pause: Duration) -> String {
    format!("in {:.1} s", pause.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses() -> Pauses {
        Pauses {
            longest: Duration::from_secs(600),
            after_refusal: Duration::from_secs(120),
            after_silence: AFTER_SILENCE,
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut pauses = pauses();
        let refused = Failure::refused("no");
        for expected in [120, 240, 480, 600, 600] {
            let pause = pauses.after(&refused, None).as_secs_f64();
            let expected = f64::from(expected);
            assert!((expected / 2.0..=expected).contains(&pause), "{pause} of {expected}");
        }
        let vain = pauses.after(&Failure::in_vain("due again"), None);
        assert_eq!(vain, Duration::from_secs(600), "at once: a week has few certificates");
        let silence = pauses.after(&Failure::here("no answer"), None);
        assert!(silence <= AFTER_SILENCE, "{silence:?}");
    }

    #[tokio::test]
    async fn a_task_that_ends_is_begun_again() {
        let (begun, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let begin = move || {
            let begun = begun.clone();
            async move {
                begun.send(()).unwrap();
                panic!("on purpose");
            }
        };
        let task = tokio::spawn(for_ever(Duration::from_millis(1), begin));
        for _ in 0..3 {
            assert!(seen.recv().await.is_some());
        }
        task.abort();
        // And what it has begun ends with it.
        while seen.recv().await.is_some() {}
    }

    #[test]
    fn who_says_when_to_come_back_is_heard() {
        let told = Instant::now() + Duration::from_secs(3600);
        let pause = pauses().after(&Failure::refused("too many"), Some(told));
        assert!(pause > Duration::from_secs(3590), "{pause:?}");
    }
}
