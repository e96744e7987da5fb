//! Certificates and keys in the files that a configuration names.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::scope::Scope;
use crate::config::file::Located;
use crate::tls::validity;

/// The certificates in the file that `key` names; at least one.
pub(super) fn certificates(
    scope: &Scope<'_>,
    key: &str,
    written: &Located<String>,
) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = scope.read_file(written)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let readable = |certificate: &CertificateDer<'_>| validity(certificate).is_some();
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
pub(super) fn key(scope: &Scope<'_>, key: &str, written: &Located<String>) -> Option<PrivateKeyDer<'static>> {
    let bytes = scope.read_file(written)?;
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
