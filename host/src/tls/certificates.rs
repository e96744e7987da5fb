//! Which of a listener's certificates a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Certificate, Obtained};

/// The certificates of one listener.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Vec<Source>,
    /// By name, in the order written; a wildcard by what follows its `*`.
    exact: HashMap<String, Vec<usize>>,
    wildcard: HashMap<String, Vec<usize>>,
    /// Whether a client that names none of these hosts is refused, instead of being shown the first.
    strict: bool,
}

/// Where one of them comes from.
#[derive(Debug)]
enum Source {
    Files(Arc<Certificate>),
    Acme(Arc<Obtained>),
}

impl Source {
    fn names(&self) -> &[String] {
        match self {
            Source::Files(certificate) => certificate.names(),
            Source::Acme(obtained) => obtained.names(),
        }
    }

    /// None where it is not there yet.
    fn current(&self) -> Option<Arc<Certificate>> {
        match self {
            Source::Files(certificate) => Some(certificate.clone()),
            Source::Acme(obtained) => obtained.current(),
        }
    }

    /// The same for a client that names this host. One that is to be for it and is not yet, since it stands in for a
    /// better one, is not there either.
    fn current_for(&self, host: Option<&str>) -> Option<Arc<Certificate>> {
        let current = self.current()?;
        let lacks = |host: &str| self.names().iter().any(|name| name == host) && !current.covers(host);
        if host.is_some_and(lacks) { None } else { Some(current) }
    }

    /// Whether it is for this host, or is to be.
    fn covers(&self, host: &str) -> bool {
        match self {
            Source::Files(certificate) => certificate.covers(host),
            Source::Acme(obtained) => obtained.names().iter().any(|name| name == host),
        }
    }
}

impl Certificates {
    /// Those from files first.
    pub(crate) fn new(files: &[Arc<Certificate>], acme: &[Arc<Obtained>], strict: bool) -> Certificates {
        let files = files.iter().cloned().map(Source::Files);
        let mut certificates = Certificates {
            all: files.chain(acme.iter().cloned().map(Source::Acme)).collect(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            strict,
        };
        for (number, source) in certificates.all.iter().enumerate() {
            for name in source.names() {
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
        self.all.iter().any(|source| source.covers(host))
    }

    /// Whether what a client that named `server_name` was shown is also for `host`.
    pub(crate) fn shown_covers(&self, server_name: Option<&str>, host: &str) -> bool {
        self.ready(self.candidates(server_name), server_name)
            .any(|certificate| certificate.covers(host))
    }

    /// Those that are there.
    pub(crate) fn current(&self) -> impl Iterator<Item = Arc<Certificate>> {
        self.all.iter().filter_map(Source::current)
    }

    /// Those for the host that a client names, the one written first standing first. An exact name wins over a wildcard,
    /// which stands in where the exact one is not there yet.
    fn candidates(&self, server_name: Option<&str>) -> &[usize] {
        let named = server_name.and_then(|name| {
            let suffix = name.find('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
            let (exact, wildcard) = (self.exact.get(name), self.wildcard.get(suffix));
            exact
                .filter(|numbers| wildcard.is_none() || self.ready(numbers, server_name).next().is_some())
                .or(wildcard)
        });
        match named {
            Some(named) => named,
            None if self.strict => &[],
            None => &[0],
        }
    }

    /// Those of these that are there for a client that names this host.
    fn ready(&self, numbers: &[usize], server_name: Option<&str>) -> impl Iterator<Item = Arc<Certificate>> {
        numbers
            .iter()
            .filter_map(move |number| self.all.get(*number)?.current_for(server_name))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let candidates = self.candidates(name.as_deref());
        // Of two kinds for one name, the client gets the first that it understands.
        let understood = |one: &Arc<Certificate>| one.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let ready = || self.ready(candidates, name.as_deref());
        let shown = ready().find(understood);
        shown.or_else(|| ready().next()).map(|one| one.key.clone())
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
        Certificates::new(&all.map(Arc::new), &[], strict)
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

    #[test]
    fn what_is_not_there_yet_leaves_its_name_to_a_wildcard_or_to_nobody() {
        let wild = Arc::new(for_names(&["*.example.com"]));
        let names = ["api.example.com".to_owned(), "api.example.org".to_owned()];
        let obtained = Arc::new(Obtained::new(&names, None));
        let certificates = Certificates::new(&[wild], std::slice::from_ref(&obtained), false);
        let shown = |name| {
            certificates
                .ready(certificates.candidates(Some(name)), Some(name))
                .next()
        };

        assert!(shown("api.example.com").is_some_and(|one| one.covers("www.example.com")));
        assert!(shown("api.example.org").is_none());
        assert!(certificates.cover("api.example.org"));

        // What was obtained for fewer hosts stands in, for those alone.
        obtained.replace(Arc::new(for_names(&["api.example.org"])));
        assert!(shown("api.example.com").is_some_and(|one| one.covers("www.example.com")));
        assert!(shown("api.example.org").is_some_and(|one| one.covers("api.example.org")));
        assert!(!certificates.shown_covers(Some("api.example.org"), "api.example.com"));

        obtained.replace(Arc::new(for_names(&["api.example.com", "api.example.org"])));

        for name in ["api.example.com", "api.example.org"] {
            assert!(shown(name).is_some_and(|one| one.covers("api.example.org")), "{name}");
        }
        assert_eq!(certificates.current().count(), 2);
    }
}
