//! One wasmtime engine for the whole process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::abi::v0_1;
use super::clock::Clock;
use super::code_cache::CodeCache;
use super::instance::HostState;
use crate::config::resolved;

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
    /// Instances that may still be given to bodies for as long as they stream.
    stream_slots: Arc<AtomicUsize>,
    clock: Clock,
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
        let ticking = engine.clone();
        let clock = Clock::start(move || ticking.increment_epoch()).map_err(|error| EngineError(error.to_string()))?;
        let code_cache = settings
            .cache
            .as_ref()
            .and_then(|folder: &PathBuf| CodeCache::open(folder, &engine));
        // Half of all instances: slow bodies must not starve the calls that take microseconds.
        let stream_slots = Arc::new(AtomicUsize::new((settings.instances / 2).max(1) as usize));
        Ok(Engine {
            shared: Arc::new(Shared {
                engine,
                linker,
                code_cache,
                stream_slots,
                clock,
            }),
        })
    }

    pub(super) fn inner(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(super) fn linker(&self) -> &Linker<HostState> {
        &self.shared.linker
    }

    /// Room for one more instance that stays with a body.
    pub(super) fn stream_slot(&self) -> Option<StreamSlot> {
        let slots = &self.shared.stream_slots;
        let taken = slots.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1));
        taken.is_ok().then(|| StreamSlot(slots.clone()))
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(super) fn code_cache(&self) -> Option<&CodeCache> {
        self.shared.code_cache.as_ref()
    }
}

/// Room for one instance that stays with a body, free again when this is dropped.
pub(super) struct StreamSlot(Arc<AtomicUsize>);

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
