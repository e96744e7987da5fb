//! When a certificate is to be replaced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{CertificateIdentifier, Error, SuggestedWindow};

use super::account::restored;
use super::authority::Advice;
use super::store::Store;
use crate::config::resolved::Acme;
use crate::tls::Certificate;

/// When the certificate at hand is to be replaced: when its authority says (RFC 9773), or else after a part of its
/// lifetime.
#[derive(Debug)]
pub(super) struct Renewal {
    certificate: Arc<Certificate>,
    due: SystemTime,
    /// What the authority has said last.
    window: Option<(SystemTime, SystemTime)>,
    ask_again: SystemTime,
}

/// However late the authority wants it: not later than this part of the lifetime.
const LATEST: f64 = 0.95;

/// How often the authority is asked, whatever it wants, and where it does not say.
const SOONEST_QUESTION: Duration = Duration::from_secs(60);
const LATEST_QUESTION: Duration = Duration::from_hours(24);
const USUAL_QUESTION: Duration = Duration::from_hours(6);

impl Renewal {
    /// By its lifetime. Up to a hundredth earlier, so that gateways that were started together do not order together.
    pub(super) fn of(certificate: Arc<Certificate>, settings: &Acme) -> Renewal {
        let share = settings.renew_after.fraction() - fastrand::f64() / 100.0;
        Renewal {
            due: after(&certificate, share),
            certificate,
            window: None,
            ask_again: SystemTime::UNIX_EPOCH,
        }
    }

    pub(super) fn is_of(&self, certificate: &Arc<Certificate>) -> bool {
        Arc::ptr_eq(&self.certificate, certificate)
    }

    pub(super) fn due(&self) -> SystemTime {
        self.due
    }

    /// What the authority knows the certificate by, where it wants to know what an order replaces: it has said when.
    pub(super) fn replaced(&self) -> Option<CertificateIdentifier<'static>> {
        self.window?;
        identifier(&self.certificate)
    }

    /// Asks the authority, where that was long ago.
    pub(super) async fn ask(&mut self, settings: &Acme, store: &Store) {
        let now = SystemTime::now();
        if now < self.ask_again {
            return;
        }
        let wait = match suggestion(settings, store, &self.certificate).await {
            Ok(Some((window, wait))) => {
                self.follow(&window);
                wait.clamp(SOONEST_QUESTION, LATEST_QUESTION)
            }
            Ok(None) => LATEST_QUESTION,
            Err(error) => {
                tracing::debug!(error, "the certificate authority does not say when to renew");
                USUAL_QUESTION
            }
        };
        self.ask_again = now + wait;
    }

    /// A random moment of the window, drawn once for each.
    fn follow(&mut self, window: &SuggestedWindow) {
        let (start, end) = (SystemTime::from(window.start), SystemTime::from(window.end));
        if self.window == Some((start, end)) {
            return;
        }
        self.window = Some((start, end));
        let length = end.duration_since(start).unwrap_or_default();
        let moment = start + length.mul_f64(fastrand::f64());
        self.due = moment.min(after(&self.certificate, LATEST));
    }
}

/// When this part of a certificate's lifetime is over.
fn after(certificate: &Certificate, share: f64) -> SystemTime {
    let lifetime = certificate
        .not_after()
        .duration_since(certificate.not_before())
        .unwrap_or_default();
    certificate.not_before() + lifetime.mul_f64(share.clamp(0.0, 1.0))
}

fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    let first = certificate.key.cert.first()?;
    CertificateIdentifier::try_from(first)
        .ok()
        .map(CertificateIdentifier::into_owned)
}

/// When the authority would have the certificate replaced, and when to ask again. None where it does not say.
async fn suggestion(
    settings: &Acme,
    store: &Store,
    certificate: &Certificate,
) -> Result<Option<(SuggestedWindow, Duration)>, String> {
    let account = restored(&settings.authority, store, &Advice::default()).await;
    let Some(account) = account.map_err(|failure| failure.to_string())? else {
        return Ok(None);
    };
    let Some(identifier) = identifier(certificate) else {
        return Ok(None);
    };
    match account.renewal_info(&identifier).await {
        Ok((info, wait)) => Ok(Some((info.suggested_window, wait))),
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use instant_acme::RenewalInfo;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Good for the 100 days after 2030-01-01.
    fn renewal() -> Renewal {
        let mut params = CertificateParams::new(["shop.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2030, 4, 11);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let certificate = Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        Renewal {
            due: after(&certificate, 0.5),
            certificate: Arc::new(certificate),
            window: None,
            ask_again: SystemTime::UNIX_EPOCH,
        }
    }

    fn window(start: &str, end: &str) -> SuggestedWindow {
        let json = format!("{{\"suggestedWindow\":{{\"start\":\"{start}T00:00:00Z\",\"end\":\"{end}T00:00:00Z\"}}}}");
        let info: RenewalInfo = serde_json::from_str(&json).unwrap();
        info.suggested_window
    }

    fn days(renewal: &Renewal) -> f64 {
        let since = renewal.due().duration_since(renewal.certificate.not_before());
        since.unwrap_or_default().as_secs_f64() / (24.0 * 3600.0)
    }

    #[test]
    fn a_certificate_is_replaced_within_the_window_that_its_authority_says() {
        let mut renewal = renewal();
        assert!((days(&renewal) - 50.0).abs() < 0.001);

        renewal.follow(&window("2030-01-11", "2030-01-13"));
        let drawn = days(&renewal);
        assert!((10.0..=12.0).contains(&drawn), "{drawn}");
        renewal.follow(&window("2030-01-11", "2030-01-13"));
        assert_eq!(days(&renewal), drawn, "drawn once");

        // The authority has to revoke it: at once.
        renewal.follow(&window("2001-01-01", "2001-01-02"));
        assert_eq!(days(&renewal), 0.0);
    }

    #[test]
    fn no_window_is_followed_past_the_end() {
        let mut renewal = renewal();
        for (start, end) in [("2040-01-01", "2040-01-02"), ("2040-01-02", "2039-01-01")] {
            renewal.follow(&window(start, end));
            assert!((days(&renewal) - 95.0).abs() < 0.001, "{}", days(&renewal));
        }
    }
}
