//! Messages both ways over an upgraded connection: each must come back, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::World;
use crate::tally::{Ended, Kind};
use crate::targets;

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn talk(world: Arc<World>, end: Instant) {
    while Instant::now() < end {
        let begun = Instant::now();
        let Ok(socket) = TcpStream::connect(world.gateway.address()).await else {
            world
                .tally
                .add(Kind::WebSocket, Ended::Unexplained("no connection".to_owned()));
            continue;
        };
        let server;
        let mut socket = match tokio_tungstenite::client_async("ws://localhost/websocket", socket).await {
            Ok((socket, answer)) => {
                server = targets::server(answer.headers());
                socket
            }
            Err(error) => {
                world.tally.add(
                    Kind::WebSocket,
                    failed(&world, begun, None, &format!("no handshake: {error}")),
                );
                sleep(PAUSE).await;
                continue;
            }
        };
        for number in 0..fastrand::usize(1..500) {
            let text = format!("{number} {}", "x".repeat(fastrand::usize(0..2000)));
            let echoed = async {
                socket.send(Message::text(text.clone())).await?;
                socket.next().await.transpose()
            };
            let ended = match timeout(PATIENCE, echoed).await {
                Ok(Ok(Some(Message::Text(echoed)))) if echoed.as_str() == text => Ended::Good,
                Ok(Ok(Some(Message::Text(echoed)))) => Ended::MixedUp(format!("{echoed} for {text}")),
                Ok(other) => failed(&world, begun, server, &format!("{other:?} for message {number}")),
                Err(_) => Ended::Unexplained(format!("no answer to message {number}")),
            };
            let good = matches!(ended, Ended::Good);
            world.tally.add(Kind::WebSocket, ended);
            if !good || Instant::now() >= end {
                break;
            }
            sleep(PAUSE).await;
        }
        let _ = timeout(PATIENCE, socket.close(None)).await;
    }
}

/// A target takes with it what was said to it, however long ago the talk began.
fn failed(world: &World, begun: Instant, server: Option<usize>, what: &str) -> Ended {
    if world.targets.died_since(begun, server) {
        Ended::Explained
    } else {
        Ended::Unexplained(what.to_owned())
    }
}
