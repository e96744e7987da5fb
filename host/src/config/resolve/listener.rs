//! `[[listener]]` and `server.listen`: where clients connect.

use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;

use super::acme::challenges_are_met;
use super::scope::Scope;
use super::{http3, tls};
use crate::config::file::{self, Located, Switch};
use crate::config::resolved::{ListenAddress, Listener, Server};
use crate::config::source::Place;
use crate::config::suggest::{any_of, did_you_mean};

/// What routes call the addresses of `server.listen`.
const DEFAULT: &str = "default";

/// The listeners of a configuration.
pub(super) struct Listeners {
    /// `server.listen` first, then in the order written.
    pub(super) all: Vec<Listener>,
    /// Names that routes may use, those of listeners that could not be read included.
    names: Vec<(String, Place)>,
    /// Whether there may be more than could be read.
    incomplete: bool,
}

impl Listeners {
    /// Those of all documents.
    pub(super) fn of(scopes: &[Scope<'_>], main: &Scope<'_>, server: &Server) -> Self {
        let mut reading = Reading {
            listeners: Listeners {
                all: Vec::new(),
                names: Vec::new(),
                incomplete: scopes.iter().any(|scope| scope.is_unread(&(0..0), "listener")),
            },
            taken: Vec::new(),
            server,
        };
        reading.short(main);
        for scope in scopes {
            for table in &scope.document.file.listener {
                let listener = reading.listener(scope, table);
                reading.listeners.all.extend(listener);
            }
        }
        reading.admin(main);
        for scope in scopes {
            reading.challenges(scope);
        }
        reading.listeners
    }

    /// The names that a route's `listeners` give; unknown ones are reported.
    pub(super) fn named(&self, scope: &Scope<'_>, written: &[Located<String>]) -> Vec<Arc<str>> {
        for name in written {
            if self.incomplete || self.names.iter().any(|(known, _)| *known == name.value) {
                continue;
            }
            let known: Vec<&str> = self.names.iter().map(|(name, _)| name.as_str()).collect();
            let problem = scope.problem(&name.span, "unknown listener", "no `[[listener]]` of this name");
            let secret = scope.secrets.at(&name.span).is_some();
            let help = did_you_mean(&name.value, known.iter().copied()).filter(|_| !secret);
            let problem = problem.help(help);
            scope.report(match known.as_slice() {
                [] => problem.note("no listener has a name"),
                known => problem.note(format!("named: {}", any_of(known).replace(" or ", ", "))),
            });
        }
        written.iter().map(|name| Arc::from(name.value.as_str())).collect()
    }
}

struct Reading<'s> {
    listeners: Listeners,
    taken: Vec<(ListenAddress, Place)>,
    server: &'s Server,
}

impl Reading<'_> {
    /// `server.listen`
    fn short(&mut self, scope: &Scope<'_>) {
        let help = "write for example `listen = [\"127.0.0.1:8080\"]`";
        let others = scope.document.file.listener.len();
        let Some(server) = &scope.document.file.server else {
            let root = 0..0;
            if others == 0 && !self.listeners.incomplete && !scope.is_unread(&root, "server") {
                let problem = scope.problem(&root, "missing table `[server]`", "no address to listen on");
                scope.report(problem.help(Some("write `[server]` with `listen = [\"127.0.0.1:8080\"]`".to_owned())));
            }
            return;
        };
        let Some(listen) = &server.listen else {
            if others == 0 && !self.listeners.incomplete {
                scope.missing(&server.span, "listen", help);
            }
            return;
        };
        if listen.0.is_empty() && !scope.has_unread(&listen.span) {
            scope.wrong_help(&listen.span, "no address to listen on", "expected at least one", help);
        }
        let addresses = listen.0.iter();
        let addresses: Vec<_> = addresses
            .filter_map(|one| self.address(scope, &one.span, ListenAddress::Tcp(one.value.0)))
            .collect();
        if !addresses.is_empty() {
            self.listeners
                .names
                .push((DEFAULT.to_owned(), scope.place(&listen.span)));
            self.listeners.all.push(Listener::plain(DEFAULT.into(), addresses));
        }
    }

    fn listener(&mut self, scope: &Scope<'_>, table: &Located<file::Listener>) -> Option<Listener> {
        if let Some(name) = &table.name {
            self.name(scope, name);
        }
        let help = "write for example `address = \"0.0.0.0:443\"`";
        let written = table.address.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
        match &table.address {
            None => scope.missing(&table.span, "address", help),
            Some(list) if written.is_empty() && !scope.has_unread(&list.span) => {
                scope.wrong_help(&list.span, "no address to listen on", "expected at least one", help);
            }
            Some(_) => {}
        }
        let addresses: Vec<_> = written
            .iter()
            .filter_map(|one| self.address(scope, &one.span, one.value.0.clone()))
            .collect();
        let tls = table.tls.as_ref();
        let redirect_to_https = table
            .redirect_to_https
            .as_ref()
            .and_then(|switch| redirect_to_https(scope, switch, tls.is_some()));
        let http3 = http3::http3(scope, table, &addresses);
        let listener = Listener {
            name: match &table.name {
                Some(name) => name.value.as_str().into(),
                None => {
                    let address = addresses.first()?;
                    self.nameless(scope, written.first().map_or(&table.span, |first| &first.span), address);
                    address.to_string().into()
                }
            },
            mode: table.mode.as_ref().and_then(|mode| self::mode(scope, mode, &addresses)),
            addresses,
            proxy_protocol: table
                .proxy_protocol
                .as_ref()
                .and_then(|switch| proxy_protocol(scope, switch, self.server)),
            redirect_to_https,
            http2: table.http2.unwrap_or(true),
            http3,
            tls: match tls {
                Some(tls) => Some(tls::tls(scope, tls)?),
                None => None,
            },
        };
        (!listener.addresses.is_empty()).then_some(listener)
    }

    fn name(&mut self, scope: &Scope<'_>, name: &Located<String>) {
        scope.name(name, &name.span);
        let place = scope.place(&name.span);
        match self.listeners.names.iter().find(|(known, _)| *known == name.value) {
            Some((_, first)) => {
                let problem = scope.problem(&name.span, "two listeners have the same name", "named so again here");
                scope.report(match name.value == DEFAULT {
                    true => problem.note(format!("`{DEFAULT}` is the name of `server.listen`, at {first}")),
                    false => problem.note(format!("first at {first}")),
                });
            }
            None => self.listeners.names.push((name.value.clone(), place)),
        }
    }

    /// Reports a listener without a name that cannot be told from another one: both take whatever port is free.
    fn nameless(&self, scope: &Scope<'_>, span: &Range<usize>, address: &ListenAddress) {
        let name = address.to_string();
        if self.listeners.all.iter().any(|other| *other.name == *name) {
            let problem = scope.problem(span, "two listeners cannot be told apart", "another one is here, too");
            let problem = problem.note("without a name, a listener is called by its first address");
            scope.report(problem.help("give each of them a `name`".to_owned()));
        }
    }

    /// An address that is listed once.
    fn address(&mut self, scope: &Scope<'_>, span: &Range<usize>, address: ListenAddress) -> Option<ListenAddress> {
        let first = self
            .taken
            .iter()
            .find(|(other, _)| *other == address && !address.is_any_port());
        if let Some((_, first)) = first {
            let problem = scope.problem(span, format!("`{address}` is listed twice"), "listed again here");
            scope.report(problem.note(format!("first listed at {first}")));
            return None;
        }
        self.taken.push((address.clone(), scope.place(span)));
        Some(address)
    }

    /// Reports certificates that could not be obtained, since nobody would answer for their domains.
    fn challenges(&self, scope: &Scope<'_>) {
        // What could not be read might be the listener that answers.
        if self.listeners.incomplete || scope.has_errors() {
            return;
        }
        let tables = scope.document.file.listener.iter();
        for acme in tables
            .filter_map(|table| table.tls.as_ref()?.acme.as_ref())
            .flat_map(|list| &list.0)
        {
            challenges_are_met(scope, acme, &self.listeners.all);
        }
    }

    /// Reports an admin address that is also one for clients.
    fn admin(&self, scope: &Scope<'_>) {
        let admin = scope
            .document
            .file
            .server
            .as_ref()
            .and_then(|server| server.admin.as_ref());
        let Some(admin) = admin else { return };
        let address = ListenAddress::Tcp(admin.value.0);
        let clients = self
            .taken
            .iter()
            .find(|(other, _)| *other == address && !address.is_any_port());
        if let Some((_, clients)) = clients {
            let title = "the admin address is also one for clients";
            let problem = scope.problem(&admin.span, title, "clients connect there");
            scope.report(problem.note(format!("listed at {clients}")));
        }
    }
}

/// `0660`: the permissions of a Unix socket.
fn mode(scope: &Scope<'_>, mode: &Located<String>, addresses: &[ListenAddress]) -> Option<u32> {
    if !addresses.is_empty() && !addresses.iter().any(|one| matches!(one, ListenAddress::Unix(_))) {
        scope.wrong(&mode.span, "`mode` without a Unix socket", "only files have a mode");
    }
    let digits = mode.value.as_bytes();
    let octal = matches!(digits.len(), 3 | 4) && digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let bits = u32::from_str_radix(&mode.value, 8)
        .ok()
        .filter(|bits| octal && *bits <= 0o777);
    if bits.is_none() {
        let help = "write for example `mode = \"0660\"`";
        scope.wrong_help(
            &mode.span,
            "not the mode of a file",
            "expected three octal digits",
            help,
        );
    }
    bits
}

fn proxy_protocol(
    scope: &Scope<'_>,
    switch: &Located<Switch<file::ProxyProtocol>>,
    server: &Server,
) -> Option<Vec<IpNet>> {
    let from = match &switch.value {
        Switch::Flag(false) => return None,
        Switch::With(file::ProxyProtocol { from: Some(from) }) => {
            from.0.iter().map(|network| network.value.0.trunc()).collect()
        }
        Switch::Flag(true) | Switch::With(_) => server.trusted_proxies.clone(),
    };
    if from.is_empty() && !scope.has_unread(&switch.span) {
        let help = "write `proxy_protocol = { from = [\"10.0.0.0/8\"] }`, or `trusted_proxies` in `[server]`";
        scope.wrong_help(&switch.span, "the PROXY protocol from nobody", "who is believed?", help);
    }
    Some(from)
}

fn redirect_to_https(scope: &Scope<'_>, switch: &Located<Switch<file::HttpsPort>>, tls: bool) -> Option<u16> {
    let port = match &switch.value {
        Switch::Flag(false) => return None,
        Switch::Flag(true) => 443,
        Switch::With(port) => u16::try_from(port.0).unwrap_or(0),
    };
    if port == 0 {
        scope.wrong(&switch.span, "not a port", "expected 1 to 65535");
    }
    if tls {
        let help = "it is for listeners of plain HTTP: clients are at HTTPS already";
        scope.wrong_help(
            &switch.span,
            "`redirect_to_https` beside `tls`",
            "it would lead to itself",
            help,
        );
    }
    Some(port)
}
