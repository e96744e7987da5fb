//! TLS on the side that faces clients: certificates, which of them a client gets, and who the client proves to be.

mod certificate;
mod certificates;
mod client_certificate;
mod obtained;
mod session;

pub(crate) use certificate::validity;
pub use certificate::{Certificate, CertificateError};
pub(crate) use certificates::Certificates;
pub use client_certificate::ClientCertificate;
pub(crate) use obtained::Obtained;
pub(crate) use session::{H2, ListenerTls, client_verifier};
