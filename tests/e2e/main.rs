//! What a user of Portcullis can rely on, over real connections: one module for each behaviour.
//!
//! The gateway is a process of its own; see the harness (`tests/harness`) for the words used here.

// The path of a request, from the client to the upstream and back.
mod aggregation;
mod balancing;
mod circuit_breaking;
mod closing_early;
mod compression;
mod deadlines;
mod discovery;
mod early_hints;
mod ejection;
mod expect_continue;
mod faults;
mod fixed;
mod forwarding;
mod framing;
mod grpc;
mod grpc_refusals;
mod grpc_web;
mod health;
mod hedging;
mod http2;
mod http3;
mod http3_goaway;
mod http3_handshakes;
mod http3_limits;
mod http3_slow_clients;
mod idle_connections;
mod mirroring;
mod paths;
mod proxying;
mod rest;
mod retries;
mod routing;
mod server_sent_events;
mod shipped_configurations;
mod splits;
mod sticky;
mod streaming;
mod timeouts;
mod trailers;
mod unix_sockets;
mod upgrades;
mod upstream_connections;
mod upstream_floods;
mod upstream_http2;
mod upstream_tls;
mod websockets;
mod websockets_http2;

// Where clients come in.
mod acme;
mod client_certificates;
mod listeners;
mod load_generators;
mod proxy_protocol;
mod tls;

// What clients may not do.
mod floods;
mod limits;
mod malformed;
mod malformed_upstreams;
mod slow_clients;
mod smuggling;

// Filters.
mod filter_bodies;
mod filters;
mod instances;
mod misbehaving;
mod plugins;
mod refused_plugins;

// Running it.
mod code_cache;
mod drain;
mod handover;
mod handover_files;
mod large_files;
mod observing;
mod reload;
mod reload_memory;

// What is shipped with it.
mod cli;
mod demo;
mod examples;
mod microservices;
mod new_plugin;
mod production;
mod readme;
mod tidy;
