//! Server-sent events: each must come when it was sent, in order, and the stream must end with the last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};

use crate::World;
use crate::http::{PAUSE, connect};
use crate::tally::{Ended, Kind};
use crate::targets::{self, EVENTS, event};

/// How long the next event may take. They are sent every 20 ms; what is held back until the stream ends takes twenty times
/// that, and a busy machine something between.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that takes one stream after the other, over TLS or not.
pub(crate) async fn follow(world: Arc<World>, secure: bool, end: Instant) {
    while Instant::now() < end {
        let begun = Instant::now();
        let ended = match timeout(4 * PATIENCE, stream(&world, secure)).await {
            Ok(Ok(())) => Ended::Good,
            Ok(Err(Broken::Off { server, .. })) if world.targets.died_since(begun, server) => Ended::Explained,
            Ok(Err(Broken::Off { why, .. } | Broken::Otherwise(why))) => Ended::Unexplained(why),
            Err(elapsed) => Ended::Unexplained(elapsed.to_string()),
        };
        world.tally.add(Kind::Events, ended);
        sleep(PAUSE).await;
    }
}

/// What was wrong with a stream.
enum Broken {
    /// It ended too early, or did not begin: its target may have died.
    Off {
        /// Where a head had come.
        server: Option<usize>,
        why: String,
    },
    /// No death explains it.
    Otherwise(String),
}

async fn stream(world: &World, secure: bool) -> Result<(), Broken> {
    let connection = connect(world, secure).await;
    let mut sender = connection.ok_or_else(|| Broken::Otherwise("no connection".to_owned()))?;
    let request = Request::builder()
        .method(Method::GET)
        .uri("/events")
        .header("host", "localhost")
        .body(Full::default())
        .expect("a request");
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| Broken::Otherwise(error.to_string()))?;
    if answer.status() != 200 {
        // It is a GET: where its target dies before it answers another one is asked.
        return Err(Broken::Otherwise(format!("{} for a stream of events", answer.status())));
    }
    let server = targets::server(answer.headers());
    let (mut body, mut came) = (answer.into_body(), Vec::new());
    let first = Instant::now();
    let mut spread = Duration::ZERO;
    while let Some(frame) = timeout(PATIENCE, body.frame())
        .await
        .map_err(|_| Broken::Otherwise(format!("no event for {PATIENCE:?}, {} bytes before", came.len())))?
    {
        let broke = |error| Broken::Off {
            server,
            why: format!("the stream broke off after {} bytes: {error}", came.len()),
        };
        let frame = frame.map_err(broke)?;
        came.extend(frame.into_data().unwrap_or_default());
        spread = first.elapsed();
    }
    let whole: String = (0..EVENTS).map(event).collect();
    if came != whole.as_bytes() {
        let why = format!("{} bytes of events are not those that were sent", came.len());
        return Err(Broken::Otherwise(why));
    }
    // All at once they come within no time.
    if spread < Duration::from_millis(20) {
        let why = format!("the events were held back and came within {spread:?}");
        return Err(Broken::Otherwise(why));
    }
    Ok(())
}
