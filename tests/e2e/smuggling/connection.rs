//! What is said about the connection: fields named away, upgrades, expectations.

use super::{GET, HELLO, Message, forwarded, forwarded_last, get, hold, post, refused};

/// Goes on as a GET without any of its fields.
fn stripped(fields: impl AsRef<[u8]>) -> Message {
    forwarded(get(fields), GET)
}

#[tokio::test]
async fn what_belongs_to_the_connection_stays_there() {
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n<own>\r\n");
    hold(
        34,
        vec![
            stripped("connection: keep-alive"),
            stripped("Connection: Keep-Alive\r\nKeep-Alive: timeout=5"),
            stripped("connection: x-drop\r\nx-drop: 1"),
            stripped("connection: keep-alive, X-Drop\r\nx-drop: 1\r\nx-drop: 2"),
            stripped("x-drop: 1\r\nconnection: ,x-drop,,"),
            stripped("connection: x-a\r\nconnection: x-b\r\nx-a: 1\r\nx-b: 2"),
            stripped("connection: \"x\", @, x y"),
            stripped("proxy-connection: keep-alive"),
            stripped("proxy-authorization: Basic eDp5"),
            stripped("te: gzip"),
            stripped("connection: te\r\nte: deflate, gzip;q=0.5"),
            // A client names away what the message needs, or what the gateway says.
            stripped("connection: host"),
            stripped("connection: via, forwarded, x-forwarded-for, x-forwarded-host, x-forwarded-proto"),
            forwarded(post("connection: content-length\r\ncontent-length: 5", "hello"), HELLO),
            forwarded(
                post(
                    "connection: transfer-encoding\r\ntransfer-encoding: chunked",
                    "5\r\nhello\r\n0\r\n\r\n",
                ),
                super::as_chunked("5\r\nhello\r\n0\r\n\r\n"),
            ),
            forwarded(
                get("connection: authorization\r\nauthorization: x"),
                with("authorization: x"),
            ),
            forwarded(get("connection: cookie\r\ncookie: a=1"), with("cookie: a=1")),
            forwarded(
                get("connection: cache-control\r\ncache-control: no-cache"),
                with("cache-control: no-cache"),
            ),
            forwarded(
                get("connection: content-type\r\ncontent-type: a/b"),
                with("content-type: a/b"),
            ),
            forwarded(get("connection: origin\r\norigin: http://a"), with("origin: http://a")),
            forwarded(
                get("connection: content-encoding\r\ncontent-encoding: gzip"),
                with("content-encoding: gzip"),
            ),
            // The connection is closed, whatever follows.
            forwarded_last(get("connection: close"), GET),
            forwarded_last(get("connection: Close"), GET),
            forwarded_last(get("connection: close, keep-alive"), GET),
            forwarded_last(post("connection: close\r\ncontent-length: 5", "hello"), HELLO),
            forwarded_last("GET / HTTP/1.0\r\nhost: a\r\n\r\n", GET),
            forwarded("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", GET),
            // Upgrades, by which requests tunnel past a gateway that believes in them.
            stripped("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA"),
            stripped("upgrade: h2c"),
            stripped("connection: upgrade\r\nupgrade: h2c"),
            stripped("connection: upgrade\r\nupgrade: TLS/1.3"),
            stripped("connection: upgrade\r\nupgrade: HTTP/2.0"),
            stripped("http2-settings: AAMAAABkAAQAoAAAAAIAAAAA"),
            forwarded(
                post("connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5", "hello"),
                HELLO,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn expectations_have_one_meaning() {
    let continued = |fields: &str, body: &str| post(format!("content-length: 5\r\n{fields}"), body);
    hold(
        12,
        vec![
            stripped("expect: 100-continue"),
            // Others are not known, or not the same to everybody (0.CL by way of `Expect`).
            refused(417, get("expect: 200-ok")),
            refused(417, continued("expect:", "hello")),
            refused(417, continued("expect: y 100-continue", "hello")),
            refused(417, continued("expect: 100-continue y", "hello")),
            refused(417, continued("expect: 100-continue, x", "hello")),
            refused(417, continued("expect: 100-continue\r\nexpect: x", "hello")),
            refused(417, continued("expect: 100-continue\r\nexpect: 100-continue", "hello")),
            refused(417, continued("expect: 100_continue", "hello")),
            refused(417, continued("expect: 100", "hello")),
            refused(400, continued("expect: \r\n 100-continue", "hello")),
            refused(400, continued("expect : 100-continue", "hello")),
            // HTTP/1.0 knows none, so there it says nothing (RFC 9110 section 10.1.1).
            forwarded_last(
                "POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
                HELLO,
            ),
        ],
    )
    .await;
}
