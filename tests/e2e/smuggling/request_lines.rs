//! Request lines: spaces, targets, versions, and paths with several spellings.

use super::{GET, Message, forwarded, hold, refused};

/// A request with this line.
fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nhost: a\r\n\r\n"].concat()
}

fn bad(text: impl AsRef<[u8]>) -> Message {
    refused(400, line(text))
}

/// A request for this target, and what goes on as its target.
fn target(target: &str, forwarded_as: &str) -> Message {
    forwarded(
        line(format!("GET {target} HTTP/1.1")),
        format!("GET {forwarded_as} HTTP/1.1\r\nhost: a\r\n<own>\r\n"),
    )
}

#[tokio::test]
async fn request_lines_have_one_form() {
    hold(
        48,
        vec![
            forwarded(line("GET / HTTP/1.1"), GET),
            forwarded(line("\r\n\r\nGET / HTTP/1.1"), GET),
            // White space.
            bad("GET  / HTTP/1.1"),
            bad("GET /  HTTP/1.1"),
            bad("GET / HTTP/1.1 "),
            bad(" GET / HTTP/1.1"),
            bad("\tGET / HTTP/1.1"),
            bad("GET\t/\tHTTP/1.1"),
            bad("GET\t/ HTTP/1.1"),
            bad("GET /\tHTTP/1.1"),
            bad("GET /a b HTTP/1.1"),
            bad("GET /a\tb HTTP/1.1"),
            bad(b"GET\x0b/\x0bHTTP/1.1"),
            bad(b"GET /\x0c HTTP/1.1"),
            bad(b"GET /\xa0HTTP/1.1"),
            bad("GET/ HTTP/1.1"),
            bad("GET / HTTP/1.1 x"),
            bad("GET / HTTP/1.1, HTTP/1.0"),
            // Line ends.
            bad("\nGET / HTTP/1.1"),
            bad("\rGET / HTTP/1.1"),
            bad("GET / HTTP/1.1\n"),
            bad("GET / HTTP/1.1\r"),
            bad("GET /\r HTTP/1.1"),
            bad("GET /a\nGET /b HTTP/1.1"),
            bad("GET / HTTP/1.1\r\n x: folded"),
            bad("GET /\0 HTTP/1.1"),
            // Methods.
            bad("G@T / HTTP/1.1"),
            bad("GET: / HTTP/1.1"),
            bad("G\u{c9}T / HTTP/1.1"),
            bad("\"GET\" / HTTP/1.1"),
            bad("/ HTTP/1.1"),
            bad("GET HTTP/1.1"),
            // Methods have case: this is not GET, and whoever serves it may say so.
            forwarded(line("get / HTTP/1.1"), "get / HTTP/1.1\r\nhost: a\r\n<own>\r\n"),
            forwarded(line("FOO / HTTP/1.1"), "FOO / HTTP/1.1\r\nhost: a\r\n<own>\r\n"),
            // Versions.
            refused(400, "GET /\r\n\r\n"),
            refused(400, "GET / \r\n\r\n"),
            bad("GET / HTTP/0.9"),
            bad("GET / HTTP/1.2"),
            bad("GET / HTTP/2.0"),
            bad("GET / HTTP/3"),
            bad("GET / HTTP/1"),
            bad("GET / HTTP/1.10"),
            bad("GET / HTTP/01.1"),
            bad("GET / HTTP/1.1.1"),
            bad("GET / http/1.1"),
            bad("GET / HTTP/ 1.1"),
            bad("GET / HTTP 1.1"),
            bad("GET / HTPP/1.1"),
            bad("GET / ICY/1.1"),
            bad("PRI * HTTP/2.0"),
        ],
    )
    .await;
}

#[tokio::test]
async fn targets_have_one_form() {
    hold(
        40,
        vec![
            target("/a?b=c", "/a?b=c"),
            target("/?a=?/../%2e#".trim_end_matches('#'), "/?a=?/../%2e"),
            target("/a/../b", "/b"),
            target("/a/%2e%2e/b", "/b"),
            target("/a/.%2E/b", "/b"),
            target("/%61", "/a"),
            target("/%7ea", "/~a"),
            target("/a%20b", "/a%20b"),
            target("/a%c3%a9", "/a%C3%A9"),
            target("/%25%32%65", "/%252e"),
            target("//a", "//a"),
            target("/a;b=c", "/a;b=c"),
            target("/a|b", "/a%7Cb"),
            target("http://a/x", "/x"),
            target("http://a", "/"),
            target("HTTP://a/x", "/x"),
            target("https://a/x", "/x"),
            target("http://a?x", "/?x"),
            bad("GET /../a HTTP/1.1"),
            bad("GET /%2e%2e/a HTTP/1.1"),
            bad("GET /a/..;/b HTTP/1.1"),
            bad("GET /a/..%3b/b HTTP/1.1"),
            bad("GET /a%2f..%2fb HTTP/1.1"),
            bad("GET /a%2Fb HTTP/1.1"),
            bad("GET /a%5cb HTTP/1.1"),
            bad("GET /a\\b HTTP/1.1"),
            bad("GET /a%00 HTTP/1.1"),
            bad("GET /a% HTTP/1.1"),
            bad("GET /a%zz HTTP/1.1"),
            bad("GET /a%u002e HTTP/1.1"),
            bad("GET /a#b HTTP/1.1"),
            bad("GET /a?b#c HTTP/1.1"),
            bad("GET #a HTTP/1.1"),
            bad("GET /a?b c HTTP/1.1"),
            bad("GET /\u{e9} HTTP/1.1"),
            bad("GET /?\u{e9} HTTP/1.1"),
            bad(b"GET /?\xff HTTP/1.1"),
            bad(b"GET /?\x7f HTTP/1.1"),
            bad("GET a HTTP/1.1"),
            bad("GET ../a HTTP/1.1"),
            bad("GET ?a HTTP/1.1"),
            bad("GET @b/ HTTP/1.1"),
            bad("GET :80/ HTTP/1.1"),
            bad("GET a:80 HTTP/1.1"),
            bad("GET ftp://a/ HTTP/1.1"),
            bad("GET file:///etc/passwd HTTP/1.1"),
            bad("GET http:/a HTTP/1.1"),
            bad("GET http:// HTTP/1.1"),
            bad("GET http:///x HTTP/1.1"),
            bad("GET * HTTP/1.1"),
        ],
    )
    .await;
}
