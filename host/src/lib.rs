//! Portcullis: an API gateway that people extend with WebAssembly.
//!
//! The path of a request through these modules, and the rules that hold between them, are in `host/README.md`.

#[doc(hidden)]
pub mod bench;
pub mod cli;
pub mod config;
pub mod gateway;

mod acme;
mod admin;
mod backend;
mod body;
mod compression;
mod file_watch;
mod following;
mod grpc;
pub mod pipeline;
pub mod rejection;
mod reload;
pub mod router;
mod server;
#[doc(hidden)]
pub use server::frames;
mod socket;
mod store;
pub mod telemetry;
pub mod tls;
mod turns;
mod upstream;
pub mod wasm;
