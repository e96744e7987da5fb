//! One instance of a filter: a store with its limits, and the way a call is made in it.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

use super::abi::v0_1::{self, guest::Guest};
use super::capabilities::one_line;
use super::clock::{TICK, in_guest};
use super::engine::Engine;
use super::failure::{CpuExceeded, Failure, Reason};
use super::filter::Filter;
use super::limits::MemoryLimit;
use super::plugin::Manifest;
use super::wasi::EmptyWorld;
use crate::pipeline::edit::Refused;
use crate::pipeline::{Exchange, ExchangeId, Labels};

/// What host functions see: the exchange at hand, and the instance's own resources.
pub(crate) struct HostState {
    /// The exchange of the call at hand; between calls, nobody's.
    exchange: Box<Exchange>,
    at_hand: AtHand,
    /// Which filter of which route is being called.
    pub(crate) labels: Arc<Labels>,
    /// Limiters, verifiers, and what WASI keeps.
    pub(crate) table: ResourceTable,
    /// The filter this is an instance of; none while a plugin describes itself.
    pub(crate) filter: Option<Arc<Filter>>,
    /// Whether `configure` is under way: the one time when limiters and verifiers may be opened.
    pub(crate) configuring: bool,
    pub(super) world: EmptyWorld,
    memory: MemoryLimit,
    ticks: u32,
    budget: u32,
}

/// What of an exchange a call may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtHand {
    /// Nothing: it is made without an exchange.
    Nothing,
    /// The request, before it is sent.
    Request,
    /// The request, and its response.
    Response,
    /// The request of an exchange that has ended.
    Ended,
}

/// One instance. It serves one call at a time; after a failure it must be dropped.
pub(super) struct Instance {
    store: Store<HostState>,
    bindings: v0_1::Plugin,
    engine: Engine,
    /// Wall-clock time of one call.
    time: Duration,
    calls: u32,
    at_rest: usize,
}

/// Limiters, verifiers and WASI streams that one instance may hold.
const RESOURCES: usize = 256;

/// Memory that an instance may have gained over what it had when it was new; more, and it is replaced.
const GROWTH: usize = 8 << 20;

static NOBODY: LazyLock<Arc<Labels>> = LazyLock::new(|| Arc::new(Labels::default()));

impl HostState {
    /// The exchange of the call at hand.
    pub(crate) fn request(&mut self) -> wasmtime::Result<&mut Exchange> {
        if self.at_hand == AtHand::Nothing {
            return Err(wasmtime::Error::msg("no request is at hand in this call"));
        }
        Ok(&mut self.exchange)
    }

    /// The same, for edits of its request.
    pub(crate) fn unsent(&mut self) -> wasmtime::Result<Result<&mut Exchange, Refused>> {
        let sent = self.at_hand != AtHand::Request;
        let exchange = self.request()?;
        Ok(if sent { Err(Refused::TooLate) } else { Ok(exchange) })
    }

    /// The same, once it has a response.
    pub(crate) fn answered(&mut self) -> wasmtime::Result<&mut Exchange> {
        if self.at_hand != AtHand::Response {
            return Err(wasmtime::Error::msg("no response is at hand in this call"));
        }
        Ok(&mut self.exchange)
    }

    /// The id of the exchange on whose behalf the call is made.
    pub(crate) fn exchange_id(&mut self) -> ExchangeId {
        self.exchange.id()
    }
}

impl Instance {
    /// Instantiates and configures.
    pub(super) async fn start(filter: &Arc<Filter>) -> Result<Box<Instance>, Failure> {
        let mut store = store(
            &filter.engine,
            filter.limits.memory,
            filter.limits.cpu,
            Some(filter.clone()),
        );
        let started = within(filter.limits.time, &filter.engine, async {
            let bindings = filter.plugin.pre.instantiate_async(&mut store).await?;
            let configured = bindings
                .portcullis_filter_filter()
                .call_configure(&mut store, &filter.settings)
                .await?;
            wasmtime::Result::Ok((bindings, configured))
        });
        let started: Option<wasmtime::Result<_>> = started.await;
        store.data_mut().configuring = false;
        let (bindings, configured) = match started {
            Some(Ok(started)) => started,
            Some(Err(error)) if error.is::<PoolConcurrencyLimitError>() => {
                return Err(Failure::new(
                    Reason::Exhausted,
                    "all filter instances are busy (`wasm.instances`)",
                ));
            }
            Some(Err(error)) => {
                let mut failure = Failure::of_call(&error, store.data_mut().memory.take_refused());
                failure.stderr = store.data_mut().world.take_printed();
                if failure.reason == Reason::Trap && failure.backtrace.is_empty() {
                    failure.reason = Reason::Load;
                }
                return Err(failure);
            }
            None => return Err(Failure::new(Reason::Time, timed_out(filter.limits.time))),
        };
        configured.map_err(|refused| Failure::new(Reason::Error, refused))?;
        let at_rest = store.data().memory.used();
        Ok(Box::new(Instance {
            store,
            bindings,
            engine: filter.engine.clone(),
            time: filter.limits.time,
            calls: 0,
            at_rest,
        }))
    }

    /// Makes one call for an exchange, which is lent to the instance meanwhile. The exchange comes back in any case, also
    /// when the call is abandoned half way.
    pub(super) async fn call<R>(
        &mut self,
        exchange: &mut Box<Exchange>,
        labels: &Arc<Labels>,
        at_hand: AtHand,
        call: impl AsyncFnOnce(&Guest, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let lent = Lent::new(self, exchange, labels, at_hand);
        lent.instance.run(call).await
    }

    /// Makes one call within the filter's budget.
    pub(super) async fn run<R>(
        &mut self,
        call: impl AsyncFnOnce(&Guest, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let Instance {
            store,
            bindings,
            engine,
            time: limit,
            calls,
            ..
        } = self;
        let limit = *limit;
        *calls += 1;
        store.data_mut().ticks = 0;
        store.set_epoch_deadline(1);
        let result = within(limit, engine, call(bindings.portcullis_filter_filter(), store)).await;
        let state = store.data_mut();
        let printed = state.world.take_printed();
        match result {
            Some(Ok(result)) => {
                if !printed.is_empty() {
                    tracing::info!(plugin = %state.labels.plugin, filter = %state.labels.filter, "{}", one_line(&printed));
                }
                Ok(result)
            }
            Some(Err(error)) => {
                let failure = Failure::of_call(&error, state.memory.take_refused());
                Err(Failure {
                    stderr: printed,
                    ..failure
                })
            }
            None => Err(Failure {
                stderr: printed,
                ..Failure::new(Reason::Time, timed_out(limit))
            }),
        }
    }

    /// Says on whose behalf calls without an exchange are made.
    pub(super) fn act_for(&mut self, id: ExchangeId) {
        self.store.data_mut().exchange.adopt(id);
    }

    /// Whether it has served all its calls, or has grown too fat to keep.
    pub(super) fn is_spent(&self, reuse: u32) -> bool {
        self.calls >= reuse || self.store.data().memory.used() > self.at_rest + GROWTH
    }
}

/// An exchange on loan to an instance. Swaps two pointers on the way in and on the way out.
struct Lent<'a> {
    instance: &'a mut Instance,
    exchange: &'a mut Box<Exchange>,
}

impl<'a> Lent<'a> {
    fn new(
        instance: &'a mut Instance,
        exchange: &'a mut Box<Exchange>,
        labels: &Arc<Labels>,
        at_hand: AtHand,
    ) -> Lent<'a> {
        let state = instance.store.data_mut();
        state.at_hand = at_hand;
        if !Arc::ptr_eq(&state.labels, labels) {
            state.labels = labels.clone();
        }
        mem::swap(&mut state.exchange, exchange);
        Lent { instance, exchange }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let state = self.instance.store.data_mut();
        state.at_hand = AtHand::Nothing;
        mem::swap(&mut state.exchange, self.exchange);
    }
}

/// What a plugin has to say for itself takes no more than this.
const DESCRIBE_TIME: Duration = Duration::from_secs(1);
const DESCRIBE_MEMORY: usize = 64 << 20;

/// Asks a plugin what it is.
pub(super) async fn describe(engine: &Engine, pre: &v0_1::PluginPre<HostState>) -> Result<Manifest, String> {
    let mut store = store(engine, DESCRIBE_MEMORY, DESCRIBE_TIME, None);
    let described = within(DESCRIBE_TIME, engine, async {
        let bindings = pre.instantiate_async(&mut store).await?;
        bindings.portcullis_filter_filter().call_describe(&mut store).await
    });
    let manifest = match described.await {
        Some(Ok(manifest)) => manifest,
        Some(Err(error)) => return Err(Failure::of_call(&error, store.data_mut().memory.take_refused()).to_string()),
        None => return Err(timed_out(DESCRIBE_TIME)),
    };
    let schema = serde_json::from_str(&manifest.settings_schema)
        .map_err(|error| format!("the schema of its settings is not JSON: {error}"))?;
    Ok(Manifest {
        name: manifest.name,
        version: manifest.version,
        summary: manifest.summary,
        phases: v0_1::phases(manifest.phases),
        schema,
    })
}

fn timed_out(limit: Duration) -> String {
    format!("it took longer than {} ms, its limit", limit.as_millis())
}

fn store(engine: &Engine, memory: usize, cpu: Duration, filter: Option<Arc<Filter>>) -> Store<HostState> {
    let mut table = ResourceTable::new();
    // What a guest holds of the host's is bounded as its own memory is.
    table.set_max_capacity(RESOURCES);
    let state = HostState {
        exchange: Exchange::nobody(),
        at_hand: AtHand::Nothing,
        labels: NOBODY.clone(),
        table,
        configuring: filter.is_some(),
        filter,
        world: EmptyWorld::default(),
        memory: MemoryLimit::new(memory),
        ticks: 0,
        budget: u32::try_from(cpu.as_millis() / TICK.as_millis())
            .unwrap_or(u32::MAX)
            .max(1),
    };
    let mut store = Store::new(engine.inner(), state);
    store.limiter(|state| &mut state.memory);
    // Each tick yields to the thread's other connections; the last one stops the guest.
    store.epoch_deadline_callback(|mut context| {
        let state = context.data_mut();
        state.ticks += 1;
        if let Some(filter) = &state.filter {
            filter.engine.clock().crossed(state.ticks);
        }
        if state.ticks > state.budget {
            return Err(CpuExceeded(state.budget).into());
        }
        // tokio's own yield lets the thread look at its sockets first; waking up at once would starve them for 61 turns.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store.set_epoch_deadline(1);
    store
}

/// Runs a call up to a wall-clock limit. No timer is set where the first poll finishes, as nearly every call does.
async fn within<T>(limit: Duration, engine: &Engine, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut future = poll_fn(|context| in_guest(|| future.as_mut().poll(context)));
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut future).poll(context))).await;
    match first {
        Poll::Ready(output) => Some(output),
        Poll::Pending => {
            engine.clock().waits();
            tokio::time::timeout(limit, future).await.ok()
        }
    }
}
