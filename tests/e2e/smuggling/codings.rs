//! Transfer-Encoding: everything that one server takes for `chunked` and another does not (TE.TE).

use super::{as_chunked, broken_off, chunked, forwarded, get, hold, post, refused};

#[tokio::test]
async fn only_chunked_is_a_coding_and_only_in_one_spelling() {
    const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";
    let hello = as_chunked(BODY);
    let mut messages = vec![
        forwarded(chunked(BODY), &hello),
        forwarded(post("Transfer-Encoding: chunked", BODY), &hello),
        forwarded(post("transfer-encoding:chunked", BODY), &hello),
        forwarded(post("transfer-encoding: \t chunked \t", BODY), &hello),
        forwarded(post("TRANSFER-ENCODING: Chunked", BODY), &hello),
        // A near miss is another field, so there is no body: what follows is the next request, and a bad one.
        forwarded(
            post("x-transfer-encoding: chunked", ""),
            "POST / HTTP/1.1\r\nhost: a\r\nx-transfer-encoding: chunked\r\n<own>\r\n",
        ),
        refused(400, get("transfer-encoding: chunked\r\ntransfer-encoding: chunked")),
        refused(
            400,
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        broken_off(400, post("transfer-encoding: chunked", "hello")),
    ];
    for fields in [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunkedx",
        "transfer-encoding: x chunked",
        "transfer-encoding: chunked x",
        "transfer-encoding: chunk",
        "transfer-encoding: chunked,",
        "transfer-encoding: ,chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: identity",
        "transfer-encoding: gzip",
        "transfer-encoding: cow",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: chunked; a",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: 'chunked'",
        "transfer-encoding: (c)chunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: \x0cchunked",
        "transfer-encoding: chunked\x0b",
        "transfer-encoding: chun\tked",
        "transfer-encoding: chunked\x7f",
        "transfer-encoding: \x01chunked",
        "transfer-encoding: chunked\0",
        "transfer-encoding: \u{a0}chunked",
        "transfer-encoding: chun\u{212a}ed",
        "transfer-encoding:",
        "transfer-encoding: ",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding:\r\n\tchunked",
        "transfer-encoding: chunked\r\n , identity",
        "transfer-encoding:\nchunked",
        "transfer-encoding: chunked\n",
        "transfer-encoding: chunked\r",
        "transfer-encoding: chunked\r\rx: 1",
        "transfer-encoding\r\n: chunked",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        " transfer-encoding: chunked",
        "\ttransfer-encoding: chunked",
        "transfer encoding: chunked",
        "transfer_encoding: chunked",
        "transfer-encoding chunked",
        "x: y\ntransfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
        "\0transfer-encoding: chunked",
        "transfer-encoding\0: chunked",
        "transfer-\u{212a}ncoding: chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: cow",
        "transfer-encoding: cow\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\nTransfer-Encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding:",
        "content-length: 5\r\ntransfer-encoding: xchunked",
        "content-length: 5\r\ntransfer-encoding : chunked",
        "transfer-encoding: identity\r\ncontent-length: 5",
    ] {
        messages.push(refused(400, post(fields, BODY)));
    }
    hold(65, messages).await;
}
