//! One certificate that is obtained: what it is to be, and the one at hand.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::SystemTime;

use super::store::Store;
use crate::config::resolved::Acme;
use crate::config::{Problem, Problems};
use crate::tls::{Certificate, Obtained};

/// One certificate that is obtained, for all listeners that have it written alike.
#[derive(Debug)]
pub(crate) struct AcmeCertificate {
    /// As configured.
    pub(crate) settings: Acme,
    /// What clients are shown.
    pub(crate) shown: Arc<Obtained>,
    /// What they are shown until there is one as configured: it was obtained for other domains, or elsewhere.
    stand_in: Option<Arc<Certificate>>,
}

impl AcmeCertificate {
    /// The certificate that is to be so. Clients are shown what `previous` ones have shown, or what is kept from before.
    /// Where none of that is as configured, the best of it stands in: a host that is served already is not to be out of
    /// reach until the authority has answered for one that was added.
    pub(crate) fn new(settings: &Acme, previous: &[Arc<AcmeCertificate>]) -> Arc<AcmeCertificate> {
        let store = Store::of(settings);
        let same = |other: &&Arc<AcmeCertificate>| other.settings.is_for_the_same(settings) && !other.is_standing_in();
        let known = previous.iter().find(same).and_then(|other| other.shown.current());
        let current = known.or_else(|| store.certificate(&settings.domains).map(Arc::new));
        let stand_in = match &current {
            Some(_) => None,
            None => {
                let shown = previous.iter().filter_map(|other| other.shown.current());
                best(shown.chain(store.certificates().map(Arc::new)), &settings.domains)
            }
        };
        Arc::new(AcmeCertificate {
            shown: Arc::new(Obtained::new(&settings.domains, current.or_else(|| stand_in.clone()))),
            settings: settings.clone(),
            stand_in,
        })
    }

    /// Whether what clients are shown is another one than was configured, which is to be obtained.
    pub(super) fn is_standing_in(&self) -> bool {
        let Some(stand_in) = &self.stand_in else { return false };
        self.shown
            .current()
            .is_some_and(|current| Arc::ptr_eq(&current, stand_in))
    }
}

/// The one that is for most of these domains, of those that have not ended; for one at least.
fn best(certificates: impl Iterator<Item = Arc<Certificate>>, domains: &[String]) -> Option<Arc<Certificate>> {
    let now = SystemTime::now();
    certificates
        .map(|one| {
            let covered = domains.iter().filter(|domain| one.covers(domain)).count();
            (covered, one)
        })
        .filter(|(covered, one)| *covered > 0 && one.not_after() > now)
        .min_by_key(|(covered, one)| Reverse((*covered, one.not_after())))
        .map(|(_, one)| one)
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
