#![doc = include_str!("../README.md")]

mod filter;
mod outcome;
mod reply;

mod request;
mod response;

mod headers;
mod transform;

mod failure;
mod secret;
mod settings;

pub mod jwt;
pub mod log;
pub mod rate_limit;

mod register;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;

pub use failure::Failure;
pub use filter::{Filter, Phase, Summary};
pub use headers::{EditError, HeaderName, HeaderValue};
pub use outcome::{BodyOutcome, Outcome};
pub use reply::Reply;
pub use request::Request;
pub use response::Response;
pub use secret::Secret;
pub use settings::{NoSettings, SettingsError};
pub use transform::BodyTransform;

pub use {schemars, serde, serde_json};

/// What stands at the other side of every call: the gateway, or in a native test the stand-in for it.
#[cfg(target_arch = "wasm32")]
use guest as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::host;
