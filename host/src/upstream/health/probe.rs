//! One probe of one target.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::grpc;
use crate::body::Body;
use crate::config::resolved::{Address, Health, Probe, Upstream};
use crate::upstream::connect::{ConnectError, connect_once};
use crate::upstream::connection::Connection;
use crate::upstream::reach::reach;
use crate::upstream::state::Listed;

/// Bytes of an answer that are read away, and for how long.
const REST: usize = 64 << 10;
const REST_TIME: Duration = Duration::from_millis(100);

/// Why a target is not healthy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no answer: {0}")]
    NoAnswer(#[from] hyper::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("gRPC status {0}")]
    GrpcStatus(String),
    #[error("the service is {0}")]
    NotServing(&'static str),
    #[error("the answer is malformed")]
    Malformed,
}

/// Asks a target, on a connection of its own: that it accepts new ones is part of its health.
pub(super) async fn ask(listed: &Listed, upstream: &Upstream, settings: &Health) -> Result<(), ProbeError> {
    let Listed { target, state } = listed;
    let moved = settings.port.map(|port| state.addresses.with_port(port));
    let addresses = moved.as_ref().unwrap_or(&state.addresses);
    let address = match (&target.address, settings.port) {
        (Address::Tcp { host, .. }, Some(port)) => &Address::Tcp {
            host: host.clone(),
            port,
        },
        (address, _) => address,
    };
    match &settings.probe {
        Probe::Tcp => {
            reach(address, addresses, &upstream.connections, &[], settings.timeout).await?;
            Ok(())
        }
        Probe::Http { path, host, statuses } => {
            let connection = connect_once(address, addresses, &upstream.connections, settings.timeout).await?;
            let request = request(Method::GET, path.clone(), host.as_ref(), address)?;
            let response = send(connection, request).await?;
            let status = response.status().as_u16();
            read_away(response).await;
            let is_good = statuses.iter().any(|range| range.contains(&status));
            is_good.then_some(()).ok_or(ProbeError::Status(status))
        }
        Probe::Grpc { service, host } => {
            let path = PathAndQuery::from_static(grpc::CHECK);
            let connection =
                connect_once(address, addresses, &upstream.connections.over_http2(), settings.timeout).await?;
            let mut request = request(Method::POST, path, host.as_ref(), address)?;
            *request.body_mut() = Body::Full(grpc::request(service), None);
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            grpc::judge(send(connection, request).await?).await
        }
    }
}

async fn send(mut connection: Connection, mut request: Request<Body>) -> Result<Response<Incoming>, ProbeError> {
    let shaped = connection.shape(&mut request, "localhost");
    shaped.map_err(|_| ProbeError::Malformed)?;
    let answer = connection.send(request).await;
    answer.map_err(|failed| ProbeError::NoAnswer(failed.into_error()))
}

/// Reads what else there is of an answer: closing before that would reset the connection, and many a service logs it. It
/// says nothing of the target's health.
async fn read_away(response: Response<Incoming>) {
    let rest = Limited::new(response.into_body(), REST).collect();
    let _ = timeout(REST_TIME, rest).await;
}

fn request(
    method: Method,
    path: PathAndQuery,
    host: Option<&HeaderValue>,
    address: &Address,
) -> Result<Request<Body>, ProbeError> {
    let own = match address {
        Address::Tcp { .. } => HeaderValue::try_from(address.to_string()).map_err(|_| ProbeError::Malformed)?,
        Address::Unix(_) => HeaderValue::from_static("localhost"),
    };
    let host = host.unwrap_or(&own);
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
    headers.insert(header::HOST, host.clone());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let agent = HeaderValue::from_static("portcullis-health");
    request.headers_mut().insert(header::USER_AGENT, agent);
    Ok(request)
}
