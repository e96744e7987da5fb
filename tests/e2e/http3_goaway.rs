//! Whoever says GOAWAY over HTTP/3, what is under way comes whole.

use std::sync::Arc;
use std::time::Duration;

use portcullis_tests::{Gateway, Http3Client, Secured, Upstream, eventually, generated, within};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{Notify, oneshot};

const MIB: u64 = 1 << 20;
const H3_NO_ERROR: u64 = 0x100;

/// GET / of shop.example: its fields are in QPACK's static table, but for the authority.
const GET: &[u8] = b"\x01\x13\0\0\xd1\xd7\xc1\x50\x0cshop.example";
/// The beginning of a control stream: its type, and SETTINGS that has none.
const CONTROL: [u8; 3] = [0, 4, 0];
/// GOAWAY of a client that wants no pushes, of which there are none.
const GOAWAY: [u8; 3] = [7, 1, 0];

/// What a client has heard until its connection ended.
struct Heard {
    /// Bytes of the answer, with its head; none where it broke off.
    answer: Option<u64>,
    /// The streams in GOAWAY.
    goaways: Vec<u64>,
    /// The code that the connection was closed with.
    code: Option<u64>,
}

/// A client that has asked for /, and now neither takes nor acknowledges anything, while the answer is made.
struct Pausing {
    secured: Arc<Secured>,
    _upstream: Upstream,
    go_on: std::sync::mpsc::Sender<()>,
    heard: tokio::task::JoinHandle<Heard>,
}

impl Pausing {
    /// A client of an answer of so many bytes, which says more on its control stream before it asks.
    async fn before(bytes: u64, more: &'static [u8]) -> Pausing {
        let answered = Arc::new(Notify::new());
        let upstream = Upstream::with({
            let answered = answered.clone();
            move |_| {
                let answered = answered.clone();
                async move {
                    answered.notified().await;
                    http::Response::new(generated(bytes))
                }
            }
        })
        .await;
        let routes = Gateway::proxying_configuration(&upstream);
        let secured = Arc::new(Secured::with_http3(&["shop.example"], "true", &routes).await);
        let (pause, told) = oneshot::channel();
        let (pausing, paused) = oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        // On a thread of its own, which can stand still.
        let client = secured.clone();
        let heard = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let (quic, _control, answer) = asking(&client, more).await;
                told.await.expect("a test that goes on");
                pausing.send(()).expect("a test that goes on");
                may_go_on.recv().expect("a test that goes on");
                let (answer, goaways) = tokio::join!(length(answer), goaways(&quic));
                let ended = within("the connection ends", quic.closed()).await;
                let code = code(&ended);
                Heard { answer, goaways, code }
            })
        });
        eventually("it is under way", async || upstream.in_flight() == 1).await;
        pause.send(()).expect("a client");
        paused.await.expect("a client");
        answered.notify_one();
        Pausing {
            secured,
            _upstream: upstream,
            go_on,
            heard,
        }
    }

    /// Has the client go on.
    async fn goes_on(self) -> Heard {
        self.go_on.send(()).expect("a client");
        self.heard.await.expect("no panic")
    }
}

/// A connection on which / was asked for.
async fn asking(secured: &Secured, more: &[u8]) -> (Connection, SendStream, RecvStream) {
    let client = Http3Client::trusting(&secured.authority).with_window(16 << 20);
    let address = secured.gateway.secure_address();
    let quic = client.quic(address, "shop.example").await.expect("a connection");
    let mut control = quic.open_uni().await.expect("a stream");
    let said = [&CONTROL, more].concat();
    control.write_all(&said).await.expect("room");
    let (mut request, answer) = quic.open_bi().await.expect("a stream");
    request.write_all(GET).await.expect("room");
    request.finish().expect("a stream that is open");
    (quic, control, answer)
}

/// The length of an answer that comes whole.
async fn length(mut answer: RecvStream) -> Option<u64> {
    let whole = within("the answer comes", answer.read_to_end(16 << 20)).await;
    whole.ok().map(|answer| answer.len() as u64)
}

fn code(ended: &ConnectionError) -> Option<u64> {
    match ended {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

#[tokio::test]
async fn a_client_that_says_it_gets_what_is_on_its_way() {
    let client = Pausing::before(MIB * 3 / 2, &GOAWAY).await;
    // The gateway has done its part, and holds most of the answer.
    assert_eq!(client.secured.gateway.outcome("/").await, "ok");

    let heard = client.goes_on().await;

    assert!(
        heard.answer.is_some_and(|length| length > MIB * 3 / 2),
        "{:?}",
        heard.answer
    );
    assert_eq!(heard.code, Some(H3_NO_ERROR));
}

/// The numbers of a stream, and of the frames on it, in one byte each, or more.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let (more, rest) = rest.split_at_checked((1 << (first >> 6)) - 1)?;
    *bytes = rest;
    let begin = u64::from(first & 0x3f);
    Some(more.iter().fold(begin, |number, byte| number << 8 | u64::from(*byte)))
}

/// What the gateway says on its control stream until the connection ends: the streams in GOAWAY.
async fn goaways(quic: &Connection) -> Vec<u64> {
    let mut control = loop {
        let mut stream = within("a control stream", quic.accept_uni()).await.expect("a stream");
        let mut kind = [0];
        stream.read_exact(&mut kind).await.expect("a type");
        if kind == [0] {
            break stream;
        }
    };
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = within("the connection ends", control.read_chunk(1 << 10, true)).await {
        said.extend_from_slice(&chunk.bytes);
    }
    let (mut said, mut found) = (&said[..], Vec::new());
    while let (Some(kind), Some(length)) = (number(&mut said), number(&mut said)) {
        let (mut payload, rest) = said.split_at(length as usize);
        said = rest;
        if kind == 7 {
            found.extend(number(&mut payload));
        }
    }
    found
}

#[tokio::test]
async fn a_client_hears_it_also_behind_all_that_it_has_not_taken() {
    let client = Pausing::before(8 * MIB, &[]).await;
    let gateway = client.secured.clone();

    // More than the gateway lets be under way waits, so that nothing can be said for now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gateway.gateway.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let heard = client.goes_on().await;

    assert!(
        heard.answer.is_some_and(|length| length > 8 * MIB),
        "{:?}",
        heard.answer
    );
    let said = &heard.goaways[..];
    assert!(matches!(said, [all, last] if *all > 1 << 20 && *last < 16), "{said:?}");
    assert_eq!(heard.code, Some(H3_NO_ERROR));
}
