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
