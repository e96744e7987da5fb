//! What the benchmarks in `tests/benches` measure: the pipeline of a route on one thread, without sockets.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::uri::{PathAndQuery, Scheme};
use tokio::runtime::LocalRuntime;

use crate::body::Body;
use crate::config;
use crate::gateway::{Environment, Gateway};
use crate::pipeline::{Exchange, Verdict};
use crate::rejection::Outcome;
use crate::router::Params;
use crate::server::Shared;
use crate::server::view::{RouteView, View};
use crate::telemetry::Metrics;
use crate::wasm::Engine;
use crate::wasm::capabilities::Services;

/// The pipeline of a configuration's first route.
pub struct PipelineBench {
    runtime: LocalRuntime,
    route: Rc<RouteView>,
    headers: Vec<(&'static str, &'static str)>,
}

impl PipelineBench {
    /// A pipeline, and the fields that each request has.
    ///
    /// # Errors
    ///
    /// In words, whatever keeps the configuration from running.
    pub fn new(configuration: &str, headers: &[(&'static str, &'static str)]) -> Result<PipelineBench, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let runtime = LocalRuntime::new().map_err(|error| words(&error))?;
        let standard: Vec<&str> = portcullis_plugins::all().iter().map(|plugin| plugin.name).collect();
        let loaded =
            config::load_text("bench.toml", configuration, ".".as_ref(), &standard).map_err(|error| words(&error))?;
        let environment = Environment {
            engine: Engine::new(&loaded.config.wasm).map_err(|error| words(&error))?,
            services: Services::new(None),
            metrics: Metrics::default(),
        };
        let gateway = runtime.block_on(Gateway::build(loaded.config, &environment, None));
        let shared = Shared::new(gateway.map_err(|error| words(&error))?, &environment.metrics);
        let view = View::new(&shared.map_err(|error| words(&error))?, 0, None);
        let route = view.routes.first().cloned().ok_or("no route")?;
        Ok(PipelineBench {
            runtime,
            route,
            headers: headers.to_vec(),
        })
    }

    /// Lets so many requests, and where `back` the responses to them, pass; gives the time spent in the pipeline alone.
    ///
    /// # Errors
    ///
    /// A filter turned a request back: the benchmark would measure something else.
    pub fn pass(&mut self, requests: u64, back: bool) -> Result<Duration, &'static str> {
        let PipelineBench {
            runtime,
            route,
            headers,
        } = self;
        runtime.block_on(async {
            let mut spent = Duration::ZERO;
            for _ in 0..requests {
                let mut exchange = exchange(route, headers);
                let begin = Instant::now();
                let (passed, verdict) = route.pipeline.request(&mut exchange, Body::Empty).await;
                if !matches!(verdict, Verdict::Pass(_)) {
                    return Err("a filter turned the request back");
                }
                if back {
                    route
                        .pipeline
                        .response(&mut exchange, passed, Body::Empty, &mut Outcome::Ok)
                        .await;
                }
                spent += begin.elapsed();
            }
            Ok(spent)
        })
    }
}

fn exchange(route: &RouteView, headers: &[(&'static str, &'static str)]) -> Box<Exchange> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    for (name, value) in headers {
        parts.headers.append(*name, HeaderValue::from_static(value));
    }
    Exchange::new(
        parts,
        PathAndQuery::from_static("/orders?user=7"),
        Scheme::HTTP,
        HeaderValue::from_static("localhost"),
        route.info.clone(),
        Params::default(),
        [127, 0, 0, 1].into(),
        Instant::now(),
    )
}
