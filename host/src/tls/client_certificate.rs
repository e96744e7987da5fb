//! Who a client is, by the certificate it has shown.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::address;

/// A client's certificate, which a listener's roots have signed and no list has revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name: `CN=alice, O=Example`.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// Alternative names that are URIs, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// Alternative names that are mail addresses.
    pub emails: Vec<String>,
    /// Alternative names that are IP addresses.
    pub addresses: Vec<String>,
    /// The certificate as the `Client-Cert` field has it (RFC 9440 section 2.1).
    pub(crate) field: HeaderValue,
    /// Until when it is valid, in seconds since 1970.
    not_after: i64,
}

impl ClientCertificate {
    /// The identity in a certificate. None where it cannot be read, which TLS would have refused.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut client = ClientCertificate {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: hex(certificate.raw_serial()),
            fingerprint: hex(&Sha256::digest(der)),
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            addresses: Vec::new(),
            field: byte_sequence(der)?,
            not_after: certificate.validity().not_after.timestamp(),
        };
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => client.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => client.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(email) => client.emails.push((*email).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    client
                        .addresses
                        .extend(address(bytes).map(|address| address.to_string()));
                }
                _ => {}
            }
        }
        Some(client)
    }

    /// For how long it is still valid.
    pub(crate) fn valid_for(&self, now: SystemTime) -> Duration {
        let end = Duration::from_secs(u64::try_from(self.not_after).unwrap_or(0));
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        end.saturating_sub(now)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Bytes as a structured field has them: base64 between colons (RFC 9651 section 3.3.5).
fn byte_sequence(bytes: &[u8]) -> Option<HeaderValue> {
    use base64::Engine as _;
    let text = format!(":{}:", base64::engine::general_purpose::STANDARD.encode(bytes));
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn an_identity_is_read_from_the_certificate() {
        let mut params = CertificateParams::new(vec!["alice.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://example/alice".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 1].into()));
        params.serial_number = Some(vec![0x0a, 0xbc].into());
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        params.not_after = end.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();

        let client = ClientCertificate::read(certificate.der()).unwrap();

        assert!(client.subject.contains("CN=alice"), "{}", client.subject);
        assert_eq!(client.serial, "0abc");
        assert_eq!(client.dns_names, ["alice.example"]);
        assert_eq!(client.uris, ["spiffe://example/alice"]);
        assert_eq!(client.addresses, ["192.0.2.1"]);
        assert_eq!(client.fingerprint.len(), 64);
        assert_eq!(client.valid_for(end - Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(client.valid_for(end + Duration::from_secs(5)), Duration::ZERO);
        let field = client.field.to_str().unwrap();
        assert!(field.starts_with(":MII") && field.ends_with(':'), "{field}");
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        assert_eq!(ClientCertificate::read(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
