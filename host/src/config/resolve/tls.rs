//! `tls` of a `[[listener]]`: its certificates, and what clients must show.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::acme::acme;
use super::scope::Scope;
use crate::config::file::{self, Located, OneOrMany};
use crate::config::resolved::{ClientCertificates, Tls, TlsVersion};
use crate::tls::{Certificate, client_verifier};

/// A certificate that ends sooner than this is worth a warning.
const SOON: Duration = Duration::from_hours(14 * 24);

const EXAMPLE: &str =
    "write for example `certificates = [{ certificate = \"a.pem\", key = \"a.key\" }]`, or have one obtained by `acme`";

/// TLS as it is written. None where a part of it is wrong.
pub(super) fn tls(scope: &Scope<'_>, table: &Located<file::Tls>) -> Option<Tls> {
    let written = table
        .certificates
        .as_ref()
        .map(|list| list.0.as_slice())
        .unwrap_or_default();
    match &table.certificates {
        None if table.acme.is_some() || scope.is_unread(&table.span, "acme") => {}
        None => scope.missing(&table.span, "certificates", EXAMPLE),
        Some(list) if written.is_empty() && !scope.has_unread(&list.span) => {
            scope.wrong_help(
                &list.span,
                "TLS without a certificate",
                "expected at least one",
                EXAMPLE,
            );
        }
        Some(_) => {}
    }
    let read: Vec<_> = written.iter().map(|one| certificate(scope, one)).collect();
    let client = table.client.as_ref().map(|client| client_certificates(scope, client));
    let found: Vec<_> = read.iter().flatten().cloned().collect();
    let acme = acme(scope, table.acme.as_ref(), &found);
    let certificates: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let acme = acme?;
    Some(Tls {
        certificates: (!certificates.is_empty() || !acme.is_empty()).then_some(certificates)?,
        acme,
        min_version: match table.min_version.as_ref().map(|version| version.value) {
            Some(file::TlsVersion::V1_3) => TlsVersion::V1_3,
            Some(file::TlsVersion::V1_2) | None => TlsVersion::V1_2,
        },
        strict_sni: table.strict_sni.unwrap_or(false),
        client: match client {
            Some(client) => Some(client?),
            None => None,
        },
    })
}

fn certificate(scope: &Scope<'_>, table: &Located<file::Certificate>) -> Option<Arc<Certificate>> {
    if table.certificate.is_none() {
        let help = "write for example `certificate = \"a.pem\"`";
        scope.missing(&table.span, "certificate", help);
    }
    if table.key.is_none() {
        scope.missing(&table.span, "key", "write for example `key = \"a.key\"`");
    }
    let (chain_file, key_file) = (table.certificate.as_ref()?, table.key.as_ref()?);
    let (chain, key) = (scope.read_file(chain_file), scope.read_file(key_file));
    match Certificate::from_pem(&chain?, &key?) {
        Ok(certificate) => in_its_time(scope, chain_file, certificate.validity()).then(|| Arc::new(certificate)),
        Err(error) => {
            let span = match error.is_about_the_key() {
                true => &key_file.span,
                false => &chain_file.span,
            };
            let title = match error.is_about_the_key() {
                true => "the key cannot be used",
                false => "the certificate cannot be used",
            };
            let help = "PEM files hold lines such as `-----BEGIN CERTIFICATE-----` or `-----BEGIN PRIVATE KEY-----`";
            scope.wrong_help(span, title, error.to_string(), help);
            None
        }
    }
}

/// Whether a certificate counts today; says so where it does not, or not for long.
pub(super) fn in_its_time(
    scope: &Scope<'_>,
    written: &Located<String>,
    (from, until): (SystemTime, SystemTime),
) -> bool {
    let now = SystemTime::now();
    let date = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    let problem = if now < from {
        let label = format!("it counts from {} on", date(from));
        scope.problem(&written.span, "the certificate is not valid yet", label)
    } else if now > until {
        let label = format!("it ended at {}", date(until));
        scope.problem(&written.span, "the certificate has expired", label)
    } else if until.duration_since(now).is_ok_and(|left| left < SOON) {
        let label = format!("it ends at {}", date(until));
        scope
            .problem(&written.span, "the certificate expires soon", label)
            .warning()
    } else {
        return true;
    };
    let counts = (from..=until).contains(&now);
    scope.report(problem.help(Some("have it renewed; a new file is noticed by itself".to_owned())));
    counts
}

fn client_certificates(scope: &Scope<'_>, table: &Located<file::ClientCertificates>) -> Option<ClientCertificates> {
    let Some(roots) = &table.roots else {
        scope.missing(&table.span, "roots", "write for example `roots = \"clients.pem\"`");
        return None;
    };
    let read_roots = |bytes: &[u8]| {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, _>>()
            .ok()
    };
    let read_lists = |bytes: &[u8]| {
        let lists = CertificateRevocationListDer::pem_slice_iter(bytes);
        lists.collect::<Result<Vec<_>, _>>().ok()
    };
    let roots_read = pem_files(scope, roots, "no certificate in PEM form", read_roots);
    let crls = table.crl.as_ref().map_or(Some(Vec::new()), |files| {
        pem_files(scope, files, "no list of revoked certificates in PEM form", read_lists)
    });
    let client = ClientCertificates {
        roots: roots_read?,
        crls: crls?,
        required: table
            .mode
            .as_ref()
            .is_none_or(|mode| mode.value == file::ClientMode::Required),
        forward: table.forward.unwrap_or(false),
    };
    if let Err(why) = client_verifier(&client) {
        scope.wrong(&table.span, "clients' certificates cannot be checked with these", why);
        return None;
    }
    Some(client)
}

/// What several files hold, all of it; `nothing` is said of a file that holds none.
fn pem_files<T>(
    scope: &Scope<'_>,
    files: &Located<OneOrMany<Located<String>>>,
    nothing: &str,
    read: impl Fn(&[u8]) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    if files.0.is_empty() && !scope.has_unread(&files.span) {
        scope.wrong(&files.span, "no file is named", "expected at least one");
        return None;
    }
    let mut all = Some(Vec::new());
    for file in &files.0 {
        let bytes = scope.read_file(file);
        let found = bytes.as_deref().and_then(&read).filter(|found| !found.is_empty());
        if found.is_none() && bytes.is_some() {
            scope.wrong(&file.span, "the file cannot be used", nothing);
        }
        all = all.zip(found).map(|(mut all, found)| {
            all.extend(found);
            all
        });
    }
    all
}
