//! Requests over HTTP/3, each with an identity that its answer must carry.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use portcullis_tests::full;
use tokio::time::{sleep, timeout};

use crate::World;
use crate::certificates::NAME;
use crate::http::{PATIENCE, PAUSE, Sent};
use crate::tally::{Ended, Kind};

/// A client with one QUIC connection, which it renews now and then.
pub(crate) async fn one_after_the_other(world: Arc<World>, end: Instant) {
    let client = world.certificates.http3();
    while Instant::now() < end {
        let mut connection = match client.try_connect(world.gateway.secure_address(), NAME).await {
            Ok(connection) => connection,
            Err(error) => {
                let ended = Ended::Unexplained(format!("no connection: {error}"));
                world.tally.add(Kind::Http3, ended);
                sleep(PAUSE).await;
                continue;
            }
        };
        for _ in 0..fastrand::usize(1..200) {
            if Instant::now() >= end {
                break;
            }
            let method = if fastrand::bool() { Method::GET } else { Method::POST };
            let sent = Sent::new(&method);
            let request = connection.request(method.as_str(), "/echo").header("x-id", &sent.id);
            let request = request.body(full(sent.body.clone())).expect("a request");
            let ended = match timeout(PATIENCE, connection.try_send(request)).await {
                Ok(Ok(answer)) => {
                    let body = Ok::<_, String>(answer.bytes());
                    sent.judged(&world, answer.status(), None, answer.header("x-id"), body)
                }
                // A head that was there does not help: nobody can say whether it was.
                Ok(Err(_)) if world.targets.died_since(sent.begun, None) => Ended::Explained,
                Ok(Err(error)) => Ended::Unexplained(format!("no answer to {}: {error}", sent.id)),
                Err(elapsed) => Ended::Unexplained(format!("no answer to {}: {elapsed}", sent.id)),
            };
            world.tally.add(Kind::Http3, ended);
            sleep(PAUSE).await;
        }
    }
}
