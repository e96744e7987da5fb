//! Content-Length: CL.TE, TE.CL, two lengths, and lengths that are no plain number.

use super::{HELLO, forwarded, get, hold, post, refused};

#[tokio::test]
async fn lengths_have_one_meaning() {
    let none = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n<own>\r\n";
    hold(
        46,
        vec![
            forwarded(post("content-length: 5", "hello"), HELLO),
            forwarded(post("Content-Length:5", "hello"), HELLO),
            forwarded(post("CONTENT-LENGTH:   5  ", "hello"), HELLO),
            forwarded(post("content-length:\t5\t", "hello"), HELLO),
            forwarded(post("content-length: 0", ""), none),
            // CL.TE and TE.CL, the classic pair.
            refused(
                400,
                post("content-length: 6\r\ntransfer-encoding: chunked", "0\r\n\r\nG"),
            ),
            refused(
                400,
                post("transfer-encoding: chunked\r\ncontent-length: 6", "0\r\n\r\nG"),
            ),
            refused(
                400,
                post(
                    "content-length: 4\r\ntransfer-encoding: chunked",
                    "5c\r\nGPOST / HTTP/1.1\r\nhost: a\r\ncontent-length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
                ),
            ),
            refused(
                400,
                post("content-length: 0\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
            ),
            refused(
                400,
                post("transfer-encoding: chunked\r\nx: 1\r\ncontent-length: 5", "0\r\n\r\n"),
            ),
            refused(
                400,
                post("Content-Length: 5\r\nTRANSFER-ENCODING: CHUNKED", "0\r\n\r\n"),
            ),
            // Two lengths.
            refused(400, post("content-length: 5\r\ncontent-length: 6", "hello!")),
            refused(400, post("content-length: 6\r\ncontent-length: 5", "hello!")),
            refused(400, post("content-length: 5\r\ncontent-length: 5", "hello")),
            refused(400, post("content-length: 5\r\nContent-Length: 0", "hello")),
            refused(400, post("content-length: 0\r\nx: y\r\ncontent-length: 44", "")),
            refused(400, post("content-length: 5, 5", "hello")),
            refused(400, post("content-length: 5,6", "hello!")),
            refused(400, post("content-length: 5,", "hello")),
            refused(400, post("content-length: ,5", "hello")),
            refused(400, post("content-length: 5;5", "hello")),
            // What is read by one `strtol` or another.
            refused(400, post("content-length: +5", "hello")),
            refused(400, post("content-length: -5", "hello")),
            refused(400, post("content-length: -0", "")),
            refused(400, post("content-length: 0x5", "hello")),
            refused(400, post("content-length: 5x", "hello")),
            refused(400, post("content-length: 5.0", "hello")),
            refused(400, post("content-length: 5e0", "hello")),
            refused(400, post("content-length: 0b101", "hello")),
            refused(400, post("content-length: 0o5", "hello")),
            refused(400, post("content-length: 1_0", "hellohello")),
            refused(400, post("content-length: 1 0", "hellohello")),
            refused(400, post("content-length: 5 6", "hello!")),
            refused(400, post("content-length: \"5\"", "hello")),
            refused(400, post("content-length: '5'", "hello")),
            refused(400, post("content-length:", "")),
            refused(400, post("content-length:  ", "hello")),
            refused(400, post(b"content-length: 5\x0b", "hello")),
            refused(400, post(b"content-length: \x0c5", "hello")),
            refused(400, post(b"content-length: \x005", "hello")),
            refused(400, post(b"content-length: 5\xa0", "hello")),
            refused(400, post("content-length: \u{665}", "hello")),
            refused(400, post("content-length: 18446744073709551616", "hello")),
            refused(400, post("content-length: 18446744073709551621", "hello")),
            refused(400, post("content-length: 99999999999999999999999999999999", "hello")),
            refused(400, post("content-length: 4294967301e", "hello")),
            // Leading zeros: some take them for octal.
            refused(400, post("content-length: 05", "hello")),
            refused(400, post("content-length: 0000000000000000000000000000005", "hello")),
            refused(400, post("content-length: 00", "")),
            // A name that is nearly the right one is another field, or none at all.
            refused(400, post("content-length : 5", "hello")),
            refused(400, post("content-length\t: 5", "hello")),
            refused(400, post("content length: 5", "hello")),
            refused(400, post(" content-length: 5", "hello")),
            refused(400, post("content_length: 5", "")),
            refused(400, post("x: y\r\n content-length: 5", "hello")),
            refused(400, get("content-length\0: 5")),
            refused(400, post("content-length: 5\r", "hello")),
            refused(400, post("content-length: \n5", "hello")),
            refused(400, post("content-length:\r\n 5", "hello")),
        ],
    )
    .await;
}
