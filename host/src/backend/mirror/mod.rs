//! Copies of requests for another upstream, whose answers nobody sees.

mod copy;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use tokio::time::timeout;

pub(crate) use self::copy::{Copied, Teed};
use self::copy::{Fate, Memory};
use super::proxy::Proxy;
use crate::body::{Body, ClientBodyState};
use crate::config::resolved;
use crate::config::units::Share;
use crate::pipeline::Exchange;
use crate::telemetry::Counter;
use crate::telemetry::metrics::{MIRRORED, Metrics};
use crate::upstream::{Affinity, Lease, Upstream, UpstreamBody};

/// Sends copies of a share of a route's requests to another upstream, and reads its answers to throw them away.
///
/// Copies are sent by tasks of their own. They take nothing from the exchange but references to its bytes, and no more of
/// these than a bounded number that the other upstream has not taken yet: then a copy is given up.
pub(crate) struct Mirror {
    proxy: Proxy,
    share: Share,
    timeout: Duration,
    memory: Rc<Memory>,
    under_way: Rc<Cell<usize>>,
    answered: Counter,
    failed: Counter,
    given_up: Counter,
}

const COPY: HeaderName = HeaderName::from_static("x-portcullis-mirror");

/// Copies under way of one route on one thread.
const MOST: usize = 256;

impl Mirror {
    /// `timeout`: how long a copy may take as a whole.
    pub(crate) fn new(
        proxy: Proxy,
        settings: &resolved::Mirror,
        timeout: Duration,
        route: &str,
        metrics: &Metrics,
        thread: usize,
    ) -> Mirror {
        let counter = |result: &str| {
            let labels = vec![
                ("result", result.into()),
                ("route", route.into()),
                ("upstream", proxy.upstream.settings.name.as_str().into()),
            ];
            metrics.counter(thread, MIRRORED, labels)
        };
        Mirror {
            share: settings.share,
            timeout,
            memory: Memory::new(settings.buffer),
            under_way: Rc::default(),
            answered: counter("ok"),
            failed: counter("failed"),
            given_up: counter("given-up"),
            proxy,
        }
    }

    /// Sends a copy of the request, if it is one of its share; gives the body to go on with.
    pub(crate) fn copy(self: &Rc<Self>, exchange: &Exchange, body: Body) -> Body {
        // Nobody would speak the other protocol with the mirror.
        if exchange.upgrade.is_some() || !self.share.draw() {
            return body;
        }
        if self.under_way.get() >= MOST {
            self.given_up.add(1);
            return body;
        }
        let (body, copied, fate) = match body.again() {
            Some(copied) => (body, copied, None),
            None => {
                let (body, copied, fate) = Teed::tee(body, &self.memory);
                (body, copied, Some(fate))
            }
        };
        // One that is whole is held until its copy has been answered, whatever becomes of the request.
        let held = match &copied {
            Body::Full(bytes, _) => bytes.len(),
            _ => 0,
        };
        let Some(held) = self.memory.hold(held) else {
            self.given_up.add(1);
            return body;
        };
        let affinity = self.proxy.upstream.affinity(exchange);
        let mut headers = exchange.headers.clone();
        headers.insert(COPY, HeaderValue::from_static("1"));
        let Ok(request) = self.proxy.request(exchange, headers, copied) else {
            self.failed.add(1);
            return body;
        };
        let (mirror, under_way) = (self.clone(), UnderWay::begin(&self.under_way));
        tokio::task::spawn_local(async move {
            let state = fate.as_ref().map(Fate::state);
            let broken = async {
                match &fate {
                    Some(fate) => fate.broken().await,
                    None => std::future::pending().await,
                }
            };
            let counter = tokio::select! {
                biased;
                () = broken => &mirror.given_up,
                sent = timeout(mirror.timeout, send(&mirror.proxy.upstream, affinity, request, state)) => match sent {
                    Ok(Some(())) => &mirror.answered,
                    Ok(None) => &mirror.failed,
                    Err(_) => &mirror.given_up,
                },
            };
            counter.add(1);
            drop((under_way, held));
        });
        body
    }
}

/// Sends a request and reads the answer to its end.
async fn send(
    upstream: &Upstream,
    affinity: Affinity,
    mut request: Request<Body>,
    body: Option<Rc<ClientBodyState>>,
) -> Option<()> {
    let settings = &upstream.settings;
    let target = upstream.next(&[], affinity)?;
    let mut lease = match Lease::idle(&target) {
        Some(lease) => lease,
        None => Lease::of(&target, None, settings.connect_timeout).await.ok()?,
    };
    lease.connection.shape(&mut request, &settings.name).ok()?;
    let response = lease.connection.send(request).await.ok()?;
    let mut answer = UpstreamBody::new(response.into_body(), lease, body, None, settings.idle_timeout);
    while !answer.is_end_stream() {
        match std::future::poll_fn(|cx| answer.poll_frame(cx)).await {
            Some(frame) => drop(frame.ok()?),
            None => break,
        }
    }
    Some(())
}

/// Counts a copy as under way.
struct UnderWay(Rc<Cell<usize>>);

impl UnderWay {
    fn begin(count: &Rc<Cell<usize>>) -> UnderWay {
        count.set(count.get() + 1);
        UnderWay(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
