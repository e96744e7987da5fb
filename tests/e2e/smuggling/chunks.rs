//! Chunked bodies: sizes, extensions, line ends and trailers (TERM.EXT, EXT.TERM and their kin).

use super::{Message, as_chunked, broken_off, chunked, forwarded, hold};

fn bad(body: impl AsRef<[u8]>) -> Message {
    broken_off(400, chunked(body))
}

#[tokio::test]
async fn chunks_have_one_meaning() {
    let hello = as_chunked("5\r\nhello\r\n0\r\n\r\n");
    let nothing = as_chunked("0\r\n\r\n");
    hold(
        64,
        vec![
            forwarded(chunked("5\r\nhello\r\n0\r\n\r\n"), &hello),
            forwarded(chunked("0\r\n\r\n"), &nothing),
            forwarded(
                chunked("A\r\nhellohello\r\na\r\nhellohello\r\n0\r\n\r\n"),
                as_chunked("A\r\nhellohello\r\nA\r\nhellohello\r\n0\r\n\r\n"),
            ),
            // A chunk that looks like the end, and like a request.
            forwarded(
                chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
                as_chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            ),
            forwarded(
                chunked("28\r\nGET /evil HTTP/1.1\r\nhost: a\r\ncookie: 1\r\n\r\n0\r\n\r\n"),
                as_chunked("28\r\nGET /evil HTTP/1.1\r\nhost: a\r\ncookie: 1\r\n\r\n0\r\n\r\n"),
            ),
            // Leading zeros mean nothing, and do not go on.
            forwarded(chunked("005\r\nhello\r\n0\r\n\r\n"), &hello),
            forwarded(chunked("5\r\nhello\r\n000\r\n\r\n"), &hello),
            // Extensions mean nothing to anybody, and do not go on.
            forwarded(chunked("5;a\r\nhello\r\n0\r\n\r\n"), &hello),
            forwarded(chunked("5;a=b\r\nhello\r\n0;c\r\n\r\n"), &hello),
            forwarded(chunked("5;a=\"b c\"\r\nhello\r\n0\r\n\r\n"), &hello),
            forwarded(chunked("5;\r\nhello\r\n0\r\n\r\n"), &hello),
            // Sizes that are no plain hexadecimal number.
            bad("0x5\r\nhello\r\n0\r\n\r\n"),
            bad("0X5\r\nhello\r\n0\r\n\r\n"),
            bad("+5\r\nhello\r\n0\r\n\r\n"),
            bad("-5\r\nhello\r\n0\r\n\r\n"),
            bad("-0\r\n\r\n"),
            bad("5_0\r\nhello\r\n0\r\n\r\n"),
            bad("1_0\r\nhellohellohello!\r\n0\r\n\r\n"),
            bad(" 5\r\nhello\r\n0\r\n\r\n"),
            bad("\t5\r\nhello\r\n0\r\n\r\n"),
            bad("5 \r\nhello\r\n0\r\n\r\n"),
            bad("5\t\r\nhello\r\n0\r\n\r\n"),
            bad("5 ;a\r\nhello\r\n0\r\n\r\n"),
            bad("5 5\r\nhello\r\n0\r\n\r\n"),
            bad("5,5\r\nhello\r\n0\r\n\r\n"),
            bad("5.0\r\nhello\r\n0\r\n\r\n"),
            bad("5h\r\nhello\r\n0\r\n\r\n"),
            bad("5#\r\nhello\r\n0\r\n\r\n"),
            bad("\"5\"\r\nhello\r\n0\r\n\r\n"),
            bad("g\r\nhello\r\n0\r\n\r\n"),
            bad("\r\nhello\r\n0\r\n\r\n"),
            bad(";a\r\nhello\r\n0\r\n\r\n"),
            bad("\r\n5\r\nhello\r\n0\r\n\r\n"),
            bad(b"5\0\r\nhello\r\n0\r\n\r\n"),
            bad(b"\x0b5\r\nhello\r\n0\r\n\r\n"),
            bad(b"5\xa0\r\nhello\r\n0\r\n\r\n"),
            bad("\u{ff15}\r\nhello\r\n0\r\n\r\n"),
            // Sizes that overflow.
            bad("10000000000000005\r\nhello\r\n0\r\n\r\n"),
            bad("100000000000000005\r\nhello\r\n0\r\n\r\n"),
            bad("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            bad("fffffffffffffffb\r\nhello\r\n0\r\n\r\n"),
            bad("8000000000000005\r\nhello\r\n0\r\n\r\n"),
            bad("00000000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
            // Line ends of sizes.
            bad("5\nhello\r\n0\r\n\r\n"),
            bad("5\rhello\r\n0\r\n\r\n"),
            bad("5\r\rhello\r\n0\r\n\r\n"),
            bad("5\n\rhello\r\n0\r\n\r\n"),
            bad("5\r\r\nhello\r\n0\r\n\r\n"),
            // Line ends of chunks, spilled or cut short.
            bad("5\r\nhello\n0\r\n\r\n"),
            bad("5\r\nhello\r0\r\n\r\n"),
            bad("5\r\nhelloXX0\r\n\r\n"),
            bad("5\r\nhello0\r\n\r\n"),
            bad("5\r\nhello \r\n0\r\n\r\n"),
            bad("5\r\nhello!\r\n0\r\n\r\n"),
            bad("5\r\nhell\r\n0\r\n\r\n"),
            bad("5\r\nhello\r\n\r\n0\r\n\r\n"),
            bad("5\r\nhello\n\r\n0\r\n\r\n"),
            // Line ends in extensions: TERM.EXT, EXT.TERM, and in quotes.
            bad("5;\nhello\r\n0\r\n\r\n"),
            bad("5;a\nhello\r\n0\r\n\r\n"),
            bad("5;a=\"\nhello\r\n0\r\n\r\n"),
            bad("5;a=\"\r\nhello\r\n\"\r\n0\r\n\r\n"),
            bad("5;a\rb\r\nhello\r\n0\r\n\r\n"),
            bad("5;\r\r\nhello\r\n0\r\n\r\n"),
            bad("2;\nxx\r\n4c\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n"),
            bad(b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
            bad(b"5;a=\x01\r\nhello\r\n0\r\n\r\n"),
            bad(b"5;\x0b\r\nhello\r\n0\r\n\r\n"),
            bad(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300))),
            // The end.
            bad("0\n\r\n"),
            bad("0\r\n\n"),
            bad("0\n\n"),
            bad("0 \r\n\r\n"),
            bad("0x0\r\n\r\n"),
            bad("0\r\r\n\r\n"),
            bad("5\r\nhello\r\n0\r\n\r"),
        ],
    )
    .await;
}

#[tokio::test]
async fn trailers_change_nothing_of_the_message() {
    let with = |trailers: &str| chunked(format!("5\r\nhello\r\n0\r\n{trailers}\r\n\r\n"));
    let hello = as_chunked("5\r\nhello\r\n0\r\n\r\n");
    let mut messages = Vec::new();
    for trailer in [
        "content-length: 50",
        "Content-Length: 0",
        "transfer-encoding: chunked",
        "transfer-encoding: identity",
        "host: evil",
        "connection: keep-alive",
        "connection: x-a\r\nx-a: 1",
        "expect: 100-continue",
        "upgrade: h2c",
        "te: trailers",
        "trailer: x-a",
        "authorization: Bearer x",
        "cookie: a=1",
        "content-type: text/html",
        "content-encoding: gzip",
        "x-forwarded-for: 6.6.6.6",
        "forwarded: for=6.6.6.6",
        "via: 1.1 evil",
        "keep-alive: 5",
        "proxy-authorization: Basic eA==",
    ] {
        messages.push(forwarded(with(trailer), &hello));
    }
    for trailer in [
        "x-a : 1",
        " x-a: 1",
        "x-a: 1\r\n folded",
        "x-a",
        ": 1",
        "x-a: 1\nx-b: 2",
        "x-a: 1\rx-b: 2",
        "x-a: \0",
        "x a: 1",
        "GET /evil HTTP/1.1",
        "content-length : 5",
    ] {
        messages.push(bad(format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n")));
    }
    hold(30, messages).await;
}
