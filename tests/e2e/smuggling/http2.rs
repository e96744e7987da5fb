//! The same over HTTP/2, where a gateway that only translates makes two messages of one (H2.CL, H2.TE, and CRLF).

use portcullis_tests::raw_http2::{Answer, END_HEADERS, END_STREAM, Frame, block, kind};
use portcullis_tests::{Gateway, RawHttp2, StrictUpstream};

use super::with_own;

/// A header section, the body of DATA, and what must come of it.
struct Message {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: &'static str,
    expected: Expected,
}

enum Expected {
    /// An answer with this status, and nothing upstream.
    Refused(u16),
    /// The stream, or the connection, ends with an error, and nothing whole goes upstream.
    Malformed,
    /// The same, but that the whole message may have gone upstream as exactly these bytes before the error came.
    MalformedAfter(Vec<u8>),
    /// Forwarded as exactly these bytes.
    Forwarded(Vec<u8>),
}

const PSEUDO: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// A POST with these fields after the pseudo-header fields, of which those with the same name are replaced.
fn post<V: AsRef<[u8]>>(expected: Expected, fields: &[(&str, V)], body: &'static str) -> Message {
    let replaced = |name: &str| fields.iter().find(|(own, _)| *own == name);
    let pseudo = PSEUDO.iter().map(|(name, value)| match replaced(name) {
        Some((_, own)) => (name.as_bytes().to_vec(), own.as_ref().to_vec()),
        None => (name.as_bytes().to_vec(), value.as_bytes().to_vec()),
    });
    let others = fields
        .iter()
        .filter(|(name, _)| !PSEUDO.iter().any(|(pseudo, _)| pseudo == name));
    let others = others.map(|(name, value)| (name.as_bytes().to_vec(), value.as_ref().to_vec()));
    Message {
        fields: pseudo.chain(others).collect(),
        body,
        expected,
    }
}

/// Exactly these fields.
fn exactly(expected: Expected, fields: &[(&str, &str)], body: &'static str) -> Message {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    Message {
        fields: fields.collect(),
        body,
        expected,
    }
}

fn forwarded(text: &str) -> Expected {
    Expected::Forwarded(with_own(text.as_bytes()))
}

#[tokio::test]
async fn a_message_of_http_2_is_one_message_of_http_1() {
    use Expected::{Malformed, Refused};
    const SMUGGLED: &str = "0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n";
    let [method, scheme, authority, path] = PSEUDO;
    let messages = vec![
        post(
            forwarded("POST / HTTP/1.1\r\ncontent-length: 5\r\n<own>host: a\r\n\r\nhello"),
            &[("content-length", "5")],
            "hello",
        ),
        post(
            forwarded("POST / HTTP/1.1\r\n<own>host: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            &[] as &[(&str, &str)],
            "hello",
        ),
        post(
            forwarded("POST / HTTP/1.1\r\n<own>host: a\r\n\r\n"),
            &[] as &[(&str, &str)],
            "",
        ),
        // H2.CL: the length is not that of DATA.
        post(
            Expected::MalformedAfter(with_own(
                b"POST / HTTP/1.1\r\ncontent-length: 0\r\n<own>host: a\r\n\r\n",
            )),
            &[("content-length", "0")],
            SMUGGLED,
        ),
        post(Malformed, &[("content-length", "4")], "hello"),
        post(Malformed, &[("content-length", "6")], "hello"),
        post(Malformed, &[("content-length", "5"), ("content-length", "6")], "hello"),
        post(
            Refused(400),
            &[("content-length", "5"), ("content-length", "5")],
            "hello",
        ),
        post(Malformed, &[("content-length", "5, 5")], "hello"),
        post(Malformed, &[("content-length", "+5")], "hello"),
        post(Malformed, &[("content-length", "-5")], "hello"),
        post(Malformed, &[("content-length", "0x5")], "hello"),
        post(Malformed, &[("content-length", "")], "hello"),
        post(Malformed, &[("content-length", "99999999999999999999999")], "hello"),
        post(Malformed, &[("content-length", "05")], "hello"),
        // H2.TE, and the rest of what belongs to a connection of HTTP/1.
        post(Malformed, &[("transfer-encoding", "chunked")], SMUGGLED),
        post(Malformed, &[("transfer-encoding", "identity")], SMUGGLED),
        post(
            Malformed,
            &[("content-length", "38"), ("transfer-encoding", "chunked")],
            SMUGGLED,
        ),
        post(Malformed, &[("connection", "close")], "hello"),
        post(Malformed, &[("connection", "transfer-encoding")], "hello"),
        post(Malformed, &[("keep-alive", "5")], "hello"),
        post(Malformed, &[("proxy-connection", "keep-alive")], "hello"),
        post(Malformed, &[("upgrade", "websocket")], "hello"),
        post(Malformed, &[("te", "gzip")], "hello"),
        // Line ends within values, names and pseudo-header fields.
        post(Malformed, &[("x", "a\r\ntransfer-encoding: chunked")], SMUGGLED),
        post(Malformed, &[("x", "a\r\n\r\nGET /evil HTTP/1.1\r\nhost: a")], ""),
        post(Malformed, &[("x", "a\nb")], ""),
        post(Malformed, &[("x", "a\rb")], ""),
        post(Malformed, &[("x", "a\0b")], ""),
        post(Malformed, &[("x: 1\r\ny", "a")], ""),
        post(Malformed, &[("x\r\ny", "a")], ""),
        post(Malformed, &[("transfer-encoding: chunked\r\nx", "a")], SMUGGLED),
        post(
            Malformed,
            &[(":path", "/ HTTP/1.1\r\ntransfer-encoding: chunked\r\nx: y")],
            SMUGGLED,
        ),
        post(Malformed, &[(":path", "/\r\n")], ""),
        post(Malformed, &[(":method", "GET / HTTP/1.1\r\nhost: b\r\n\r\nPOST")], ""),
        post(Malformed, &[(":method", "PO ST")], ""),
        post(Malformed, &[(":method", "")], ""),
        post(Malformed, &[(":authority", "a\r\nx: y")], ""),
        post(Malformed, &[(":authority", "a b")], ""),
        post(Malformed, &[(":authority", "a/b")], ""),
        post(Malformed, &[(":scheme", "http\r\nx: y")], ""),
        post(Malformed, &[(":scheme", "http://evil/?")], ""),
        // Targets.
        post(Malformed, &[(":path", "/a b")], ""),
        post(Malformed, &[(":path", "/?a b")], ""),
        post(Malformed, &[(":path", "")], ""),
        post(Refused(400), &[(":path", "*")], ""),
        post(Refused(400), &[(":path", "/..")], ""),
        post(Refused(400), &[(":path", "/a%2fb")], ""),
        post(Refused(400), &[(":path", "/a%00b")], ""),
        post(Refused(400), &[(":path", "/a\\b")], ""),
        // A fragment is no part of a target, and goes no further.
        post(
            forwarded("POST /?a HTTP/1.1\r\n<own>host: a\r\n\r\n"),
            &[(":path", "/?a#b")],
            "",
        ),
        post(Refused(400), &[(":path", "/\u{e9}")], ""),
        post(Refused(400), &[(":path", "/?\u{e9}")], ""),
        post(Malformed, &[(":path", "/?\x7f")], ""),
        post(Malformed, &[(":path", b"/?\xff")], ""),
        post(Malformed, &[(":path", "a")], ""),
        post(Malformed, &[(":path", "http://evil/")], ""),
        // Fields.
        post(Malformed, &[("X-Upper", "a")], ""),
        post(Malformed, &[("Transfer-Encoding", "chunked")], SMUGGLED),
        post(Malformed, &[("", "a")], ""),
        post(Malformed, &[("x y", "a")], ""),
        post(Malformed, &[("x:", "a")], ""),
        post(Malformed, &[("x ", "a")], ""),
        post(Refused(400), &[("x_a", "a")], ""),
        post(Refused(400), &[("transfer_encoding", "chunked")], ""),
        post(Refused(417), &[("expect", "x 100-continue")], ""),
        // Hosts.
        post(Refused(400), &[("host", "b")], ""),
        post(Refused(400), &[("host", "a"), ("host", "a")], ""),
        post(Refused(400), &[("host", "")], ""),
        post(Refused(400), &[(":authority", "a@b")], ""),
        post(Refused(400), &[(":authority", "a,b")], ""),
        post(Refused(400), &[(":scheme", "ftp")], ""),
        // Pseudo-header fields: twice, missing, late, unknown.
        exactly(Malformed, &[method, scheme, authority, path, (":path", "/evil")], ""),
        exactly(Malformed, &[method, method, scheme, authority, path], ""),
        exactly(Malformed, &[method, scheme, authority, (":authority", "b"), path], ""),
        exactly(Malformed, &[method, scheme, authority], ""),
        exactly(Malformed, &[scheme, authority, path], ""),
        exactly(Malformed, &[method, authority, path], ""),
        exactly(Refused(400), &[method, scheme, path], ""),
        exactly(Malformed, &[method, scheme, authority, ("x", "y"), path], ""),
        exactly(Malformed, &[method, scheme, authority, path, (":evil", "1")], ""),
        exactly(Malformed, &[method, scheme, authority, path, (":status", "200")], ""),
        exactly(
            Malformed,
            &[method, scheme, authority, path, (":protocol", "websocket")],
            "",
        ),
        exactly(Refused(501), &[(":method", "CONNECT"), (":authority", "a:80")], ""),
        exactly(Refused(501), &[(":method", "TRACE"), scheme, authority, path], ""),
    ];
    assert!(messages.len() >= 80, "only {} messages", messages.len());

    let upstream = StrictUpstream::start().await;
    let gateway = Gateway::proxying(upstream.upstream()).await;
    let mut wrong = String::new();
    for message in &messages {
        if let Err(what) = check(&gateway, &upstream, message).await {
            for (name, value) in &message.fields {
                wrong += &format!("{}: {}, ", name.escape_ascii(), value.escape_ascii());
            }
            wrong += &format!("{:?}\n    {what}\n", message.body);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

async fn check(gateway: &Gateway, upstream: &StrictUpstream, message: &Message) -> Result<(), String> {
    let mut client = RawHttp2::connect(gateway.address()).await;
    let end = if message.body.is_empty() { END_STREAM } else { 0 };
    client
        .send(&Frame::new(kind::HEADERS, END_HEADERS | end, 1, block(&message.fields)))
        .await;
    if !message.body.is_empty() {
        client.send(&Frame::new(kind::DATA, END_STREAM, 1, message.body)).await;
    }
    let answer = client.answer(1).await;
    // Where the connection goes on, it is in step.
    let same = match answer {
        Answer::GoAway(_) | Answer::Closed => None,
        _ => Some(client.get(3, "/same").await),
    };
    let fresh = RawHttp2::connect(gateway.address()).await.get(1, "/fresh").await;
    let received = upstream.take();

    let canary = |name: &str| with_own(format!("GET /{name} HTTP/1.1\r\n<own>host: a\r\n\r\n").as_bytes());
    let (as_expected, whole) = match &message.expected {
        Expected::Refused(status) => (answer == Answer::Status(*status), None),
        Expected::Malformed => (!matches!(answer, Answer::Status(..400 | 500..)), None),
        Expected::MalformedAfter(bytes) => {
            let went_on = received.whole.first() == Some(bytes);
            (!matches!(answer, Answer::Status(_)), went_on.then(|| bytes.clone()))
        }
        Expected::Forwarded(bytes) => (answer == Answer::Status(200), Some(bytes.clone())),
    };
    let same_message = same.map(|_| canary("same"));
    let expected: Vec<Vec<u8>> = whole.into_iter().chain(same_message).chain([canary("fresh")]).collect();
    if !as_expected || same.is_some_and(|same| same != Answer::Status(200)) || fresh != Answer::Status(200) {
        return Err(format!("answered {answer:?}, then {same:?} and {fresh:?}"));
    }
    if !received.odd.is_empty() {
        return Err(format!(
            "the upstream received what is not canonical: {:?}",
            received.odd
        ));
    }
    if received.whole != expected {
        let shown = |messages: &[Vec<u8>]| {
            let each = messages.iter().map(|bytes| format!("\n      {}", bytes.escape_ascii()));
            each.collect::<String>()
        };
        return Err(format!(
            "the upstream received{}\n    instead of{}",
            shown(&received.whole),
            shown(&expected)
        ));
    }
    Ok(())
}
