//! The admin address: health, readiness, metrics.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::server::handover::Passed;
use crate::server::inherited::Inherited;
use crate::telemetry::Metrics;

/// What the admin address can tell.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    metrics: Metrics,
    ready: Arc<AtomicBool>,
}

impl Admin {
    pub(crate) fn new(metrics: &Metrics) -> Admin {
        Admin {
            metrics: metrics.clone(),
            ready: Arc::default(),
        }
    }

    /// Whether traffic should be sent here.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Listens, with a socket that is there already or a new one, and serves in the background until what is given back is
    /// dropped. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub(crate) fn listen(&self, address: SocketAddr, inherited: &mut Inherited) -> std::io::Result<AdminListener> {
        let socket = match inherited.tcp(address).pop() {
            Some(socket) => socket,
            None => std::net::TcpListener::bind(address)?,
        };
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket.try_clone()?)?;
        let admin = self.clone();
        let serving = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => {
                        let admin = admin.clone();
                        let service = service_fn(move |request: Request<Incoming>| {
                            let response = admin.answer(&request);
                            async move { Ok::<_, Infallible>(response) }
                        });
                        let connection = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(socket), service);
                        tokio::spawn(async move {
                            let _ = connection.await;
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "an admin connection could not be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                }
            }
        });
        Ok(AdminListener {
            address: socket.local_addr()?,
            socket,
            serving: serving.abort_handle(),
        })
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        }
        match request.uri().path() {
            "/health" => text(StatusCode::OK, "alive\n"),
            "/ready" if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.encode());
                let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static(format));
                response
            }
            _ => text(StatusCode::NOT_FOUND, "served here: /health /ready /metrics\n"),
        }
    }
}

/// The admin address while it is listened on.
#[derive(Debug)]
pub(crate) struct AdminListener {
    address: SocketAddr,
    socket: std::net::TcpListener,
    serving: AbortHandle,
}

impl AdminListener {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket once more, for the gateway that follows.
    pub(crate) fn to_pass_on(&self) -> Option<Passed> {
        let socket = self.socket.try_clone().ok()?.into();
        Some(Passed {
            socket,
            with_file: false,
        })
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
