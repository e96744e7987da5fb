//! `portcullis demo`: three small services in this process, the gateway before them, and lines to type.

mod lines;
mod service;
mod services;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use clap::Args;

use self::services::Services;
use super::output::print;
use super::run::{self, Failed, Source};
use super::{runtime, standard};
use crate::config::{self, Loaded, Problems};
use crate::server::inherited::Inherited;

/// `config/demo.toml`, which also runs by itself.
const CONFIGURATION: &str = include_str!("../../../../config/demo.toml");

/// What stands in it for the addresses.
const LISTEN: SocketAddr = local(8080);
const ADMIN: SocketAddr = local(9900);
const USERS: SocketAddr = local(9101);
const ORDERS: SocketAddr = local(9102);
const INVENTORY: SocketAddr = local(9103);

#[derive(Debug, Args)]
#[command(after_help = "It prints lines to type in another terminal. Ctrl-C ends it.\n\n\
        Examples:\n  \
        portcullis demo --listen 127.0.0.1:8000\n  \
        portcullis demo --print-config > demo.toml")]
pub(super) struct Arguments {
    /// Where the gateway listens
    #[arg(long, value_name = "ADDRESS", default_value_t = LISTEN)]
    listen: SocketAddr,
    /// Where its metrics are
    #[arg(long, value_name = "ADDRESS", default_value_t = ADMIN)]
    admin: SocketAddr,
    /// Print the configuration, and run nothing
    #[arg(long)]
    print_config: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            listen: LISTEN,
            admin: ADMIN,
            print_config: false,
        }
    }
}

/// Runs the demo until Ctrl-C.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let own = [(LISTEN, arguments.listen), (ADMIN, arguments.admin)];
    if arguments.print_config {
        print(with_addresses(CONFIGURATION, &own));
        return Ok(());
    }
    runtime()?.block_on(async {
        let services = Services::start()
            .await
            .map_err(|error| Failed::Machine(error.to_string()))?;
        let addresses = [
            (USERS, services.users),
            (ORDERS, services.orders),
            (INVENTORY, services.inventory),
        ];
        let text = with_addresses(CONFIGURATION, &[&own[..], &addresses[..]].concat());
        let loaded = load(&text)?;
        run::serve(Source::Loaded(Box::new(loaded)), Inherited::default(), |listening| {
            let gateway = listening.address.unwrap_or(arguments.listen);
            print(lines::lines(gateway, listening.admin, &services));
        })
        .await
    })
}

fn load(text: &str) -> Result<Loaded, Problems> {
    config::load_text("demo.toml", text, Path::new("."), &standard())
}

/// The text with the second address of each of `changes` in place of the first; what was put in is not looked at again.
fn with_addresses(text: &str, changes: &[(SocketAddr, SocketAddr)]) -> String {
    let changes: Vec<(String, String)> = changes
        .iter()
        .map(|(from, to)| (from.to_string(), to.to_string()))
        .collect();
    let mut changed = String::with_capacity(text.len());
    let mut rest = text;
    let next = |rest: &str| {
        let found = changes
            .iter()
            .filter_map(|change| Some((rest.find(&change.0)?, change)));
        found.min_by_key(|(at, _)| *at)
    };
    while let Some((at, (from, to))) = next(rest) {
        let (before, after) = rest.split_at(at);
        changed.push_str(before);
        changed.push_str(to);
        rest = after.strip_prefix(from.as_str()).unwrap_or_default();
    }
    changed.push_str(rest);
    changed
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolved::ListenAddress;

    #[test]
    fn every_address_of_the_configuration_is_filled_in() {
        let changes = [LISTEN, ADMIN, USERS, ORDERS, INVENTORY].map(|from| (from, local(from.port() + 10_000)));

        let loaded = load(&with_addresses(CONFIGURATION, &changes)).unwrap_or_else(|problems| panic!("{problems}"));

        let listening = &loaded.config.listeners[0].addresses;
        assert_eq!(*listening, [ListenAddress::Tcp(local(18_080))]);
        assert_eq!(loaded.config.server.admin, Some(local(19_900)));
        let targets = loaded.config.upstreams.iter().flat_map(|upstream| &upstream.targets);
        let mut targets: Vec<String> = targets.map(|target| target.address.to_string()).collect();
        targets.sort();
        assert_eq!(
            targets,
            [19_101, 19_102, 19_103].map(|port| format!("127.0.0.1:{port}"))
        );
        assert_eq!(loaded.warnings, []);
    }

    #[test]
    fn an_address_that_was_filled_in_stays() {
        let changes = [(local(1), local(2)), (local(2), local(1))];
        assert_eq!(
            with_addresses("127.0.0.1:1 127.0.0.1:2 x", &changes),
            "127.0.0.1:2 127.0.0.1:1 x"
        );
    }
}
