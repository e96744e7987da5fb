//! A request in a form that can be sent again, where that is safe.

use std::rc::Rc;

use http::{HeaderMap, Request};

use super::recording::Recorded;
use super::{Proxy, Terms};
use crate::body::Body;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::upstream::{Affinity, Kept};

/// What is sent, in a form that can be sent again where that is safe.
pub(super) struct Attempt {
    /// None while it is on its way.
    pub(super) request: Option<Request<Body>>,
    /// The body to send again, where there is one; none: the request must not be repeated.
    pub(super) again: Option<Body>,
    /// The body of a request that must not be repeated, to send again where a target says that it has not looked at it.
    pub(super) unseen: Option<Body>,
    /// How often a target has said so.
    pub(super) refused: u32,
    /// Whether the method says that a repetition does no harm (RFC 9110 section 9.2.2).
    pub(super) idempotent: bool,
    /// The fields as they were sent last, where nobody else has them.
    pub(super) kept: Option<Kept>,
    /// What of it speaks for one target.
    pub(super) affinity: Affinity,
    /// The fields, where several requests may be under way at once.
    pub(super) spare: Option<Rc<HeaderMap>>,
}

impl Proxy {
    /// The first one.
    pub(super) fn attempt(&self, exchange: &mut Exchange, body: Body, terms: &Terms<'_>) -> Result<Attempt, Rejection> {
        let affinity = self.upstream.affinity(exchange);
        let headers = if terms.keep_fields {
            exchange.headers.clone()
        } else {
            std::mem::take(&mut exchange.headers)
        };
        let idempotent = exchange.method.is_idempotent();
        let repeatable = idempotent || (exchange.is_grpc_call() && self.retry.on.unavailable && self.repeats);
        let unseen = if repeatable { None } else { body.again() };
        let (body, again) = match body {
            body if !repeatable => (body, None),
            body => match body.again() {
                None if self.repeats => Recorded::record(body, self.retry.body),
                again => (body, again),
            },
        };
        let hedged = self.hedge.is_some() && exchange.method.is_safe() && again.as_ref().is_some_and(Body::is_held);
        Ok(Attempt {
            spare: hedged.then(|| Rc::new(headers.clone())),
            request: Some(self.request(exchange, headers, body)?),
            again,
            unseen,
            refused: 0,
            idempotent,
            affinity,
            kept: None,
        })
    }

    /// The same request once more. None where it cannot be had: it was never written, or its body is gone.
    pub(super) fn repeated(
        &self,
        attempt: &mut Attempt,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Option<Request<Body>> {
        let body = attempt.again.as_ref()?.again()?;
        self.with_body(body, attempt, exchange, terms)
    }

    /// The same request once more, after a target has refused to look at it.
    pub(super) fn refused(
        &self,
        attempt: &mut Attempt,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Option<Request<Body>> {
        let body = attempt.again.as_ref().or(attempt.unseen.as_ref())?.again()?;
        self.with_body(body, attempt, exchange, terms)
    }

    fn with_body(
        &self,
        body: Body,
        attempt: &mut Attempt,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Option<Request<Body>> {
        let headers = if terms.keep_fields {
            exchange.headers.clone()
        } else if let Some(spare) = &attempt.spare {
            HeaderMap::clone(spare)
        } else {
            let target = self.target(exchange).ok()?;
            attempt.kept.take()?.fields(&exchange.method, target.as_str())?
        };
        self.request(exchange, headers, body).ok()
    }
}

impl Attempt {
    /// A second one of the same, to be sent beside it.
    pub(super) fn beside(&self, request: Request<Body>) -> Attempt {
        Attempt {
            request: Some(request),
            again: self.again.as_ref().and_then(Body::again),
            unseen: None,
            refused: 0,
            idempotent: self.idempotent,
            affinity: self.affinity,
            kept: None,
            spare: self.spare.clone(),
        }
    }
}
