//! Whom a request is for: several hosts, hosts that are none, and hosts that differ from the target.

use super::{Message, forwarded, forwarded_last, hold, refused};

/// A request with this line and these field lines.
fn request(line: &str, fields: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", fields.as_ref(), b"\r\n\r\n"].concat()
}

fn bad(fields: impl AsRef<[u8]>) -> Message {
    refused(400, request("GET / HTTP/1.1", fields))
}

fn good(host: &str) -> Message {
    forwarded(
        request("GET / HTTP/1.1", format!("host: {host}")),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\n<own>\r\n"),
    )
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    hold(
        48,
        vec![
            good("a"),
            good("A.example"),
            good("a:80"),
            good("a.example.:8080"),
            good("127.0.0.1:1"),
            good("[::1]:80"),
            good("xn--bcher-kva.example"),
            // None, or several.
            refused(400, "GET / HTTP/1.1\r\n\r\n"),
            bad("x: y"),
            bad("host: a\r\nhost: b"),
            bad("host: a\r\nhost: a"),
            bad("host: a\r\nHOST: b"),
            bad("host: a\r\nx: y\r\nhost:"),
            bad("host:"),
            bad("host: "),
            bad("host: a, b"),
            bad("host: a,b"),
            bad("host: a b"),
            bad("host: a;b"),
            bad("host: a\tb"),
            bad("host: a\r\n b"),
            bad(" host: a"),
            bad("host : a"),
            bad("host\t: a"),
            bad("x: y\r\n host: a"),
            // What is no host.
            bad("host: a/b"),
            bad("host: a?b"),
            bad("host: a#b"),
            bad("host: http://a"),
            bad("host: user@a"),
            bad("host: user:password@a"),
            bad("host: a@b"),
            bad("host: a\\b"),
            bad("host: \"a\""),
            bad("host: a\0b"),
            bad(b"host: a\x01"),
            bad(b"host: \xe9"),
            bad("host: b\u{fc}cher.example"),
            bad("host: a%00b"),
            bad("host: a%2eb"),
            bad("host: %61"),
            bad("host: <a>"),
            bad("host: {a}"),
            bad("host: a|b"),
            // What is no port.
            bad("host: a:80:80"),
            bad("host: a:b"),
            bad("host: a:80@b:81"),
            bad("host: a:-1"),
            bad("host: a:+80"),
            bad("host: a:0x50"),
            bad("host: a: 80"),
            bad("host: a:99999999"),
            bad("host: a:65536"),
            bad("host: :80"),
            bad("host: a:"),
            bad("host: ["),
            bad("host: [::1"),
            bad("host: ::1"),
            bad("host: [::1]x"),
            bad("host: [a]"),
            bad("host: [::1]:x"),
            // The target says something else.
            refused(400, request("GET http://b/ HTTP/1.1", "host: a")),
            refused(400, request("GET http://a:80/ HTTP/1.1", "host: a")),
            refused(400, request("GET http://a/ HTTP/1.1", "host: a:80")),
            refused(400, request("GET http://a@b/ HTTP/1.1", "host: b")),
            refused(400, request("GET http://a@b/ HTTP/1.1", "host: a@b")),
            refused(400, request("GET http://a/ HTTP/1.1", "x: y")),
            refused(400, request("GET http://a,b/ HTTP/1.1", "host: a")),
            forwarded(
                request("GET http://A/ HTTP/1.1", "host: a"),
                "GET / HTTP/1.1\r\nhost: a\r\n<own>\r\n",
            ),
            // What names another host is no `Host`, and goes no further as what the gateway says of itself.
            forwarded(
                request("GET / HTTP/1.1", "host: a\r\nx-forwarded-host: evil"),
                "GET / HTTP/1.1\r\nhost: a\r\n<own>\r\n",
            ),
            forwarded_last(
                "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
                "GET / HTTP/1.1\r\nhost: a\r\n<own>\r\n",
            ),
            refused(400, "GET http://b/ HTTP/1.0\r\nhost: a\r\n\r\n"),
        ],
    )
    .await;
}
