//! Field lines: names and values that one server trims, joins or cuts where another does not.

use super::{Message, forwarded, get, hold, refused};

fn bad(fields: impl AsRef<[u8]>) -> Message {
    refused(400, get(fields))
}

#[tokio::test]
async fn field_lines_have_one_form() {
    let x = "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n<own>\r\n";
    hold(
        45,
        vec![
            forwarded(get("x-a: 1"), x),
            forwarded(get("X-A:1"), x),
            forwarded(get("x-a:\t 1 \t"), x),
            forwarded(
                get("x-a: 1\r\nX-A: 2"),
                "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\nx-a: 2\r\n<own>\r\n",
            ),
            forwarded(
                get("x-a: 1:2, \"three\tfour\""),
                "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1:2, \"three\tfour\"\r\n<own>\r\n",
            ),
            forwarded(
                get("!#$%&'*+-.^`|~: 1"),
                "GET / HTTP/1.1\r\nhost: a\r\n!#$%&'*+-.^`|~: 1\r\n<own>\r\n",
            ),
            // An empty line before a request is from a client that ends its bodies with one.
            forwarded([b"\r\n", &get("x-a: 1")[..]].concat(), x),
            // Space before the colon, and no name.
            bad("x-a : 1"),
            bad("x-a\t: 1"),
            bad("x-a  : 1"),
            bad(b"x-a\x0b: 1"),
            bad(b"x-a\x0c: 1"),
            bad(b"x-a\xa0: 1"),
            bad(": 1"),
            bad(" : 1"),
            bad("x-a"),
            bad("x a: 1"),
            // Folding.
            bad("x-a: 1\r\n 2"),
            bad("x-a: 1\r\n\t2"),
            bad("x-a: 1\r\n \r\nx-b: 2"),
            bad("x-a:\r\n 1"),
            bad(" x-a: 1"),
            bad("\tx-a: 1"),
            // Line ends.
            bad("x-a: 1\nx-b: 2"),
            bad("x-a: 1\rx-b: 2"),
            bad("x-a: 1\n\rx-b: 2"),
            bad("x-a: 1\r\r\nx-b: 2"),
            bad("x-a: 1\n\nGET /evil HTTP/1.1\nhost: a\n"),
            bad("x-a: 1\r\n\rGET /evil HTTP/1.1"),
            // Bytes that end a text for some, and bytes that are none.
            bad("x-a: \0"),
            bad("x-a\0: 1"),
            bad("\0x-a: 1"),
            bad(b"x-a: \x01"),
            bad(b"x-a: \x0b1"),
            bad(b"x-a: \x1b1"),
            bad(b"x-a: \x7f"),
            bad(b"x-\xe9: 1"),
            bad("x-\u{e9}: 1"),
            bad(b"\xffx: 1"),
            // Names that are no tokens.
            bad("x(a): 1"),
            bad("x/a: 1"),
            bad("x,a: 1"),
            bad("x;a: 1"),
            bad("x=a: 1"),
            bad("\"x\": 1"),
            bad("[x]: 1"),
            bad("{x}: 1"),
            bad("x@a: 1"),
            bad("x\\a: 1"),
            // CGI cannot tell `_` from `-`.
            bad("x_a: 1"),
            bad("content_type: text/html"),
            bad("x_forwarded_for: 6.6.6.6"),
        ],
    )
    .await;
}
