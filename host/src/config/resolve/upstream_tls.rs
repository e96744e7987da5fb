//! `[upstream.NAME.tls]`.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::pem;
use super::scope::Scope;
use super::tls::in_its_time;
use crate::config::file::{Located, TlsVersion, UpstreamTls, Verify};
use crate::config::resolved::{HttpVersion, TargetTls};
use crate::tls::validity;
use crate::upstream::tls::{Identity, Trust, client};

/// TLS as the table says, or, without one, as is usual.
pub(super) fn tls(scope: &Scope<'_>, table: Option<&Located<UpstreamTls>>, http: HttpVersion) -> Option<TargetTls> {
    let trust = trust(scope, table);
    let identity = match table {
        Some(table) => identity(scope, table),
        None => Ok(None),
    };
    let server_name = match table.and_then(|table| table.server_name.as_ref()) {
        Some(written) => Some(server_name(scope, written)?),
        None => None,
    };
    let (trust, identity) = (trust?, identity.ok()?);
    let only_newest = table.is_some_and(|table| version(table) == TlsVersion::V1_3);
    let digest = digest(&trust, identity.as_ref(), only_newest);
    match client(trust, identity, only_newest, http) {
        Ok(client) => Some(TargetTls {
            client: Arc::new(client),
            server_name,
            digest,
        }),
        Err(error) => {
            // What can be wrong here is the certificate, the key, or that they do not belong together.
            let span = table.and_then(|table| table.key.as_ref());
            let span = span.map_or_else(|| 0..0, |key| key.span.clone());
            let (title, label) = match error {
                rustls::Error::InconsistentKeys(_) => (
                    "the private key does not belong to the certificate",
                    "the key of another certificate".to_owned(),
                ),
                error => ("the certificate and its key cannot be used", error.to_string()),
            };
            scope.wrong_help(&span, title, label, "name the key that the certificate was made for");
            None
        }
    }
}

fn version(table: &UpstreamTls) -> TlsVersion {
    table
        .min_version
        .as_ref()
        .map_or(TlsVersion::V1_2, |version| version.value)
}

/// Whose certificates are good.
fn trust(scope: &Scope<'_>, table: Option<&Located<UpstreamTls>>) -> Option<Trust> {
    let roots = table.and_then(|table| table.roots.as_ref());
    if let Some(verify) = table.and_then(|table| table.verify.as_ref())
        && verify.value == Verify::Off
    {
        if let Some(roots) = roots {
            let problem = scope.problem(
                &roots.span,
                "`roots` without verification",
                "nothing is held against them",
            );
            scope.report(problem.help("leave out `verify = \"off\"`, or `roots`".to_owned()));
        }
        let title = "targets' certificates are not verified";
        let problem = scope.problem(&verify.span, title, "whoever answers is believed");
        let help = "name the target's own root with `roots = \"ca.pem\"`";
        scope.report(problem.help(help.to_owned()).warning());
        return Some(Trust::Anybody);
    }
    let Some(roots) = roots else {
        return system_roots(scope, None).map(Trust::Roots);
    };
    if roots.0.is_empty() && !scope.has_unread(&roots.span) {
        let help = "write `roots = \"system\"`, or name a file";
        scope.wrong_help(&roots.span, "no roots at all", "expected at least one", help);
    }
    let mut store = RootCertStore::empty();
    let mut complete = true;
    for one in &roots.0 {
        if one.value == "system" {
            match system_roots(scope, Some(one)) {
                Some(system) => store.roots.extend(system.roots.iter().cloned()),
                None => complete = false,
            }
            continue;
        }
        let Some(certificates) = pem::certificates(scope, "roots", one) else {
            complete = false;
            continue;
        };
        for certificate in certificates {
            if store.add(certificate).is_err() {
                let title = "the file of `roots` holds a certificate that cannot be a root";
                scope.wrong(&one.span, title, "it cannot be used to verify others");
                complete = false;
            }
        }
    }
    (complete && !store.is_empty()).then(|| Trust::Roots(Arc::new(store)))
}

/// Whom this machine trusts; read once.
fn system_roots(scope: &Scope<'_>, written: Option<&Located<String>>) -> Option<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if roots.is_empty() {
        let span = written.map_or_else(|| 0..0, |written| written.span.clone());
        let help = "install them (Debian: `ca-certificates`), or name a file with `roots = \"ca.pem\"`";
        scope.wrong_help(&span, "this machine has no system roots", "nobody is trusted", help);
        return None;
    }
    Some(roots.clone())
}

/// What is shown to targets; `Err` where it cannot be read.
fn identity(scope: &Scope<'_>, table: &Located<UpstreamTls>) -> Result<Option<Identity>, ()> {
    let (certificate, key) = match (&table.certificate, &table.key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            scope.missing(&table.span, "key", "name the certificate's key: `key = \"client.key\"`");
            return Err(());
        }
        (None, Some(_)) => {
            let help = "name the key's certificate: `certificate = \"client.pem\"`";
            scope.missing(&table.span, "certificate", help);
            return Err(());
        }
    };
    let chain = pem::certificates(scope, "certificate", certificate);
    if let Some(first) = chain.as_ref().and_then(|chain| validity(chain.first()?)) {
        in_its_time(scope, certificate, first);
    }
    let key = pem::key(scope, "key", key);
    match (chain, key) {
        (Some(chain), Some(key)) => Ok(Some(Identity { chain, key })),
        _ => Err(()),
    }
}

fn server_name(scope: &Scope<'_>, written: &Located<String>) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(written.value.clone()).ok();
    if name.is_none() {
        let help = "write a name or an IP address, without scheme and port: `users.internal`";
        scope.wrong_help(&written.span, "not a server name", "no certificate can have it", help);
    }
    name
}

/// Names everything that the settings were made of, within this process.
fn digest(trust: &Trust, identity: Option<&Identity>, only_newest: bool) -> u128 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update([u8::from(only_newest), u8::from(identity.is_some())]);
    match trust {
        Trust::Anybody => hash.update([0]),
        Trust::Roots(store) => {
            for root in &store.roots {
                hash.update([1]);
                part(&mut hash, &root.subject);
                part(&mut hash, &root.subject_public_key_info);
            }
        }
    }
    if let Some(Identity { chain, key }) = identity {
        chain
            .iter()
            .for_each(|certificate: &CertificateDer<'_>| part(&mut hash, certificate));
        part(&mut hash, PrivateKeyDer::secret_der(key));
    }
    let hash = hash.finalize();
    hash.iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// With its length, so that no two lists of parts look alike.
fn part(hash: &mut sha2::Sha256, bytes: &[u8]) {
    use sha2::Digest;
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}
