//! Server-sent events: each must come when it was sent, in order, and the stream must end with the last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, timeout};

use crate::World;
use crate::http::{PAUSE, connect};
use crate::tally::{Ended, Kind};
use crate::targets::{EVENTS, event};

/// How long the next event may take. They are sent every 20 ms; what is held back until the stream ends takes twenty times
/// that, and a busy machine something between.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that takes one stream after the other, over TLS or not.
pub(crate) async fn follow(world: Arc<World>, secure: bool, end: Instant) {
    while Instant::now() < end {
        let begun = Instant::now();
        let followed = timeout(4 * PATIENCE, stream(&world, secure)).await;
        let ended = match followed.unwrap_or_else(|elapsed| Err(elapsed.to_string())) {
            Ok(()) => Ended::Good,
            Err(_) if world.targets.died_since(begun) => Ended::Explained,
            Err(why) => Ended::Unexplained(why),
        };
        world.tally.add(Kind::Events, ended);
        sleep(PAUSE).await;
    }
}

async fn stream(world: &World, secure: bool) -> Result<(), String> {
    let mut sender = connect(world, secure).await.ok_or("no connection")?;
    let request = Request::builder()
        .method(Method::GET)
        .uri("/events")
        .header("host", "localhost")
        .body(Full::default())
        .expect("a request");
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("{} for a stream of events", answer.status()));
    }
    let (mut body, mut came) = (answer.into_body(), Vec::new());
    let first = Instant::now();
    let mut spread = Duration::ZERO;
    while let Some(frame) = timeout(PATIENCE, body.frame())
        .await
        .map_err(|_| format!("no event for {PATIENCE:?}, {} bytes before", came.len()))?
    {
        let frame = frame.map_err(|error| format!("the stream broke off after {} bytes: {error}", came.len()))?;
        came.extend(frame.into_data().unwrap_or_default());
        spread = first.elapsed();
    }
    let whole: String = (0..EVENTS).map(event).collect();
    if came != whole.as_bytes() {
        return Err(format!("{} bytes of events are not those that were sent", came.len()));
    }
    // All at once they come within no time.
    if spread < Duration::from_millis(20) {
        return Err(format!("the events were held back and came within {spread:?}"));
    }
    Ok(())
}
