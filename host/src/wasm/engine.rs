//! One wasmtime engine for the whole process, and the clock that its filters are held to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::abi::v0_1;
use super::code_cache::CodeCache;
use super::instance::HostState;
use crate::config::resolved;

/// How often the epoch moves on: the grain of CPU budgets, and the longest that a filter keeps its thread from others.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Linear memory that any filter may be given at most.
const LARGEST_MEMORY: usize = 256 << 20;

/// Memory and stack kept by a slot that is free, so that the next instance in it costs no page faults. With it, a
/// pristine instance per call costs about 9 us instead of 20 to 30 (design, section 6).
const KEEP_RESIDENT: usize = 64 << 10;

/// Compiles plugins and holds what all of them share.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<HostState>,
    code_cache: Option<CodeCache>,
    _ticker: Ticker,
}

/// Why no engine could be made.
#[derive(Debug, thiserror::Error)]
#[error("WebAssembly cannot run on this machine: {0}")]
pub struct EngineError(String);

impl Engine {
    /// An engine with room for as many instances as configured.
    pub fn new(settings: &resolved::Wasm) -> Result<Engine, EngineError> {
        let failed = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let engine = wasmtime::Engine::new(&config(settings.instances)).map_err(failed)?;
        let linker = linker(&engine).map_err(failed)?;
        let ticker = Ticker::start(&engine).map_err(|error| EngineError(error.to_string()))?;
        let code_cache = settings.cache.as_ref().and_then(|folder: &PathBuf| CodeCache::open(folder, &engine));
        Ok(Engine { shared: Arc::new(Shared { engine, linker, code_cache, _ticker: ticker }) })
    }

    pub(super) fn inner(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(super) fn linker(&self) -> &Linker<HostState> {
        &self.shared.linker
    }

    pub(super) fn code_cache(&self) -> Option<&CodeCache> {
        self.shared.code_cache.as_ref()
    }
}

fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // A plain Rust component is three core instances (itself, and two shims of the component model) with one memory and
    // two tables; the rest is head room for components of other languages.
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(6))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .max_core_instances_per_component(20)
        .max_memories_per_component(4)
        .max_tables_per_component(20)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_memory_size(LARGEST_MEMORY)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(if machine_swaps() { Enabled::No } else { Enabled::Auto });
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Guests are plain synchronous Rust; without it a call costs a third (design, section 4).
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(128 << 10)
        .async_stack_size(256 << 10)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Enable);
    config
}

/// Page-map scanning misses dirty pages that were swapped out (an open wasmtime bug), so a machine with swap goes without.
fn machine_swaps() -> bool {
    match std::fs::read_to_string("/proc/swaps") {
        Ok(swaps) => swaps.lines().count() > 1,
        Err(_) => true,
    }
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    v0_1::Plugin::add_to_linker::<HostState, HasSelf<HostState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Moves the engine's epoch on until the engine is gone.
struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Ticker> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, engine) = (stop.clone(), engine.clone());
        thread::Builder::new().name("epoch".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
