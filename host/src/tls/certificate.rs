//! A certificate with its key, as read from files.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that a listener shows, with the chain to its issuer and its key.
///
/// Only its names and dates are ever shown.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    names: Vec<String>,
    validity: (SystemTime, SystemTime),
}

/// What is wrong with a certificate or its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate's file holds none.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// What the certificate's file holds is none.
    #[error("not a certificate that can be read")]
    BadCertificate,
    /// The key's file holds none.
    #[error("no private key in PEM form")]
    NoKey,
    /// What the key's file holds is none, or is of a kind that TLS does not use.
    #[error("not a private key that can be used")]
    BadKey,
    /// Certificate and key are not a pair.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl CertificateError {
    /// Whether the key is to blame, rather than the certificate.
    pub fn is_about_the_key(self) -> bool {
        matches!(
            self,
            CertificateError::NoKey | CertificateError::BadKey | CertificateError::Mismatch
        )
    }
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    /// Where one of the two cannot be used, or they are no pair.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|_| CertificateError::BadCertificate)?;
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (names, validity) = read(first).ok_or(CertificateError::BadCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => CertificateError::NoKey,
            _ => CertificateError::BadKey,
        })?;
        let key = any_supported_type(&key).map_err(|_| CertificateError::BadKey)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| CertificateError::Mismatch)?;
        Ok(Certificate {
            key: Arc::new(key),
            names,
            validity,
        })
    }

    /// The hosts that it is for, in lower case: `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when on it counts.
    pub fn not_before(&self) -> SystemTime {
        self.validity.0
    }

    /// Until when it counts.
    pub fn not_after(&self) -> SystemTime {
        self.validity.1
    }

    /// From when until when it counts.
    pub fn validity(&self) -> (SystemTime, SystemTime) {
        self.validity
    }

    /// Whether it is for this host, which is in lower case and has no port.
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            Some(suffix) => host.find('.').is_some_and(|dot| dot > 0 && &host[dot..] == suffix),
            None => name == host,
        })
    }
}

/// Two are the same where their chains are: a key belongs to one certificate only.
impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.key.cert == other.key.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// From when until when a certificate counts. None where it cannot be read.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    Some(dates(&X509Certificate::from_der(certificate).ok()?.1))
}

/// Names and dates.
fn read(certificate: &CertificateDer<'_>) -> Option<(Vec<String>, (SystemTime, SystemTime))> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()?.map(|extension| {
        let names = extension.value.general_names.iter();
        names.filter_map(host_of).collect::<Vec<_>>()
    });
    Some((names.unwrap_or_default(), dates(&certificate)))
}

fn dates(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    let (from, until) = (validity.not_before, validity.not_after);
    (time(from.timestamp()), time(until.timestamp()))
}

fn host_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => Some(match address(bytes)? {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }),
        _ => None,
    }
}

/// An address as certificates hold it.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn time(seconds: i64) -> SystemTime {
    let since = u64::try_from(seconds).ok().map(Duration::from_secs);
    since
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    pub(in crate::tls) fn for_names(names: &[&str]) -> Certificate {
        let Generated { cert, signing_key } = generated(names);
        Certificate::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap()
    }

    fn generated(names: &[&str]) -> Generated<rcgen::KeyPair> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        generate_simple_self_signed(names).unwrap()
    }

    #[test]
    fn a_certificate_is_for_the_names_it_holds() {
        let certificate = for_names(&["Example.com", "*.example.org", "192.0.2.1", "2001:db8::1"]);
        for host in ["example.com", "www.example.org", "192.0.2.1", "[2001:db8::1]"] {
            assert!(certificate.covers(host), "{host}");
        }
        for host in [
            "www.example.com",
            "example.org",
            "a.b.example.org",
            ".example.org",
            "192.0.2.2",
            "",
        ] {
            assert!(!certificate.covers(host), "{host}");
        }
        assert!(certificate.not_before() < certificate.not_after());
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let (one, other) = (generated(&["a.example"]), generated(&["a.example"]));
        let read = |chain: &str, key: &str| Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        let (chain, key) = (one.cert.pem(), one.signing_key.serialize_pem());

        assert_eq!(
            read(&chain, &other.signing_key.serialize_pem()),
            CertificateError::Mismatch
        );
        assert_eq!(read(&key, &key), CertificateError::NoCertificate);
        assert_eq!(read(&chain, &chain), CertificateError::NoKey);
        assert_eq!(read("", ""), CertificateError::NoCertificate);
        let broken = chain.replace("MII", "AAA");
        assert_eq!(read(&broken, &key), CertificateError::BadCertificate);
    }

    #[test]
    fn a_key_is_never_shown() {
        let shown = format!("{:?}", for_names(&["a.example"]));
        assert_eq!(shown, "Certificate { names: [\"a.example\"], .. }");
    }
}
