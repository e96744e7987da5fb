//! What the gateway is put through: targets die and return, files change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_tests::misbehaving;
use tokio::time::sleep;

use crate::World;
use crate::certificates::{CERTIFICATE, KEY};
use crate::targets::Targets;

/// The gateway's configuration, each with another number.
pub(crate) fn configuration(targets: &Targets, number: u64) -> String {
    let addresses: Vec<_> = (0..targets.count())
        .map(|number| format!("\"http://{}\"", targets.address(number)))
        .collect();
    let (targets, plugin) = (addresses.join(", "), misbehaving());
    format!(
        r#"
        # The configuration number {number}.
        [[listener]]
        name = "plain"
        address = "127.0.0.1:0"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        tls = {{ certificates = [{{ certificate = "{CERTIFICATE}", key = "{KEY}" }}] }}
        http3 = true
        [log]
        access = "off"
        [upstream.services]
        targets = [{targets}]
        health = {{ kind = "http", path = "/healthz", every = "500ms", timeout = "400ms" }}
        [upstream.grpc]
        targets = [{targets}]
        http = "2"
        [plugin.misbehaving]
        source = "{plugin}"
        [[route]]
        match = "/echo"
        to = "services"
        [[route]]
        match = "/events"
        to = "services"
        [[route]]
        match = "/websocket"
        to = "services"
        [[route]]
        match = "/fragile"
        to = "services"
        filters = [
            {{ use = "misbehaving", name = "fragile", quarantine = {{ after = 0 }}, settings = {{ act = "panic-when-told" }} }},
            "request-id",
        ]
        [[route]]
        match = "POST /soak.Echo/{{method}}"
        to = "grpc"
        [[route]]
        match = "/number/{number}"
        respond = {{ body = "{number}" }}
        "#
    )
}

/// Every few seconds a target dies and, a moment later, returns. The first one stays, so that there is always one.
pub(crate) async fn targets_die_and_return(world: Arc<World>, end: Instant) {
    while Instant::now() < end {
        let number = fastrand::usize(1..world.targets.count());
        sleep(between(1000, 3000)).await;
        world.targets.kill(number).await;
        sleep(between(100, 2000)).await;
        world.targets.revive(number);
    }
}

/// Every few seconds a new certificate, a new configuration, or both.
pub(crate) async fn files_change(world: Arc<World>, end: Instant) {
    let mut number = 0;
    while Instant::now() < end {
        sleep(between(1000, 3000)).await;
        if fastrand::bool() {
            world.certificates.issue(world.gateway.folder());
        }
        number += 1;
        world.gateway.write(configuration(&world.targets, number));
        let address = world.gateway.secure_address();
        let in_use = async {
            while world.gateway.get(&format!("/number/{number}")).await.status() != 200 {
                sleep(Duration::from_millis(20)).await;
            }
            world.certificates.seen(world.gateway.folder(), address).await;
        };
        tokio::time::timeout(Duration::from_secs(20), in_use)
            .await
            .expect("a new configuration and certificate are in use");
        world.tally.reloaded();
    }
}

fn between(least: u64, most: u64) -> Duration {
    Duration::from_millis(fastrand::u64(least..most))
}
