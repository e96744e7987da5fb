//! Targets that are found instead of listed, whatever finds them: nothing that goes wrong there reaches a request.

mod consul;
mod dns;
mod dns_srv;
mod file;
mod kubernetes;
mod names;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use portcullis_tests::{Gateway, Upstream, eventually};

/// A configuration whose one route passes everything to targets that are found as `discover` says, and what else belongs
/// to the upstream.
fn discovering(discover: &str) -> String {
    format!("[upstream.users]\ndiscover = {discover}\n[[route]]\nmatch = '/{{rest...}}'\nto = 'users'\n")
}

/// Services with one port, on several addresses of this machine, each of which answers with its address.
struct Services {
    port: u16,
    all: Vec<Upstream>,
}

impl Services {
    async fn at(addresses: &[&'static str]) -> Services {
        let mut services = Services {
            port: 0,
            all: Vec::new(),
        };
        for address in addresses {
            services.add(address).await;
        }
        services
    }

    async fn add(&mut self, address: &'static str) {
        let at = SocketAddr::new(address.parse().expect("an address"), self.port);
        self.all.push(Upstream::answering_at(at, address).await);
        self.port = self.all[0].address().port();
    }
}

/// Waits until requests are answered by all of these, and by nobody else.
async fn answered_by(gateway: &Gateway, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
    eventually(&format!("{expected:?} answer"), async || {
        let mut last = BTreeSet::new();
        for _ in 0..24 {
            let response = gateway.get("/").await;
            last.insert(match response.status() {
                200 => response.text(),
                status => format!("{status} {}", response.code()),
            });
        }
        last == expected
    })
    .await;
}

/// How often the source was asked, by what came of it.
async fn updates(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metric("portcullis_discovery_updates", &[("result", result)])
        .await
}
