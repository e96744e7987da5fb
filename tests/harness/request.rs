//! A request as a test writes it.

use std::net::SocketAddr;

use hyper::body::Incoming;

use crate::{Body, Connection, Response, body, within};

/// A request being filled in. Sent on a connection of its own, or on a kept one.
#[must_use = "a request does nothing until it is sent"]
#[derive(Debug)]
pub struct Request<'a> {
    way: Way<'a>,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

#[derive(Debug)]
enum Way<'a> {
    Fresh { address: SocketAddr, http2: bool },
    On(&'a mut Connection),
}

impl<'a> Request<'a> {
    /// A request on a connection of its own.
    pub fn to(address: SocketAddr, method: &str, path: &str) -> Request<'static> {
        Request::new(Way::Fresh { address, http2: false }, method, path)
    }

    pub(crate) fn on(connection: &'a mut Connection, method: &str, path: &str) -> Self {
        Request::new(Way::On(connection), method, path)
    }

    fn new(way: Way<'a>, method: &str, path: &str) -> Self {
        Request {
            way,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![],
            body: body::empty(),
        }
    }

    /// Adds a field. `host` replaces the default of `localhost`.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// A whole body, with its `Content-Length`.
    pub fn body(self, bytes: impl Into<bytes::Bytes>) -> Self {
        self.streaming(body::full(bytes))
    }

    /// A JSON body with its `Content-Type`.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Any body.
    pub fn streaming(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Over HTTP/2 by prior knowledge. A kept connection says itself what it speaks.
    pub fn http2(mut self) -> Self {
        if let Way::Fresh { http2, .. } = &mut self.way {
            *http2 = true;
        }
        self
    }

    /// Sends it and reads the whole response.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends it and reads the whole response; an error where either breaks.
    pub async fn try_send(self) -> Result<Response, String> {
        let what = format!("{} {}", self.method, self.path);
        within(&what, async { Response::read(self.try_stream().await?).await }).await
    }

    /// Sends it and reads the response's head; the body is the test's to read.
    pub async fn stream(self) -> http::Response<Incoming> {
        let what = format!("{} {}", self.method, self.path);
        within(&what, self.try_stream())
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends it and reads the response's head; an error where that breaks.
    pub async fn try_stream(self) -> Result<http::Response<Incoming>, String> {
        let mut fresh;
        let connection = match self.way {
            Way::Fresh { address, http2: true } => {
                fresh = Connection::http2(address).await;
                &mut fresh
            }
            Way::Fresh { address, http2: false } => {
                fresh = Connection::try_http1(address).await?;
                &mut fresh
            }
            Way::On(connection) => connection,
        };
        let host = self
            .headers
            .iter()
            .find(|(name, _)| name == "host")
            .map(|(_, value)| value.clone());
        let host = host.unwrap_or_else(|| b"localhost".to_vec());
        let mut request = http::Request::builder().method(self.method.as_str());
        if connection.is_http2() {
            request = request.version(http::Version::HTTP_2);
            request = request.uri(format!("http://{}{}", String::from_utf8_lossy(&host), self.path));
        } else {
            request = request.uri(self.path.as_str()).header("host", host);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(self.body).map_err(|error| error.to_string())?;
        connection.send(request).await.map_err(|error| describe(&error))
    }
}

pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
