//! Which of a listener's certificates a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Certificate;

/// The certificates of one listener.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Vec<Arc<Certificate>>,
    /// By name, in the order written; a wildcard by what follows its `*`.
    exact: HashMap<String, Vec<usize>>,
    wildcard: HashMap<String, Vec<usize>>,
    /// Whether a client that names none of these hosts is refused, instead of being shown the first.
    strict: bool,
}

impl Certificates {
    pub(crate) fn new(all: &[Arc<Certificate>], strict: bool) -> Certificates {
        let mut certificates = Certificates {
            all: all.to_vec(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            strict,
        };
        for (number, certificate) in all.iter().enumerate() {
            for name in certificate.names() {
                let (by_name, name) = match name.strip_prefix('*') {
                    Some(suffix) => (&mut certificates.wildcard, suffix),
                    None => (&mut certificates.exact, name.as_str()),
                };
                by_name.entry(name.to_owned()).or_default().push(number);
            }
        }
        certificates
    }

    /// Whether any of them is for this host.
    pub(crate) fn cover(&self, host: &str) -> bool {
        self.all.iter().any(|certificate| certificate.covers(host))
    }

    /// Whether what a client that named `server_name` was shown is also for `host`.
    pub(crate) fn shown_covers(&self, server_name: Option<&str>, host: &str) -> bool {
        self.candidates(server_name)
            .iter()
            .filter_map(|number| self.all.get(*number))
            .any(|certificate| certificate.covers(host))
    }

    /// Those for the host that a client names, the one written first standing first; an exact name wins over a wildcard.
    fn candidates(&self, server_name: Option<&str>) -> &[usize] {
        let named = server_name.and_then(|name| {
            let suffix = name.find('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
            self.exact.get(name).or_else(|| self.wildcard.get(suffix))
        });
        match named {
            Some(named) => named,
            None if self.strict => &[],
            None => &[0],
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let candidates = self.candidates(name.as_deref()).iter();
        let mut keys = candidates
            .filter_map(|number| self.all.get(*number))
            .map(|one| &one.key);
        let first = keys.clone().next();
        // Of two kinds for one name, the client gets the first that it understands.
        let understood = keys.find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        understood.or(first).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::tests::for_names;

    fn certificates(strict: bool) -> Certificates {
        let all = [
            for_names(&["fallback.example"]),
            for_names(&["*.example.com"]),
            for_names(&["api.example.com"]),
        ];
        Certificates::new(&all.map(Arc::new), strict)
    }

    #[test]
    fn an_exact_name_wins_over_a_wildcard_and_the_first_stands_in() {
        let certificates = certificates(false);
        for (name, number) in [
            (Some("api.example.com"), 2),
            (Some("www.example.com"), 1),
            (Some("a.b.example.com"), 0),
            (Some("example.com"), 0),
            (None, 0),
        ] {
            assert_eq!(certificates.candidates(name), [number], "{name:?}");
        }
    }

    #[test]
    fn a_strict_listener_shows_nothing_to_strangers() {
        let certificates = certificates(true);
        assert_eq!(certificates.candidates(Some("fallback.example")), [0]);
        assert!(certificates.candidates(Some("other.example")).is_empty());
        assert!(certificates.candidates(None).is_empty());
    }

    #[test]
    fn what_was_shown_for_one_host_may_be_for_another_too() {
        let certificates = certificates(false);
        assert!(certificates.shown_covers(Some("www.example.com"), "shop.example.com"));
        assert!(!certificates.shown_covers(Some("api.example.com"), "shop.example.com"));
        assert!(certificates.cover("fallback.example") && !certificates.cover("other.example"));
    }
}
