//! TLS to targets: whom we trust, who we are, and in which words a handshake that failed is told.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::config::resolved::HttpVersion;

/// Whose certificates are good.
pub(crate) enum Trust {
    /// Those that lead to one of these.
    Roots(Arc<RootCertStore>),
    /// All of them.
    Anybody,
}

/// What is shown to targets that ask who we are.
pub(crate) struct Identity {
    /// The certificate, and those that lead to its root.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The certificate's.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What all connections of an upstream share: settings, and sessions to resume.
pub(crate) fn client(
    trust: Trust,
    identity: Option<Identity>,
    only_newest: bool,
    http: HttpVersion,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = if only_newest {
        &[&rustls::version::TLS13][..]
    } else {
        rustls::DEFAULT_VERSIONS
    };
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
    let builder = match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots),
        Trust::Anybody => {
            let verifier = Arc::new(Credulous(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match http {
        HttpVersion::One => vec![HTTP1.to_vec()],
        HttpVersion::Two => vec![HTTP2.to_vec()],
        HttpVersion::Auto => vec![HTTP2.to_vec(), HTTP1.to_vec()],
    };
    Ok(config)
}

const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

/// Why a handshake failed, for operators: what to look at, in a few words.
pub(super) fn reason(error: &std::io::Error) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the target ended the handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::NoCertificatesPresented => "the target has no certificate".to_owned(),
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the target does not speak this version of HTTP".to_owned()
        }
        Error::InvalidMessage(_) => "the target does not speak TLS".to_owned(),
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            format!("no version or cipher of TLS in common ({error})")
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied,
        ) => format!("the target does not accept our certificate, or that we have none ({error})"),
        error => error.to_string(),
    }
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the target's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the target's certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "the target's certificate is signed by nobody whom `roots` names (unknown issuer)".to_owned()
        }
        CertificateError::BadSignature => {
            "the target's certificate is not signed by the root whose name it bears".to_owned()
        }
        CertificateError::NotValidForName => "the target's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the target's certificate is for another name: expected {}, found {}",
            expected.to_str(),
            if presented.is_empty() {
                "none".to_owned()
            } else {
                presented.join(", ")
            }
        ),
        CertificateError::Revoked => "the target's certificate is revoked".to_owned(),
        why => format!("the target's certificate cannot be trusted: {why}"),
    }
}

/// Believes every certificate, and still sees that the peer has its key.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
