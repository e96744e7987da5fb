//! What went wrong in a filter, in words for the log and the metrics.

use std::fmt;

use wasmtime::{Trap, WasmBacktrace};

/// Why a call failed: the `reason` label of metrics and log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The guest trapped: a panic, an out-of-bounds access, a stack overflow.
    Trap,
    /// It computed for longer than its CPU limit.
    Cpu,
    /// It took longer, waiting included, than its time limit.
    Time,
    /// It asked for more memory than its limit.
    Memory,
    /// It said so itself.
    Error,
    /// It returned something that cannot be sent.
    Malformed,
    /// No instance could be made.
    Load,
    /// All instances that the gateway may have are busy.
    Exhausted,
}

impl Reason {
    /// The word in metrics and log.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Trap => "trap",
            Reason::Cpu => "cpu",
            Reason::Time => "time",
            Reason::Memory => "memory",
            Reason::Error => "error",
            Reason::Malformed => "malformed",
            Reason::Load => "load",
            Reason::Exhausted => "exhausted",
        }
    }
}

/// One failed call.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// One line on what happened, for the log only.
    pub detail: String,
    /// Function names, innermost first, where there is a stack to show.
    pub backtrace: Vec<String>,
    /// What the guest wrote to stderr in this call: a panic's message.
    pub stderr: String,
}

/// Frames shown of a backtrace: enough to find the line, few enough for one line of log.
const FRAMES: usize = 16;

impl Failure {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Failure {
        Failure {
            reason,
            detail: detail.into(),
            backtrace: Vec::new(),
            stderr: String::new(),
        }
    }

    /// Reads what wasmtime says of a call that did not return.
    pub(super) fn of_call(error: &wasmtime::Error, memory_refused: bool) -> Failure {
        let reason = if error.is::<CpuExceeded>() {
            Reason::Cpu
        } else if memory_refused {
            Reason::Memory
        } else {
            Reason::Trap
        };
        let detail = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        Failure {
            backtrace,
            ..Failure::new(reason, detail)
        }
    }
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let names: Vec<String> = backtrace.frames().iter().flat_map(names).collect();
    // Of a panic, its own machinery is of no interest, as long as anything else is there.
    let machinery = names.iter().take_while(|name| is_panic_machinery(name)).count();
    let skipped = if machinery < names.len() { machinery } else { 0 };
    names.into_iter().skip(skipped).take(FRAMES).collect()
}

/// The function of a frame; with debug information, also those that were inlined into it, and their lines.
fn names(frame: &wasmtime::FrameInfo) -> Vec<String> {
    let symbol = |symbol: &wasmtime::FrameSymbol| {
        let place = symbol
            .file()
            .zip(symbol.line())
            .map(|(file, line)| format!(" ({file}:{line})"));
        Some(demangled(symbol.name()?) + &place.unwrap_or_default())
    };
    let symbols: Vec<String> = frame.symbols().iter().filter_map(symbol).collect();
    if !symbols.is_empty() {
        return symbols;
    }
    match frame.func_name() {
        Some(name) => vec![demangled(name)],
        None => vec![format!("function {}", frame.func_index())],
    }
}

fn is_panic_machinery(name: &str) -> bool {
    ["abort", "std::", "__rustc", "core::panicking", "rust_begin_unwind"]
        .iter()
        .any(|own| name.starts_with(own))
}

/// A Rust symbol as people write it, without its hash.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)?;
        if self.stderr.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.stderr.trim().replace('\n', " "))
        }
    }
}

impl std::error::Error for Failure {}

/// Stops a guest at the end of its CPU budget.
#[derive(Debug, thiserror::Error)]
#[error("it computed for {0} ms, its limit")]
pub(super) struct CpuExceeded(pub(super) u32);
