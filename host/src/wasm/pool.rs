//! The ready instances of one filter on one thread, and the phases called on them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::ResourceAny;

use super::abi::v0_1::{self, guest};
use super::failure::{Failure, Reason};
use super::filter::Filter;
use super::instance::{AtHand, Instance};
use super::transform::Transform;
use crate::pipeline::{Exchange, ExchangeId, Labels, Phase, Reply};
use crate::telemetry::Counter;

/// Ready instances of one filter on one thread. A call checks one out exclusively; one that failed never comes back.
pub(crate) struct Pool {
    filter: Arc<Filter>,
    #[expect(clippy::vec_box, reason = "a check-out moves a pointer, not a store")]
    ready: RefCell<Vec<Box<Instance>>>,
    created: Counter,
}

/// Ready instances kept on a thread. Calls rarely wait, so more than a few are left over only after a burst of streams.
const KEPT: usize = 16;

/// How an exchange goes on after a head.
pub(crate) enum Flow {
    Next,
    Reply(Reply),
    BufferBody(u64),
    TransformBody(Transform),
}

/// How an exchange goes on after a whole body.
pub(crate) enum BodyFlow {
    Next,
    Replace(Bytes),
    Reply(Reply),
}

/// An instance in exclusive use. Given back by [`Lease::keep`], dropped otherwise.
pub(crate) struct Lease {
    pub(super) instance: Box<Instance>,
    pool: Rc<Pool>,
}

impl Pool {
    pub(crate) fn new(filter: Arc<Filter>, created: Counter) -> Rc<Pool> {
        Rc::new(Pool {
            filter,
            ready: RefCell::default(),
            created,
        })
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Calls `on-request`.
    pub(crate) async fn request(
        self: &Rc<Self>,
        labels: &Arc<Labels>,
        exchange: &mut Box<Exchange>,
    ) -> Result<Flow, Failure> {
        let mut lease = self.check_out().await?;
        let flow = lease
            .instance
            .call(exchange, labels, AtHand::Request, async |guest, store| {
                guest.call_on_request(store).await
            });
        match flow.await?.map_err(said)? {
            guest::RequestFlow::Next => lease.keep_with(Flow::Next),
            guest::RequestFlow::Reply(reply) => lease.keep_reply(reply, Flow::Reply),
            guest::RequestFlow::BufferBody(limit) => lease.keep_buffering(limit, Phase::RequestBody),
            guest::RequestFlow::TransformBody(transform) => lease.transforming(transform, exchange.id()),
        }
    }

    /// Calls `on-request-body`.
    pub(crate) async fn request_body(
        self: &Rc<Self>,
        labels: &Arc<Labels>,
        exchange: &mut Box<Exchange>,
        body: &[u8],
    ) -> Result<BodyFlow, Failure> {
        let mut lease = self.check_out().await?;
        let flow = lease
            .instance
            .call(exchange, labels, AtHand::Request, async |guest, store| {
                guest.call_on_request_body(store, body).await
            });
        let flow = flow.await?.map_err(said)?;
        lease.keep_body_flow(flow)
    }

    /// Calls `on-response`.
    pub(crate) async fn response(
        self: &Rc<Self>,
        labels: &Arc<Labels>,
        exchange: &mut Box<Exchange>,
    ) -> Result<Flow, Failure> {
        let mut lease = self.check_out().await?;
        let flow = lease
            .instance
            .call(exchange, labels, AtHand::Response, async |guest, store| {
                guest.call_on_response(store).await
            });
        match flow.await?.map_err(said)? {
            guest::ResponseFlow::Next => lease.keep_with(Flow::Next),
            guest::ResponseFlow::Reply(reply) => lease.keep_reply(reply, Flow::Reply),
            guest::ResponseFlow::BufferBody(limit) => lease.keep_buffering(limit, Phase::ResponseBody),
            guest::ResponseFlow::TransformBody(transform) => lease.transforming(transform, exchange.id()),
        }
    }

    /// Calls `on-response-body`.
    pub(crate) async fn response_body(
        self: &Rc<Self>,
        labels: &Arc<Labels>,
        exchange: &mut Box<Exchange>,
        body: &[u8],
    ) -> Result<BodyFlow, Failure> {
        let mut lease = self.check_out().await?;
        let flow = lease
            .instance
            .call(exchange, labels, AtHand::Response, async |guest, store| {
                guest.call_on_response_body(store, body).await
            });
        let flow = flow.await?.map_err(said)?;
        lease.keep_body_flow(flow)
    }

    /// Calls `on-complete`.
    pub(crate) async fn complete(
        self: &Rc<Self>,
        labels: &Arc<Labels>,
        exchange: &mut Box<Exchange>,
        outcome: &str,
    ) -> Result<(), Failure> {
        let summary = guest::Summary {
            status: exchange.response.status.as_u16(),
            duration_us: u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            outcome: outcome.to_owned(),
        };
        let mut lease = self.check_out().await?;
        let called = lease
            .instance
            .call(exchange, labels, AtHand::Ended, async |guest, store| {
                guest.call_on_complete(store, &summary).await
            });
        called.await?;
        lease.keep();
        Ok(())
    }

    async fn check_out(self: &Rc<Self>) -> Result<Lease, Failure> {
        let ready = self.ready.borrow_mut().pop();
        let instance = match ready {
            Some(instance) => instance,
            None => {
                self.created.add(1);
                // Boxed: rare, and its state would make every call's future larger.
                Box::pin(Instance::start(&self.filter)).await?
            }
        };
        Ok(Lease {
            instance,
            pool: self.clone(),
        })
    }
}

impl Lease {
    /// Gives the instance back for other calls.
    pub(super) fn keep(self) {
        let mut ready = self.pool.ready.borrow_mut();
        if ready.len() < KEPT && !self.instance.is_spent(self.pool.filter.reuse) {
            ready.push(self.instance);
        }
    }

    fn keep_with(self, flow: Flow) -> Result<Flow, Failure> {
        self.keep();
        Ok(flow)
    }

    /// A filter may only ask for a body that its manifest says it reads.
    fn keep_buffering(self, limit: u64, phase: Phase) -> Result<Flow, Failure> {
        if self.pool.filter.plugin.manifest.phases.contains(phase) {
            return self.keep_with(Flow::BufferBody(limit));
        }
        // It says what it should not, and is well.
        self.keep();
        let detail = format!(
            "it asks for a body, but its manifest does not name the phase `{}`",
            phase.as_str()
        );
        Err(Failure::new(Reason::Malformed, detail))
    }

    fn transforming(self, transform: ResourceAny, id: ExchangeId) -> Result<Flow, Failure> {
        let Some(slot) = self.pool.filter.engine.stream_slot() else {
            return Err(Failure::new(
                Reason::Exhausted,
                "too many bodies are being transformed (`wasm.instances`)",
            ));
        };
        Ok(Flow::TransformBody(Transform::new(self, transform, slot, id)))
    }

    fn keep_reply<F>(self, reply: guest::Reply, flow: impl FnOnce(Reply) -> F) -> Result<F, Failure> {
        self.keep();
        v0_1::reply(reply)
            .map(flow)
            .map_err(|detail| Failure::new(Reason::Malformed, detail))
    }

    fn keep_body_flow(self, flow: guest::BodyFlow) -> Result<BodyFlow, Failure> {
        match flow {
            guest::BodyFlow::Next => {
                self.keep();
                Ok(BodyFlow::Next)
            }
            guest::BodyFlow::Replace(body) => {
                self.keep();
                Ok(BodyFlow::Replace(body.into()))
            }
            guest::BodyFlow::Reply(reply) => self.keep_reply(reply, BodyFlow::Reply),
        }
    }
}

/// The filter's own word that it failed.
pub(super) fn said(text: String) -> Failure {
    Failure::new(Reason::Error, text)
}
