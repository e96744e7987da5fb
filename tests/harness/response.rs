//! A response that has been read to its end.

use std::cell::RefCell;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::request::describe;

thread_local! {
    // A test runs on a thread of its own, so this is the test's last response.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What the last response of this test was, for a failure's report.
pub(crate) fn last() -> String {
    LAST.with_borrow(Clone::clone)
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    head: std::sync::Arc<http::response::Parts>,
    body: Bytes,
    trailers: HeaderMap,
}

impl Response {
    /// Reads a response to its end; an error where its body breaks off.
    pub async fn read(response: http::Response<Incoming>) -> Result<Self, String> {
        let (head, body) = response.into_parts();
        LAST.set(format!("{head:?}"));
        let collected = body.collect().await.map_err(|error| describe(&error))?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Self::of(
            http::Response::from_parts(head, ()),
            collected.to_bytes(),
            trailers,
        ))
    }

    /// A response of these parts, however they came.
    pub(crate) fn of(head: http::Response<()>, body: Bytes, trailers: HeaderMap) -> Self {
        let response = Response {
            head: std::sync::Arc::new(head.into_parts().0),
            body,
            trailers,
        };
        let shown = &response.body[..response.body.len().min(4096)];
        LAST.set(format!("{:?}\n{}", response.head, String::from_utf8_lossy(shown)));
        response
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The protocol it came by.
    pub fn version(&self) -> http::Version {
        self.head.version
    }

    /// The first value of a field; `""` where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.head
            .headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    /// Every value of a field.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.head
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().expect("a header in ASCII"))
            .collect()
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.head.headers.contains_key(name)
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.text()))
    }

    /// The first value of a trailer field; `""` where there is none.
    pub fn trailer(&self, name: &str) -> &str {
        self.trailers
            .get(name)
            .map_or("", |value| value.to_str().expect("a trailer in ASCII"))
    }

    /// The `code` of an error that the gateway made itself. Panics where this is no such error: a problem+json
    /// (RFC 9457) with type, title, status, id and code, its status that of the response.
    pub fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status());
        for member in ["type", "title", "id", "code"] {
            assert!(problem[member].is_string(), "no {member} in {problem}");
        }
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
