#![doc = include_str!("../README.md")]

mod filter;
mod outcome;
mod reply;

mod message;
mod request;
mod response;

mod client_certificate;
mod cookies;
mod headers;
mod hold_back;
mod media_range;
mod origin_pattern;
mod query;
mod template;
mod transform;

mod failure;

mod credential;
mod one_or_many;
mod secret;
mod settings;
mod time_span;

pub mod bearer;
pub mod jwt;
pub mod log;
pub mod rate_limit;

mod register;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;

pub use client_certificate::ClientCertificate;
pub use credential::Credential;
pub use failure::Failure;
pub use filter::{Filter, Phase, Summary};
pub use headers::{EditError, HeaderName, HeaderValue};
pub use hold_back::HoldBack;
pub use media_range::MediaRange;
pub use message::Message;
pub use one_or_many::OneOrMany;
pub use origin_pattern::OriginPattern;
pub use outcome::{BodyOutcome, Outcome};
pub use reply::Reply;
pub use request::Request;
pub use response::Response;
pub use secret::Secret;
pub use settings::{NoSettings, SettingsError};
pub use template::Template;
pub use time_span::TimeSpan;
pub use transform::BodyTransform;

pub use {schemars, serde, serde_json};

/// What stands at the other side of every call: the gateway, or in a native test the stand-in for it.
#[cfg(target_arch = "wasm32")]
use guest as host;
#[cfg(not(target_arch = "wasm32"))]
use testing::host;
