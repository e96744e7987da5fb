//! Certificates and keys in the files that a configuration names.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::scope::Scope;
use crate::config::file::Located;
use crate::config::interpolate::reason;

/// Reads PEM files, and keeps in mind which.
#[derive(Default)]
pub(super) struct PemFiles {
    /// Every file that was read, or should have been.
    read: RefCell<Vec<PathBuf>>,
}

/// Larger than every bundle of certificates there is.
const LARGEST: u64 = 8 << 20;

/// A certificate that ends within this time is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

impl PemFiles {
    /// The files, to be watched.
    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.read.into_inner()
    }

    /// The certificates in the file that `key` names; at least one.
    pub(super) fn certificates(
        &self,
        scope: &Scope<'_>,
        key: &str,
        written: &Located<String>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(scope, key, written)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let readable = |certificate: &CertificateDer<'_>| X509Certificate::from_der(certificate).is_ok();
        match found {
            Ok(found) if found.is_empty() => {
                let help = "a certificate begins with `-----BEGIN CERTIFICATE-----`";
                let title = format!("the file of `{key}` holds no certificate");
                scope.wrong_help(&written.span, title, "no certificate in PEM form in it", help);
                None
            }
            Ok(found) if found.iter().all(readable) => Some(found),
            _ => {
                let title = format!("the file of `{key}` is damaged");
                scope.wrong(&written.span, title, "a certificate in it cannot be read");
                None
            }
        }
    }

    /// The private key in the file that `key` names.
    pub(super) fn key(
        &self,
        scope: &Scope<'_>,
        key: &str,
        written: &Located<String>,
    ) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.bytes(scope, key, written)?;
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(found) => Some(found),
            Err(pem::Error::NoItemsFound) => {
                let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
                let (label, help) = match encrypted {
                    true => ("it is encrypted", "decrypt it: `openssl pkey -in KEY -out PLAIN_KEY`"),
                    false => (
                        "no private key in PEM form in it",
                        "a key begins with `-----BEGIN PRIVATE KEY-----`",
                    ),
                };
                let title = format!("the file of `{key}` holds no private key that can be used");
                scope.wrong_help(&written.span, title, label, help);
                None
            }
            Err(_) => {
                let title = format!("the file of `{key}` is damaged");
                scope.wrong(&written.span, title, "the private key in it cannot be read");
                None
            }
        }
    }

    fn bytes(&self, scope: &Scope<'_>, key: &str, written: &Located<String>) -> Option<Vec<u8>> {
        let path = scope.folder.join(&written.value);
        self.read.borrow_mut().push(path.clone());
        let size = std::fs::metadata(&path).map(|about| about.len());
        let read = match size {
            Ok(size) if size > LARGEST => Err("larger than 8 MiB".to_owned()),
            _ => std::fs::read(&path).map_err(|error| reason(&error)),
        };
        read.map_err(|reason| {
            let problem = scope.problem(&written.span, format!("the file of `{key}` cannot be read"), reason);
            let note = format!("paths are relative to `{}`", scope.source.path.display());
            scope.report(problem.note(note));
        })
        .ok()
    }
}

/// Reports a certificate that is not valid now, and warns of one that will not be for long.
pub(super) fn check_validity(
    scope: &Scope<'_>,
    key: &str,
    written: &Located<String>,
    certificate: &CertificateDer<'_>,
) {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return;
    };
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let now = SystemTime::now();
    let validity = certificate.validity();
    let (from, to) = (validity.not_before, validity.not_after);
    if to.timestamp() < seconds(now) {
        let title = format!("the certificate of `{key}` has expired");
        let help = "put a new one into the file: it is read again by itself";
        scope.wrong_help(&written.span, title, format!("it was valid until {to}"), help);
    } else if from.timestamp() > seconds(now) {
        let title = format!("the certificate of `{key}` is not valid yet");
        let help = "look at this machine's clock";
        scope.wrong_help(&written.span, title, format!("it is valid from {from}"), help);
    } else if to.timestamp() < seconds(now + SOON) {
        let title = format!("the certificate of `{key}` expires soon");
        let problem = scope.problem(&written.span, title, format!("it is valid until {to}"));
        scope.report(problem.warning());
    }
}
