//! Tests of Portcullis in three nouns: a [`Gateway`], an [`Upstream`], and what passed between them.
//!
//! ```no_run
//! # use portcullis_tests::{Gateway, Upstream};
//! # async fn test() {
//! let upstream = Upstream::answering("hello").await;
//! let gateway = Gateway::proxying(&upstream).await;
//!
//! let response = gateway.get("/").await;
//!
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.text(), "hello");
//! assert_eq!(upstream.requests(), 1);
//! # }
//! ```
//!
//! The gateway is a child process, listening on ports that the system chose. `Drop` ends it; a test that panics prints
//! its configuration, its log and the last response. Nothing sleeps for a fixed time: [`eventually`] waits for a fact.

mod accept;
mod access_log;
mod authority;
mod body;
mod command;
mod components;
mod configuration;
mod connection;
mod consul;
mod curl;
mod dns_server;
mod echo;
mod encoding;
mod eventually;
mod folder;
mod free_address;
mod gateway;
pub mod grpc;
pub mod http3;
mod kubernetes;
mod metrics;
mod pebble;
mod plugins;
mod process;
mod program;
mod raw;
pub mod raw_http2;
mod relay;
mod request;
mod response;
mod secured;
mod service;
mod shipped;
mod strict;
mod tls_client;
mod token;
mod unreachable;
mod upstream;
mod websocket;

pub use authority::{Authority, Certificate};
pub use body::{Body, Chunks, chunked, empty, full, generated, stepwise, with_trailers};
pub use command::{Ran, gateway_binary, portcullis, portcullis_in, repository, target_folder};
pub use components::Component;
pub use connection::Connection;
pub use consul::{Consul, Instance};
pub use curl::{Curled, curl};
pub use dns_server::DnsServer;
pub use encoding::decoding;
pub use eventually::{PATIENCE, eventually, within};
pub use folder::Folder;
pub use free_address::free_address;
pub use gateway::Gateway;
pub use http3::{Http3, Http3Client, Http3Stream};
pub use kubernetes::{Kubernetes, endpoint};
pub use pebble::Pebble;
pub use plugins::{lawless, misbehaving, standard};
pub use process::Process;
pub use program::{has_program, program};
pub use raw::Raw;
pub use raw_http2::RawHttp2;
pub use relay::Relay;
pub use request::Request;
pub use response::Response;
pub use secured::{Secured, write_pair};
pub use service::Service;
pub use shipped::{shipped, tokens_in};
pub use strict::{Received, StrictUpstream};
pub use tls_client::TlsClient;
pub use token::{PUBLIC_KEY, jwks, signed, signed_by, signed_by_key, tampered};
pub use upstream::Upstream;
pub use websocket::WebSocket;
