//! One request to one response: in through the checks and the router, along the pipeline, to the backend and back.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;

use super::accept::{ASTERISK, Accepted, accept};
use super::completion::Completion;
use super::connection::Connection;
use super::early_hints::Hints;
use super::extended_connect::ExtendedConnect;
use super::incoming::Incoming;
use super::outgoing::{Outgoing, Sending};
use super::upgrade::{self, Wish};
use super::view::{RouteView, View};
use super::wait::Watch;
use crate::backend::Backend;
use crate::body::{Body, ClientBody};
use crate::compression;
use crate::pipeline::{self, Exchange, Verdict};
use crate::rejection::{Outcome, Rejection};
use crate::router::{Found, Lookup, Params};

/// Serves one request. What needs no waiting is done at once, so that what is left to wait with is small.
pub(super) fn serve<B: Into<Incoming>>(
    connection: &Rc<Connection>,
    request: Request<B>,
) -> impl Future<Output = Result<Response<Sending>, Infallible>> + use<B> {
    let (parts, incoming) = request.into_parts();
    let Begun {
        mut outgoing,
        body,
        asks,
        extended,
    } = begin(connection, parts, incoming.into());
    async move {
        let completion = outgoing.completion();
        let mut close = false;
        let body = match body {
            Ok(body) => run(completion, body).await,
            Err(rejection) => {
                let is_outdated = completion.connection.activity.is_outdated();
                let (exchange, outcome) = completion.parts();
                // A client whose head has no clear meaning, or no end, is not asked for another one.
                close = (rejection.ends_connection() || is_outdated) && exchange.version < Version::HTTP_2;
                pipeline::reject(exchange, &rejection, outcome)
            }
        };
        if completion.exchange().hints.take().is_some() {
            // What has not gone out by now would come too late.
            completion.connection.activity.hints.take();
        }
        if let Some(extended) = extended {
            return Ok(extended.answer(outgoing, body));
        }
        let switches = completion.exchange().response.status == StatusCode::SWITCHING_PROTOCOLS;
        let body = match body {
            Body::Upgraded(upgraded) if switches => return Ok(upgrade::switch(outgoing, *upgraded)),
            body => body,
        };
        if asks {
            completion.connection.activity.handshake.refuse();
        }
        let told = completion
            .connection
            .has_http3
            .then(|| completion.connection.alt_svc().cloned());
        let mut response = outgoing.respond(body);
        match told {
            None => {}
            Some(Some(alt_svc)) => drop(response.headers_mut().insert(header::ALT_SVC, alt_svc)),
            // What an upstream says of itself is not true of us.
            Some(None) => drop(response.headers_mut().remove(header::ALT_SVC)),
        }
        if close {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// An exchange that has begun.
struct Begun {
    outgoing: Outgoing,
    /// The body that goes on, unless it is refused.
    body: Result<Body, Rejection>,
    /// Whether it is answered to a client that waits for another protocol.
    asks: bool,
    /// The client's stream goes on as a WebSocket, if the target agrees.
    extended: Option<ExtendedConnect>,
}

/// From a request to an exchange, through the checks and the router.
fn begin(connection: &Rc<Connection>, mut parts: Parts, incoming: Incoming) -> Begun {
    let started = Instant::now();
    connection.activity.begin_exchange();
    let view = connection.worker.view();
    let server = &view.gateway.config.server;
    let mut rejection = None;
    let asked = connection.activity.handshake.is_asked();
    let wish = asked.then(|| Wish::of(&parts, &incoming)).flatten();
    let extended = ExtendedConnect::of(&mut parts);
    let accepted = accept(&mut parts, server, &connection.host).unwrap_or_else(|refused| {
        rejection = Some(refused);
        Accepted::nowhere()
    });
    if accepted.claims {
        connection.forwarder.disbelieve(&mut parts.headers);
    }
    let (mut route, mut params) = (&view.unrouted, Params::default());
    if rejection.is_none() {
        match find(connection, &view, &parts, &accepted, started) {
            Ok((found, ranges)) => (route, params) = (found, ranges),
            Err(refused) => rejection = Some(refused),
        }
    }
    let client = connection.forwarder.client(&parts.headers, &server.trusted_proxies);
    let route = route.clone();
    let mut exchange = Exchange::new(
        parts,
        accepted.target,
        client.scheme,
        accepted.host.field,
        route.info.clone(),
        params,
        client.address,
        started,
    );
    let asks = wish.is_some();
    if let Some(settings) = &route.compress {
        exchange.encoding = compression::choose(&exchange.headers, &settings.encodings);
    }
    exchange.upgrade = match &extended {
        Some(_) => Wish::for_websocket().within(&route.upgrades),
        None => wish.and_then(|wish| wish.within(&route.upgrades)),
    };
    if extended.is_some() && exchange.upgrade.is_none() {
        rejection.get_or_insert(Rejection::NotImplemented);
    }
    if let Some(secured) = &connection.secured {
        exchange.client_certificate.clone_from(&secured.client);
    }
    if route.early_hints && exchange.version == Version::HTTP_11 {
        let hints = Hints::new();
        *connection.activity.hints.borrow_mut() = Some(hints.clone());
        exchange.hints = Some(hints);
    }
    let mut outgoing = Outgoing::new(Completion::new(connection.clone(), view, route, exchange));
    let body = match rejection {
        None => client_body(outgoing.completion(), incoming),
        Some(rejection) => Err(rejection),
    };
    Begun {
        outgoing,
        body,
        asks,
        extended,
    }
}

fn find<'v>(
    connection: &Connection,
    view: &'v View,
    parts: &Parts,
    accepted: &Accepted,
    started: Instant,
) -> Result<(&'v Rc<RouteView>, Params), Rejection> {
    let listener = view.listeners.get(connection.listener).ok_or(Rejection::NoRoute)?;
    if !connection.keeps_the_rules(started) {
        return Err(Rejection::Misdirected);
    }
    let host = &*accepted.host.name;
    if let Some((secured, tls)) = connection.secured.as_ref().zip(listener.tls.as_ref())
        && tls.settings.client.is_some()
        && !secured.is_for(host, tls)
    {
        return Err(Rejection::Misdirected);
    }
    if accepted.target.path() == ASTERISK {
        return Ok((&view.itself, Params::default()));
    }
    if let Some((challenge, route)) = &listener.challenge
        && challenge.is_asked(&parts.method, accepted.target.path())
    {
        return Ok((route, Params::default()));
    }
    if let Some(to_https) = &listener.to_https {
        return Ok((to_https, Params::default()));
    }
    let lookup = Lookup {
        method: &parts.method,
        host: &accepted.host.name,
        path: accepted.target.path(),
        query: accepted.target.query(),
        headers: &parts.headers,
    };
    match listener.router.find(&lookup) {
        Found::Route { route, params } => view
            .routes
            .get(route)
            .map(|route| (route, params))
            .ok_or(Rejection::NoRoute),
        Found::MethodNotAllowed { allow } => {
            Err(HeaderValue::try_from(allow).map_or(Rejection::NoRoute, Rejection::MethodNotAllowed))
        }
        Found::NotFound => Err(match connection.secured.as_ref().zip(listener.tls.as_ref()) {
            // Another listener is for this host: a client that has reused a connection may try a new one.
            Some((secured, tls)) if !secured.is_for(host, tls) && view.is_of_another(connection.listener, host) => {
                Rejection::Misdirected
            }
            _ => Rejection::NoRoute,
        }),
    }
}

fn client_body(completion: &mut Completion, incoming: Incoming) -> Result<Body, Rejection> {
    let Some(state) = completion.client_body(&incoming) else {
        return Ok(Body::Empty);
    };
    let limit = completion.route.body_size;
    // What is said to be too large is not even begun.
    if limit.is_some_and(|limit| incoming.size_hint().lower() > limit) {
        return Err(Rejection::BodyTooLarge);
    }
    let activity = completion.connection.activity.clone();
    let watch = if is_conversation(&completion.exchange().headers) {
        Watch::unpaced(activity)
    } else {
        Watch::new(activity)
    };
    Ok(Body::Client(Box::new(ClientBody::new(
        incoming,
        limit,
        completion.trailer_limits(),
        state,
        watch,
    ))))
}

/// Whether a body's messages come when there is something to say (gRPC, and Connect's streams), and not as fast as they can.
fn is_conversation(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    kind.starts_with(b"application/grpc") || kind.starts_with(b"application/connect+")
}

/// Pipeline, backend, and pipeline back.
async fn run(completion: &mut Completion, body: Body) -> Body {
    let route = completion.route.clone();
    let body = if route.pipeline.is_empty() {
        backend(&route, completion, Verdict::Pass(body)).await
    } else {
        // In a box, since what filters wait with is large, and would be moved about with every exchange.
        Box::pin(filtered(&route, completion, body)).await
    };
    match &route.compress {
        None => body,
        Some(settings) => compression::compress(settings, completion.exchange(), body),
    }
}

/// The filters, the backend, and the filters again.
async fn filtered(route: &RouteView, completion: &mut Completion, body: Body) -> Body {
    let (passed, verdict) = route.pipeline.request(completion.exchange(), body).await;
    let body = backend(route, completion, verdict).await;
    let (exchange, outcome) = completion.parts();
    route.pipeline.response(exchange, passed, body, outcome).await
}

/// The response: the backend's, or whatever a filter turned back with.
async fn backend(route: &RouteView, completion: &mut Completion, mut verdict: Verdict) -> Body {
    if let Some(fault) = &route.fault
        && matches!(verdict, Verdict::Pass(_))
        && let Err(rejection) = Box::pin(fault.strike(completion.exchange().deadline)).await
    {
        verdict = Verdict::Reject(rejection);
    }
    let answered = match (verdict, &route.backend) {
        (Verdict::Pass(body), Some(Backend::Proxy(proxy))) => {
            completion.forward(proxy, body).await.map(|body| (body, Outcome::Ok))
        }
        (Verdict::Pass(body), Some(Backend::Split(split))) => match split.choose() {
            Some(proxy) => completion.forward(proxy, body).await.map(|body| (body, Outcome::Ok)),
            None => Err(Rejection::NoRoute),
        },
        (Verdict::Pass(_), Some(Backend::Aggregate(calls))) => {
            let answered = Box::pin(completion.aggregate(calls)).await;
            answered.map(|reply| (pipeline::answer(completion.exchange(), reply), Outcome::Ok))
        }
        (Verdict::Pass(_), Some(Backend::Redirect(redirect))) => {
            let exchange = completion.exchange();
            redirect
                .answer(exchange)
                .map(|reply| (pipeline::answer(exchange, reply), Outcome::Redirected))
        }
        (Verdict::Pass(_), Some(Backend::Challenge(challenge))) => {
            let exchange = completion.exchange();
            challenge
                .answer(exchange)
                .map(|reply| (pipeline::answer(exchange, reply), Outcome::Responded))
        }
        (Verdict::Pass(_), Some(Backend::Fixed(fixed))) => Ok((
            pipeline::answer(completion.exchange(), fixed.answer()),
            Outcome::Responded,
        )),
        (Verdict::Pass(_), None) => Err(Rejection::NoRoute),
        (Verdict::Reply(reply), _) => Ok((pipeline::answer(completion.exchange(), reply), Outcome::Replied)),
        (Verdict::Reject(rejection), _) => Err(rejection),
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
