//! A request in a form that can be sent again, where that is safe.

use std::rc::Rc;

use http::{HeaderMap, Request};

use super::recording::Recorded;
use super::{Proxy, Terms};
use crate::body::Body;
use crate::config::resolved::HttpVersion;
use crate::pipeline::Exchange;
use crate::rejection::Rejection;
use crate::upstream::{Affinity, Kept};

/// What is sent, in a form that can be sent again where that is safe.
pub(super) struct Attempt {
    /// None while it is on its way.
    pub(super) request: Option<Request<Body>>,
    pub(super) repeat: Repeat,
    /// How often targets have said that they have not looked at it.
    pub(super) refused: u32,
    /// Tries so far. Those that race each other are one.
    pub(super) tries: u32,
    /// Whether the method says that a repetition does no harm (RFC 9110 section 9.2.2).
    pub(super) idempotent: bool,
    /// The fields as they were sent last, where nobody else has them.
    pub(super) kept: Option<Kept>,
    /// What of it speaks for one target.
    pub(super) affinity: Affinity,
    /// The fields, where several requests may be under way at once.
    pub(super) spare: Option<Rc<HeaderMap>>,
}

/// When a request may be sent once more, and its body then.
pub(super) enum Repeat {
    Never,
    /// Where a target says that it has not looked at it.
    IfUnseen(Body),
    Always(Body),
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
        let is_safe = idempotent || (exchange.is_grpc_call() && self.retry.on.unavailable && self.repeats);
        let (body, repeat) = match body.again() {
            Some(again) if is_safe => (body, Repeat::Always(again)),
            Some(again) => (body, Repeat::IfUnseen(again)),
            None if is_safe && self.repeats => match Recorded::record(body, self.retry.body) {
                (body, Some(again)) => (body, Repeat::Always(again)),
                (body, None) => (body, Repeat::Never),
            },
            None => (body, Repeat::Never),
        };
        let may_race = self.hedge.is_some() && exchange.method.is_safe();
        let hedged = may_race && matches!(&repeat, Repeat::Always(body) if body.is_held());
        Ok(Attempt {
            spare: hedged.then(|| Rc::new(headers.clone())),
            request: Some(self.request_of_client(exchange, headers, body)?),
            repeat,
            refused: 0,
            tries: 1,
            idempotent,
            affinity,
            kept: None,
        })
    }

    /// The same request once more. None where it cannot be had: it was never written, or its body is gone. Who reads a body
    /// that still streams reads it no more from then on.
    pub(super) fn repeated(
        &self,
        attempt: &mut Attempt,
        exchange: &Exchange,
        terms: &Terms<'_>,
    ) -> Option<Request<Body>> {
        match attempt.repeat {
            Repeat::Always(_) => self.once_more(attempt, exchange, terms),
            Repeat::Never | Repeat::IfUnseen(_) => None,
        }
    }

    /// The same, whether or not a repetition does harm: nobody has looked at it.
    pub(super) fn once_more(
        &self,
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
        let body = match &attempt.repeat {
            Repeat::Always(body) | Repeat::IfUnseen(body) => body.again()?,
            Repeat::Never => return None,
        };
        self.request_of_client(exchange, headers, body).ok()
    }

    /// A request whose early hints are for the client.
    fn request_of_client(
        &self,
        exchange: &Exchange,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Request<Body>, Rejection> {
        let mut request = self.request(exchange, headers, body)?;
        if let Some(hints) = &exchange.hints
            && self.upstream.settings.connections.http != HttpVersion::Two
        {
            hints.follow(&mut request);
        }
        Ok(request)
    }
}

impl Attempt {
    /// A second one of the same, to be sent beside it.
    pub(super) fn beside(&self, request: Request<Body>) -> Attempt {
        let body = match &self.repeat {
            Repeat::Always(body) => body.again(),
            Repeat::Never | Repeat::IfUnseen(_) => None,
        };
        Attempt {
            request: Some(request),
            repeat: body.map_or(Repeat::Never, Repeat::Always),
            refused: 0,
            tries: self.tries,
            idempotent: self.idempotent,
            affinity: self.affinity,
            kept: None,
            spare: self.spare.clone(),
        }
    }
}
