//! Where filters run: the only part of the gateway that names wasmtime.
//!
//! ```text
//! engine ── compiles ──> plugin ── with settings ──> filter ── per thread ──> pool of ready instances
//!    │                     │ imports checked            │ settings checked        │ one call each, exclusively
//!    └ epoch ticker        └ code cache on disk         └ limits                  └ dropped after a failure
//! ```

mod abi;
pub(crate) mod capabilities;
mod clock;
mod code_cache;
mod engine;
mod failure;
mod filter;
mod instance;
mod limits;
mod plugin;
mod pool;
mod transform;
mod wasi;

pub use self::engine::{Engine, EngineError};
pub use self::failure::{Failure, Reason};
pub use self::filter::{Filter, FilterError};
pub use self::plugin::{Manifest, Plugin, PluginError};
pub(crate) use self::pool::{BodyFlow, Flow, Pool};
pub(crate) use self::transform::Transform;
