//! `discover`: what is written, told apart by its first word.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use http::Uri;

use super::pem;
use super::scope::Scope;
use crate::config::file::{Discover, Located, Shorthand};
use crate::config::resolved::{
    Asking, Consul, Discovery, DiscoverySource, Kubernetes, Pauses, Roots, ServicePort, Token,
};
use crate::config::suggest::did_you_mean;
use crate::config::targets_file::read_targets_file;

/// What may be asked, with an example of each.
const KINDS: [(&str, &str); 5] = [
    ("dns", "dns:users.internal:8080"),
    ("dns-srv", "dns-srv:_http._tcp.orders.internal"),
    ("file", "file:targets.toml"),
    ("consul", "consul:orders"),
    ("kubernetes", "kubernetes:shop/orders:http"),
];

/// How long the last targets are kept when none are found any more.
const GRACE: Duration = Duration::from_secs(60);
/// DNS is asked no more often than this.
const SOONEST: Duration = Duration::from_millis(100);

/// `discover`. `resolver` is the upstream's own.
pub(super) fn discovery(
    scope: &Scope<'_>,
    written: &Located<Shorthand<Discover>>,
    resolver: Option<SocketAddr>,
) -> Option<Discovery> {
    let none = Discover::default();
    let (from, span, table) = match &written.value {
        Shorthand::Short(text) => (text, &written.span, &none),
        Shorthand::Long(table) => match &table.from {
            Some(from) => (&from.value, &from.span, table),
            None => {
                let help = "write for example `from = \"dns:users.internal:8080\"`";
                scope.missing(&written.span, "from", help);
                return None;
            }
        },
    };
    let from = Origin {
        scope,
        span,
        text: from,
    };
    let (kind, rest) = from.kind()?;
    only_for(scope, kind, table);
    let asking = Asking {
        resolver: table.resolver.as_ref().map(|resolver| resolver.0.0).or(resolver),
        every: every(scope, table),
    };
    let source = match kind {
        "dns" => from.dns(rest, asking),
        "dns-srv" => from.dns_srv(rest, asking),
        "file" => from.file(rest),
        "consul" => from.consul(rest, table),
        _ => from.kubernetes(rest, table),
    };
    let shown = scope.secrets.at(span).map_or(from.text, |secret| &secret.written);
    Some(Discovery {
        from: source?,
        written: shown.to_owned(),
        // Zero is fine here.
        grace: table.grace.as_ref().map_or(GRACE, |grace| grace.value.0),
        pauses: pauses(scope, table),
    })
}

fn pauses(scope: &Scope<'_>, table: &Discover) -> Pauses {
    let usual = Pauses::default();
    let first = scope.duration("backoff", table.backoff.as_ref(), usual.first);
    let longest = scope.duration("longest_backoff", table.longest_backoff.as_ref(), usual.longest);
    let either = table.longest_backoff.as_ref().or(table.backoff.as_ref());
    if let Some(written) = either.filter(|_| first > longest) {
        let label = format!("`backoff` is {first:?}, `longest_backoff` is {longest:?}");
        let title = "the first back-off is longer than the longest";
        scope.wrong_help(&written.span, title, label, "make `longest_backoff` at least `backoff`");
    }
    Pauses { first, longest }
}

/// The text of `from`, and where it stands.
struct Origin<'a> {
    scope: &'a Scope<'a>,
    span: &'a Range<usize>,
    text: &'a str,
}

impl<'a> Origin<'a> {
    fn kind(&self) -> Option<(&'static str, &'a str)> {
        let (word, rest) = self.text.split_once(':').unwrap_or((self.text, ""));
        let known = KINDS.iter().find(|(kind, _)| *kind == word);
        if let Some((kind, _)) = known.filter(|_| self.text.len() > word.len()) {
            return Some((kind, rest));
        }
        let secret = self.scope.secrets.at(self.span).is_some();
        let expected = "expected `dns:`, `dns-srv:`, `file:`, `consul:` or `kubernetes:`";
        let help = match known {
            Some((_, example)) => format!("write for example `{example}`"),
            None if secret => "write for example `dns:users.internal:8080`".to_owned(),
            None => match did_you_mean(word, KINDS.map(|(kind, _)| kind)) {
                Some(meant) => meant,
                None if self.text.contains("://") => "addresses are listed in `targets`".to_owned(),
                None => "write for example `dns:users.internal:8080`".to_owned(),
            },
        };
        self.scope
            .wrong_help(self.span, "not a source of targets", expected, help);
        None
    }

    fn wrong(&self, title: &str, label: &str, help: &str) {
        self.scope.wrong_help(self.span, title, label, help);
    }

    fn dns(&self, rest: &str, asking: Asking) -> Option<DiscoverySource> {
        let title = "not a name and a port";
        let example = "write for example `dns:users.internal:8080`";
        if rest.parse::<IpAddr>().is_ok() || rest.parse::<SocketAddr>().is_ok() {
            self.wrong(title, "an address needs no DNS", "list it in `targets`");
            return None;
        }
        let Some((host, port)) = rest.rsplit_once(':') else {
            self.wrong(title, "the port is missing", example);
            return None;
        };
        match port.parse::<u16>().ok().filter(|port| *port != 0) {
            Some(port) if is_dns_name(host) => Some(DiscoverySource::Dns {
                host: host.into(),
                port,
                asking,
            }),
            Some(_) => {
                self.wrong(title, "not a DNS name", example);
                None
            }
            None => {
                self.wrong(title, "not a port", example);
                None
            }
        }
    }

    fn dns_srv(&self, rest: &str, asking: Asking) -> Option<DiscoverySource> {
        let title = "not the name of SRV records";
        if rest.contains(':') {
            let help = "leave the port out, or write `dns:` to have only addresses looked up";
            self.wrong(title, "the records say which port", help);
            return None;
        }
        if !is_dns_name(rest) {
            let help = "write for example `dns-srv:_http._tcp.orders.internal`";
            self.wrong(title, "not a DNS name", help);
            return None;
        }
        Some(DiscoverySource::DnsSrv {
            name: rest.into(),
            asking,
        })
    }

    /// What is wrong with the file is no reason not to start: others write it, and it is read again when it changes.
    fn file(&self, rest: &str) -> Option<DiscoverySource> {
        if rest.is_empty() {
            self.wrong(
                "no file is named",
                "expected a file",
                "write for example `file:targets.toml`",
            );
            return None;
        }
        let path = self.scope.folder.join(rest);
        if let Err(problems) = read_targets_file(&path) {
            for problem in &Vec::from(problems) {
                self.scope.report(problem.clone().warning());
            }
        }
        Some(DiscoverySource::File(path))
    }

    fn consul(&self, rest: &str, table: &Discover) -> Option<DiscoverySource> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if rest.is_empty() || !rest.chars().all(fine) {
            let help = "write for example `consul:orders`; address, tag and token have keys of their own";
            self.wrong(
                "not the name of a service",
                "expected letters, digits, `-`, `_` and `.`",
                help,
            );
            return None;
        }
        let default = Some(Uri::from_static("http://127.0.0.1:8500"));
        let address = table.address.as_ref().map_or(default, |address| {
            base(self.scope, address, "`address` is not a URL", "http://127.0.0.1:8500")
        });
        let (token, roots) = (token(self.scope, table), roots(self.scope, table));
        let tags = table.tag.iter().flat_map(|tags| &tags.0);
        Some(DiscoverySource::Consul(Consul {
            service: rest.to_owned(),
            address: address?,
            tags: tags.map(|tag| tag.value.clone()).collect(),
            datacenter: table.datacenter.as_ref().map(|datacenter| datacenter.value.clone()),
            token,
            roots,
        }))
    }

    fn kubernetes(&self, rest: &str, table: &Discover) -> Option<DiscoverySource> {
        let title = "not a service of Kubernetes";
        let example = "write namespace, service and port: `kubernetes:shop/orders:http`";
        let Some((namespace, service)) = rest.split_once('/') else {
            self.wrong(title, "no namespace", example);
            return None;
        };
        let (service, port) = match service.split_once(':') {
            None => (service, ServicePort::Only),
            Some((service, port)) => match port.parse::<u16>() {
                Ok(0) => (service, ServicePort::Named(String::new())),
                Ok(number) => (service, ServicePort::Number(number)),
                Err(_) => (service, ServicePort::Named(port.to_owned())),
            },
        };
        let is_port = |name: &str| is_label(name) && name.contains(|c: char| c.is_ascii_lowercase());
        let label = match &port {
            _ if !is_label(namespace) => "not the name of a namespace",
            _ if !is_label(service) => "not the name of a service",
            ServicePort::Named(name) if !is_port(name) => "neither the name nor the number of a port",
            _ => {
                return Some(DiscoverySource::Kubernetes(Kubernetes {
                    namespace: namespace.to_owned(),
                    service: service.to_owned(),
                    port,
                    server: match &table.server {
                        Some(server) => Some(base(
                            self.scope,
                            server,
                            "`server` is not a URL",
                            "https://10.0.0.1:6443",
                        )?),
                        None => None,
                    },
                    token: token(self.scope, table),
                    roots: roots(self.scope, table),
                }));
            }
        };
        self.wrong(title, label, example);
        None
    }
}

/// Reports the keys that this kind of source does not know.
fn only_for(scope: &Scope<'_>, kind: &str, table: &Discover) {
    let dns = &["dns", "dns-srv"][..];
    let remote = &["consul", "kubernetes"][..];
    let written = [
        ("every", table.every.as_ref().map(|value| &value.span), dns),
        ("resolver", table.resolver.as_ref().map(|value| &value.span), dns),
        ("address", table.address.as_ref().map(|value| &value.span), &["consul"]),
        ("tag", table.tag.as_ref().map(|value| &value.span), &["consul"]),
        (
            "datacenter",
            table.datacenter.as_ref().map(|value| &value.span),
            &["consul"],
        ),
        (
            "server",
            table.server.as_ref().map(|value| &value.span),
            &["kubernetes"],
        ),
        ("token", table.token.as_ref().map(|value| &value.span), remote),
        ("ca", table.ca.as_ref().map(|value| &value.span), remote),
    ];
    for (key, span, kinds) in written {
        if let Some(span) = span.filter(|_| !kinds.contains(&kind)) {
            let kinds = kinds.join("` and `");
            let help = format!("`{key}` belongs to `{kinds}`; leave it out here");
            scope.wrong_help(
                span,
                format!("`{key}` means nothing to `{kind}`"),
                "not for this source",
                help,
            );
        }
    }
    if let (Some(token), None) = (&table.token, &table.server)
        && kind == "kubernetes"
    {
        let help = "in its cluster the gateway uses its service account; elsewhere write `server = \"https://..\"` too";
        scope.wrong_help(&token.span, "`token` without `server`", "whom is it for?", help);
    }
}

fn every(scope: &Scope<'_>, table: &Discover) -> Option<Duration> {
    let written = table.every.as_ref()?;
    if written.value.0 < SOONEST {
        scope.wrong_help(
            &written.span,
            "`every` is too short",
            "expected at least 100ms",
            "without it, DNS is asked again when the TTL of its answer is over",
        );
        return None;
    }
    Some(written.value.0)
}

fn token(scope: &Scope<'_>, table: &Discover) -> Option<Token> {
    let written = table.token.as_ref()?;
    let secret = written.value.trim();
    // It goes into a header field.
    if secret.is_empty() || !secret.chars().all(|c| c.is_ascii_graphic()) {
        scope.wrong_help(
            &written.span,
            "not a token",
            "expected letters, digits and signs, without spaces",
            "write for example `token = \"${env:CONSUL_TOKEN}\"`",
        );
        return None;
    }
    Some(Token::new(secret.to_owned()))
}

/// Scheme, host and port, and nothing else.
fn base(scope: &Scope<'_>, written: &Located<String>, title: &str, example: &str) -> Option<Uri> {
    let uri: Option<Uri> = written.value.parse().ok();
    let is_base = |uri: &Uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !authority.contains('@')
            && (authority.ends_with(uri.host().unwrap_or_default()) || uri.port_u16().is_some_and(|port| port != 0))
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    };
    let uri = uri.filter(is_base);
    if uri.is_none() {
        let help = format!("write for example `{example}`");
        scope.wrong_help(&written.span, title, "expected scheme, host and port", help);
    }
    uri
}

fn roots(scope: &Scope<'_>, table: &Discover) -> Option<Roots> {
    let written = table.ca.as_ref()?;
    let certificates = pem::certificates(scope, "ca", written)?;
    Some(Roots(
        certificates.iter().map(|certificate| certificate.to_vec()).collect(),
    ))
}

/// What DNS can have records for: labels of 1 to 63 letters, digits, `-` and `_`, 253 in all (RFC 1035).
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(fine)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A name in Kubernetes (RFC 1123's label).
fn is_label(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(fine) && !name.starts_with('-') && !name.ends_with('-')
}
