//! Who a client is, by the certificate that it has shown.

/// Who a client is, by the certificate that it has shown in its TLS handshake.
///
/// There is one only where the listener's `client.roots` have signed it and no list has revoked it, so there is nothing
/// left to check but who it is.
///
/// ```
/// use portcullis_sdk::ClientCertificate;
///
/// let mut shown = ClientCertificate::default();
/// shown.uris.push("spiffe://example/orders".to_owned());
/// assert!(shown.uris.iter().any(|uri| uri == "spiffe://example/orders"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The subject's distinguished name: `CN=alice, O=Example`.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the certificate in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// Alternative names that are URIs, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// Alternative names that are mail addresses.
    pub emails: Vec<String>,
    /// Alternative names that are IP addresses.
    pub addresses: Vec<String>,
}
