//! gRPC over HTTP/2, as it is on the wire: messages with a length before them, and a status in the trailers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::World;
use crate::tally::{Ended, Kind};
use crate::targets::server;

type Body = BoxBody<Bytes, std::convert::Infallible>;
type Sender = http2::SendRequest<Body>;

const PATIENCE: Duration = Duration::from_secs(20);
/// What is said of a call whose time was over.
const UNANSWERED: &str = "neither answer nor end";
const PAUSE: Duration = Duration::from_millis(5);

/// One message each way, again and again.
pub(crate) async fn call(world: Arc<World>, end: Instant) {
    let mut sender = None;
    while Instant::now() < end {
        let begun = Instant::now();
        let message = message();
        let body = Full::new(message.clone()).boxed();
        let ended = match send(&world, &mut sender, body).await {
            Ok(response) if response.status() == 200 => {
                let server = server(response.headers());
                match collected(response).await {
                    Ok((bytes, Some(0))) if bytes == message => Ended::Good,
                    Ok((bytes, Some(0))) => Ended::MixedUp(format!("{} bytes for {}", bytes.len(), message.len())),
                    other => failed(&world, begun, server, &format!("{other:?}")),
                }
            }
            other => failed(&world, begun, None, &format!("{other:?}")),
        };
        world.tally.add(Kind::GrpcCall, ended);
        sleep(PAUSE).await;
    }
}

/// Many messages both ways over one call, each sent when the one before has come back.
pub(crate) async fn stream(world: Arc<World>, end: Instant) {
    let mut connection = None;
    while Instant::now() < end {
        let begun = Instant::now();
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((Ok(Frame::data(frame)), receiver))
        });
        let body = BodyExt::boxed(StreamBody::new(frames));
        let (server, mut incoming) = match send(&world, &mut connection, body).await {
            Ok(response) if response.status() == 200 && status(response.headers()).is_none() => {
                (server(response.headers()), response.into_body())
            }
            other => {
                world
                    .tally
                    .add(Kind::GrpcStream, failed(&world, begun, None, &format!("{other:?}")));
                sleep(PAUSE).await;
                continue;
            }
        };
        for number in 0..fastrand::usize(1..200) {
            let sent = message();
            let echoed = async {
                sender.send(sent.clone()).await.ok()?;
                let mut echoed = BytesMut::new();
                while echoed.len() < sent.len() {
                    echoed.put(incoming.frame().await?.ok()?.into_data().ok()?);
                }
                Some(echoed.freeze())
            };
            let ended = match timeout(PATIENCE, echoed).await {
                Ok(Some(echoed)) if echoed == sent => Ended::Good,
                Ok(Some(echoed)) => Ended::MixedUp(format!("{} bytes for {}", echoed.len(), sent.len())),
                Ok(None) => failed(
                    &world,
                    begun,
                    server,
                    &format!("the stream broke off at message {number}"),
                ),
                Err(_) => Ended::Unexplained(format!("no answer to message {number}")),
            };
            let good = matches!(ended, Ended::Good);
            world.tally.add(Kind::GrpcStream, ended);
            if !good || Instant::now() >= end {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

/// A message of some bytes, with the five that say how many.
fn message() -> Bytes {
    let size = fastrand::u32(0..4000);
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(size);
    message.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(size as usize));
    message.freeze()
}

async fn send(world: &World, connection: &mut Option<Sender>, body: Body) -> Result<Response<Incoming>, String> {
    let open = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(open) => open,
        None => connect(world).await?,
    };
    let sender = connection.insert(open);
    let request = Request::post("http://localhost/soak.Echo/Echo")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    let answer = timeout(PATIENCE, async {
        sender.ready().await?;
        sender.send_request(request).await
    });
    answer
        .await
        .map_err(|_| UNANSWERED.to_owned())?
        .map_err(|error| error.to_string())
}

async fn connect(world: &World) -> Result<Sender, String> {
    let socket = TcpStream::connect(world.gateway.address())
        .await
        .map_err(|error| error.to_string())?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn collected(response: Response<Incoming>) -> Result<(Bytes, Option<u32>), String> {
    let early = status(response.headers());
    let body = timeout(PATIENCE, response.into_body().collect())
        .await
        .map_err(|_| UNANSWERED.to_owned())?;
    let body = body.map_err(|error| error.to_string())?;
    let status = body.trailers().and_then(status).or(early);
    Ok((body.to_bytes(), status))
}

fn status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A target takes its calls with it, at once: one that goes unanswered has another reason.
fn failed(world: &World, begun: Instant, server: Option<usize>, what: &str) -> Ended {
    let has_waited = what.contains(UNANSWERED);
    if !has_waited && world.targets.died_since(begun, server) {
        Ended::Explained
    } else {
        Ended::Unexplained(what.to_owned())
    }
}
