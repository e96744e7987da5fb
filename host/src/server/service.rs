//! One request to one response: in through the checks and the router, along the pipeline, to the backend and back.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::accept::{Accepted, accept, host_name};
use super::completion::{Completion, Outgoing};
use super::connection::Connection;
use super::view::{RouteView, View};
use crate::backend::Backend;
use crate::body::{Body, ClientBody, ClientBodyState};
use crate::pipeline::{self, Exchange, Verdict};
use crate::rejection::{Outcome, Rejection};
use crate::router::{Found, Lookup, Params};

/// Serves one request.
pub(super) async fn serve(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let started = Instant::now();
    connection.activity.begin_exchange();
    let view = connection.worker.view();
    let (mut parts, incoming) = request.into_parts();
    let accepted = accept(&mut parts, &view.gateway.config.server);
    let (target, host, mut rejection) = match accepted {
        Ok(Accepted { target, host }) => (target, host, None),
        Err(rejection) => (
            PathAndQuery::from_static("/"),
            HeaderValue::from_static(""),
            Some(rejection),
        ),
    };
    let (mut route, mut params) = (&view.unrouted, Params::default());
    if rejection.is_none() {
        match find(&view, &parts, &target, &host) {
            Ok((found, ranges)) => (route, params) = (found, ranges),
            Err(refused) => rejection = Some(refused),
        }
    }
    // A client whose head has no clear meaning, or no end, is not asked for another one.
    let close = rejection.as_ref().is_some_and(Rejection::ends_connection) && parts.version < Version::HTTP_2;
    let route = route.clone();
    let client = connection
        .forwarder
        .client(&parts.headers, &view.gateway.config.server.trusted_proxies);
    let exchange = Exchange::new(
        parts,
        target,
        client.scheme,
        host,
        route.info.clone(),
        params,
        client.address,
        started,
    );
    let mut completion = Completion::new(connection.clone(), view, route.clone(), exchange);
    let body = match rejection {
        Some(rejection) => {
            let (exchange, outcome) = completion.parts();
            pipeline::reject(exchange, &rejection, outcome)
        }
        None => run(&connection, &route, &mut completion, incoming).await,
    };
    let mut response = respond(&connection, completion, body);
    if close {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn find<'v>(
    view: &'v View,
    parts: &http::request::Parts,
    target: &PathAndQuery,
    host: &HeaderValue,
) -> Result<(&'v Rc<RouteView>, Params), Rejection> {
    let host = host_name(host);
    let lookup = Lookup {
        method: &parts.method,
        host: &host,
        path: target.path(),
        query: target.query(),
        headers: &parts.headers,
    };
    match view.gateway.router.find(&lookup) {
        Found::Route { route, params } => view
            .routes
            .get(route)
            .map(|route| (route, params))
            .ok_or(Rejection::NoRoute),
        Found::MethodNotAllowed { allow } => {
            Err(HeaderValue::try_from(allow).map_or(Rejection::NoRoute, Rejection::MethodNotAllowed))
        }
        Found::NotFound => Err(Rejection::NoRoute),
    }
}

/// Pipeline, backend, and pipeline back.
async fn run(
    connection: &Rc<Connection>,
    route: &Rc<RouteView>,
    completion: &mut Completion,
    incoming: Incoming,
) -> Body {
    let state = completion.client_body(&incoming);
    let body = match client_body(connection, route, incoming, state.as_ref()) {
        Ok(body) => body,
        Err(rejection) => {
            let (exchange, outcome) = completion.parts();
            return pipeline::reject(exchange, &rejection, outcome);
        }
    };
    let (passed, verdict) = route.pipeline.request(completion.exchange(), body).await;
    let body = match verdict {
        Verdict::Pass(body) => backend(connection, route, completion, body, state).await,
        Verdict::Reply(reply) => {
            let (exchange, outcome) = completion.parts();
            *outcome = Outcome::Replied;
            pipeline::answer(exchange, reply)
        }
        Verdict::Reject(rejection) => {
            let (exchange, outcome) = completion.parts();
            pipeline::reject(exchange, &rejection, outcome)
        }
    };
    let (exchange, outcome) = completion.parts();
    route.pipeline.response(exchange, passed, body, outcome).await
}

fn client_body(
    connection: &Rc<Connection>,
    route: &RouteView,
    incoming: Incoming,
    state: Option<&Rc<ClientBodyState>>,
) -> Result<Body, Rejection> {
    let Some(state) = state else { return Ok(Body::Empty) };
    // What is said to be too large is not even begun.
    if route
        .body_size
        .is_some_and(|limit| incoming.size_hint().lower() > limit)
    {
        return Err(Rejection::BodyTooLarge);
    }
    Ok(Body::Client(Box::new(ClientBody::new(
        incoming,
        route.body_size,
        state.clone(),
        connection.activity.clone(),
    ))))
}

async fn backend(
    connection: &Rc<Connection>,
    route: &RouteView,
    completion: &mut Completion,
    body: Body,
    state: Option<Rc<ClientBodyState>>,
) -> Body {
    let copy = route.pipeline.reads_request_later();
    let answered = match &route.backend {
        Some(Backend::Proxy(proxy)) => {
            let (exchange, asked) = completion.forward(&proxy.upstream.settings);
            connection
                .forwarder
                .write(&mut exchange.headers, &exchange.host, &exchange.scheme);
            match proxy.forward(exchange, body, state, copy, asked).await {
                Ok(forwarded) => {
                    exchange.response.status = forwarded.response.status;
                    exchange.response.headers = forwarded.response.headers;
                    Ok((forwarded.body, Outcome::Ok))
                }
                Err(rejection) => Err(rejection),
            }
        }
        Some(Backend::Redirect(redirect)) => {
            let exchange = completion.exchange();
            redirect
                .answer(exchange)
                .map(|reply| (pipeline::answer(exchange, reply), Outcome::Redirected))
        }
        Some(Backend::Fixed(fixed)) => Ok((
            pipeline::answer(completion.exchange(), fixed.answer()),
            Outcome::Responded,
        )),
        None => Err(Rejection::NoRoute),
    };
    let (exchange, outcome) = completion.parts();
    match answered {
        Ok((body, answered)) => {
            *outcome = answered;
            body
        }
        Err(rejection) => pipeline::reject(exchange, &rejection, outcome),
    }
}

fn respond(connection: &Connection, mut completion: Completion, body: Body) -> Response<Outgoing> {
    let exchange = completion.exchange();
    let status = exchange.response.status;
    let headers = std::mem::take(&mut exchange.response.headers);
    completion.head_sent(body.is_end_stream());
    let mut response = Response::new(Outgoing::new(body, completion));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    connection.activity.answering();
    response
}
