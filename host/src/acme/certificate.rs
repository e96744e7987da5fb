//! One certificate that is obtained: what it is to be, and the one at hand.

use std::sync::Arc;

use super::store::Store;
use crate::config::resolved::Acme;
use crate::config::{Problem, Problems};
use crate::tls::Obtained;

/// One certificate that is obtained, for all listeners that have it written alike.
#[derive(Debug)]
pub(crate) struct AcmeCertificate {
    /// As configured.
    pub(crate) settings: Acme,
    /// What clients are shown.
    pub(crate) shown: Arc<Obtained>,
}

impl AcmeCertificate {
    /// The certificate that is to be so. Clients are shown what `previous` ones have shown, or what is kept from before.
    pub(crate) fn new(settings: &Acme, previous: &[Arc<AcmeCertificate>]) -> Arc<AcmeCertificate> {
        let same = |other: &&Arc<AcmeCertificate>| other.settings.is_for_the_same(settings);
        let known = previous.iter().find(same).and_then(|other| other.shown.current());
        let current = known.or_else(|| Store::of(settings).certificate(&settings.domains).map(Arc::new));
        Arc::new(AcmeCertificate {
            shown: Arc::new(Obtained::new(&settings.domains, current)),
            settings: settings.clone(),
        })
    }
}

impl Acme {
    /// Whether a certificate that was obtained with these settings is as good with those.
    fn is_for_the_same(&self, other: &Acme) -> bool {
        self.domains == other.domains
            && self.store == other.store
            && self.authority.directory == other.authority.directory
    }
}

/// Makes the folders where certificates are kept, and tries to write there: it would be too late when there is one to be
/// kept.
///
/// # Errors
///
/// Each folder that cannot be written to.
pub(crate) fn prepare_stores(certificates: &[Arc<AcmeCertificate>]) -> Result<(), Problems> {
    let problems = certificates.iter().filter_map(|certificate| {
        let settings = &certificate.settings;
        let error = Store::of(settings).prepare().err()?;
        let problem = Problem::at(
            settings.store.place.clone(),
            "certificates cannot be kept in this folder",
        );
        let help = "the user that the gateway runs as must be able to write there".to_owned();
        Some(problem.label(error.to_string()).help(help))
    });
    Problems::of(problems.collect()).map_or(Ok(()), Err)
}
