//! `acme` of a listener's `tls`: certificates that the gateway obtains itself.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::scope::Scope;
use crate::config::file::{self, Located, OneOrMany};
use crate::config::resolved::{
    Acme, AcmeAuthority, AcmeChallenge, AcmeStore, ExternalAccount, ListenAddress, Listener, Roots, SecretBytes,
};
use crate::config::units::Share;
use crate::tls::Certificate;

/// Where certificates come from if nothing else is written.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What is left of a lifetime after this is enough for many tries.
const RENEW_AFTER: Share = Share::percent(66);

const RETRY_FIRST: Duration = Duration::from_secs(2 * 60);
const RETRY_LONGEST: Duration = Duration::from_hours(6);

/// The certificates that one listener obtains; `listed` are those that it has from files. None where a part is wrong.
pub(super) fn acme(
    scope: &Scope<'_>,
    written: Option<&Located<OneOrMany<Located<file::Acme>>>>,
    listed: &[impl AsRef<Certificate>],
) -> Option<Vec<Acme>> {
    let Some(written) = written else {
        return Some(Vec::new());
    };
    let mut taken = Vec::new();
    let read: Vec<_> = written
        .0
        .iter()
        .map(|table| one(scope, table, listed, &mut taken))
        .collect();
    read.into_iter().collect()
}

fn one<'t>(
    scope: &Scope<'_>,
    table: &'t Located<file::Acme>,
    listed: &[impl AsRef<Certificate>],
    taken: &mut Vec<(String, &'t Range<usize>)>,
) -> Option<Acme> {
    let domains = domains(scope, table, listed, taken);
    let store = store(scope, table);
    let agreed = accept_terms(scope, table);
    let authority = authority(scope, table);
    let renew_after = renew_after(scope, table);
    let (retry_first, retry_longest) = retry(scope, table);
    let acme = Acme {
        domains: domains?,
        authority: authority?,
        challenge: match table.challenge.as_ref().map(|challenge| challenge.value) {
            Some(file::AcmeChallenge::Http01) => AcmeChallenge::Http01,
            Some(file::AcmeChallenge::TlsAlpn01) | None => AcmeChallenge::TlsAlpn01,
        },
        store: store?,
        renew_after,
        retry_first,
        retry_longest,
    };
    agreed.then_some(acme)
}

fn domains<'t>(
    scope: &Scope<'_>,
    table: &'t Located<file::Acme>,
    listed: &[impl AsRef<Certificate>],
    taken: &mut Vec<(String, &'t Range<usize>)>,
) -> Option<Vec<String>> {
    let example = "write for example `domains = [\"shop.example\", \"www.shop.example\"]`";
    let Some(written) = &table.domains else {
        scope.missing(&table.span, "domains", example);
        return None;
    };
    if written.0.is_empty() && !scope.has_unread(&written.span) {
        scope.wrong_help(
            &written.span,
            "a certificate for nobody",
            "expected at least one",
            example,
        );
    }
    let before = taken.len();
    let mut all = true;
    for domain in &written.0 {
        let Some(name) = self::domain(scope, domain) else {
            all = false;
            continue;
        };
        if let Some((_, first)) = taken.iter().find(|(other, _)| *other == name) {
            let problem = scope.problem(&domain.span, "the domain is given twice", "given again here");
            scope.report(problem.note(format!("first at {}", scope.place(first))));
            all = false;
        } else if listed.iter().any(|one| one.as_ref().names().contains(&name)) {
            let title = "the domain has a certificate already";
            let problem = scope.problem(&domain.span, title, "one of `certificates` is for it");
            scope.report(problem.help("leave out one of the two".to_owned()));
            all = false;
        } else {
            taken.push((name, &domain.span));
        }
    }
    let names: Vec<_> = taken.iter().skip(before).map(|(name, _)| name.clone()).collect();
    (all && !names.is_empty()).then_some(names)
}

/// A host that control can be proven of, in lower case.
fn domain(scope: &Scope<'_>, written: &Located<String>) -> Option<String> {
    let name = written.value.to_ascii_lowercase();
    let is_label = |label: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len()) && label.chars().all(fine) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_address = name.parse::<IpAddr>().is_ok() || name.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
    let (title, label, help) = if name.starts_with('*') {
        (
            "wildcards cannot be obtained",
            "control of one host says nothing about the others",
            "write each host, or name a certificate's files in `certificates`",
        )
    } else if is_address {
        (
            "addresses have no certificate of this kind",
            "expected the name of a host",
            "write the name that clients use",
        )
    } else if !name.is_ascii() {
        (
            "not the name of a host",
            "expected ASCII letters, digits, `-` and `.`",
            "write it as DNS has it: `xn--..`",
        )
    } else if name.len() > 253 || !name.split('.').all(is_label) {
        (
            "not the name of a host",
            "expected letters, digits, `-` and `.`",
            "write for example `shop.example`, without scheme and port",
        )
    } else {
        return Some(name);
    };
    scope.wrong_help(&written.span, title, label, help);
    None
}

fn store(scope: &Scope<'_>, table: &Located<file::Acme>) -> Option<AcmeStore> {
    let help = "write for example `store = \"/var/lib/portcullis/acme\"`, a folder that outlives the process";
    let Some(written) = &table.store else {
        scope.missing(&table.span, "store", help);
        return None;
    };
    if written.is_empty() {
        scope.wrong_help(
            &written.span,
            "not a folder",
            "where are certificates to be kept?",
            help,
        );
        return None;
    }
    let folder: PathBuf = scope.folder.join(&written.value);
    Some(AcmeStore {
        folder,
        place: scope.place(&written.span),
    })
}

fn accept_terms(scope: &Scope<'_>, table: &Located<file::Acme>) -> bool {
    let help = "read the terms of service of the certificate authority, and write `accept_terms = true`";
    match &table.accept_terms {
        None => scope.missing(&table.span, "accept_terms", help),
        Some(written) if !written.value => {
            let label = "without, there are no certificates";
            scope.wrong_help(&written.span, "the terms of service are not accepted", label, help);
        }
        Some(_) => return true,
    }
    false
}

fn authority(scope: &Scope<'_>, table: &Located<file::Acme>) -> Option<AcmeAuthority> {
    let directory = match &table.directory {
        Some(written) => directory(scope, written),
        None => Some(LETS_ENCRYPT.to_owned()),
    };
    let roots = table.roots.as_ref().map(|written| roots(scope, written));
    let contact = table
        .contact
        .as_ref()
        .map_or(Some(Vec::new()), |list| contact(scope, list));
    let external_account = table
        .external_account
        .as_ref()
        .map(|account| external_account(scope, account));
    Some(AcmeAuthority {
        directory: directory?,
        roots: match roots {
            Some(roots) => Some(roots?),
            None => None,
        },
        contact: contact?,
        external_account: match external_account {
            Some(account) => Some(account?),
            None => None,
        },
    })
}

fn directory(scope: &Scope<'_>, written: &Located<String>) -> Option<String> {
    let uri: Option<Uri> = written.value.parse().ok();
    let is_directory = |uri: &Uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()) && !authority.contains('@')
    };
    if !uri.as_ref().is_some_and(is_directory) {
        let help = format!("write for example `directory = \"{LETS_ENCRYPT}\"`");
        let label = "expected a URL that begins with `https://`";
        scope.wrong_help(
            &written.span,
            "not the directory of a certificate authority",
            label,
            help,
        );
        return None;
    }
    Some(written.value.clone())
}

fn roots(scope: &Scope<'_>, written: &Located<String>) -> Option<Roots> {
    let pem = scope.read_file(written)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Some(Roots(found.iter().map(|one| one.to_vec()).collect())),
        _ => {
            let help = "name a file with certificates in PEM: `-----BEGIN CERTIFICATE-----`";
            scope.wrong_help(&written.span, "`roots` cannot be used", "no certificates in PEM", help);
            None
        }
    }
}

/// `ops@shop.example`, with or without `mailto:`.
fn contact(scope: &Scope<'_>, list: &Located<OneOrMany<Located<String>>>) -> Option<Vec<String>> {
    let read: Vec<_> = list
        .0
        .iter()
        .map(|written| {
            let address = written.strip_prefix("mailto:").unwrap_or(&written.value);
            let parts = address
                .split_once('@')
                .filter(|(user, host)| !user.is_empty() && !host.is_empty());
            // A mailto: URL could name several, and subjects (RFC 8555 section 7.3 forbids both).
            let plain = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '%' | '<' | '>' | ';');
            if parts.is_none() || !address.chars().all(plain) {
                let help = "write for example `contact = \"ops@shop.example\"`";
                scope.wrong_help(&written.span, "not a mail address", "expected one address", help);
                return None;
            }
            Some(format!("mailto:{address}"))
        })
        .collect();
    read.into_iter().collect()
}

fn external_account(scope: &Scope<'_>, table: &Located<file::ExternalAccount>) -> Option<ExternalAccount> {
    if table.key_id.is_none() {
        scope.missing(&table.span, "key_id", "write for example `key_id = \"kid-1\"`");
    }
    if table.key.is_none() {
        scope.missing(&table.span, "key", "write for example `key = \"${env:EAB_KEY}\"`");
    }
    let (key_id, key) = (table.key_id.as_ref()?, table.key.as_ref()?);
    // Some authorities give it out with padding, or in the other alphabet of base64.
    let encoded = key.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| !bytes.is_empty());
    if bytes.is_none() {
        let help = "write it as the certificate authority gives it out";
        scope.wrong_help(&key.span, "not the key of an account", "expected base64url", help);
    }
    Some(ExternalAccount {
        key_id: key_id.value.clone(),
        key: SecretBytes::new(bytes?),
    })
}

fn renew_after(scope: &Scope<'_>, table: &Located<file::Acme>) -> Share {
    let Some(written) = &table.renew_after else {
        return RENEW_AFTER;
    };
    let share = written.value.0;
    if share < Share::percent(10) || share > Share::percent(95) {
        let help = "two thirds leave time for many tries: `renew_after = \"66%\"`";
        scope.wrong_help(
            &written.span,
            "`renew_after` is out of range",
            "expected 10% to 95%",
            help,
        );
    }
    share
}

fn retry(scope: &Scope<'_>, table: &Located<file::Acme>) -> (Duration, Duration) {
    let Some(retry) = &table.retry else {
        return (RETRY_FIRST, RETRY_LONGEST);
    };
    let first = scope.duration("first", retry.first.as_ref(), RETRY_FIRST);
    let longest = scope.duration("longest", retry.longest.as_ref(), RETRY_LONGEST.max(first));
    if longest < first {
        let span = retry.longest.as_ref().map_or(&retry.span, |written| &written.span);
        scope.wrong(span, "`longest` is shorter than `first`", "expected the longest pause");
    }
    (first, longest)
}

/// Says where the certificate authority will hardly find what it looks for: nothing of these listeners answers its
/// challenge, or on another port than it asks.
pub(super) fn challenges_are_met(scope: &Scope<'_>, table: &Located<file::Acme>, listeners: &[Listener]) {
    let written = table.challenge.as_ref();
    let is_http = written.is_some_and(|challenge| challenge.value == file::AcmeChallenge::Http01);
    let span = written.map_or(&table.span, |written| &written.span);
    let mut answering = listeners.iter().filter(|one| one.tls.is_none() == is_http).peekable();
    if is_http && answering.peek().is_none() {
        let help = "add a `[[listener]]` with `address = \"0.0.0.0:80\"`, or use `tls-alpn-01`";
        let label = "no listener speaks plain HTTP";
        scope.wrong_help(span, "nobody would answer this challenge", label, help);
        return;
    }
    let asked = if is_http { 80 } else { 443 };
    let mut ports = answering
        .flat_map(|one| &one.addresses)
        .filter_map(|address| match address {
            ListenAddress::Tcp(address) => Some(address.port()),
            ListenAddress::Unix(_) => None,
        });
    if !ports.any(|port| port == asked) {
        let title = format!("the certificate authority will ask at port {asked}");
        let problem = scope.problem(span, title, "no listener for it is there");
        let note = "that is right where something in front passes the port on, as containers do";
        scope.report(problem.note(note).warning());
    }
}
