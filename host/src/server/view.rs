//! A gateway as one thread uses it: its own filter instances, its own upstream connections, its own counters.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::extended_connect::WEBSOCKET;
use crate::backend::challenge::Challenge;
use crate::backend::fixed::Fixed;
use crate::backend::redirect::Redirect;
use crate::backend::{Backend, Fault};
use crate::config::resolved::{Compress, Listener};
use crate::gateway::{Gateway, GatewayFilter, GatewayRoute};
use crate::pipeline::{Labels, Pipeline, RouteInfo, Stage};
use crate::router::Router;
use crate::telemetry::Metrics;
use crate::telemetry::RouteCounters;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{FILTER_INSTANCES, FilterCounters};
use crate::tls::ListenerTls;
use crate::upstream::Upstream;
use crate::wasm::Pool;

/// One configuration on one thread. Exchanges hold on to the one they began with.
pub(crate) struct View {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) routes: Vec<Rc<RouteView>>,
    /// By the number that the process was started with.
    pub(crate) listeners: Vec<Rc<ListenerView>>,
    /// Stands in for requests that no route matches.
    pub(crate) unrouted: Rc<RouteView>,
    /// Answers `OPTIONS *`, which asks for nothing but whether somebody is there (RFC 9110 section 9.3.7).
    pub(crate) itself: Rc<RouteView>,
    pub(crate) access_log: AccessLog,
    upstreams: Vec<Rc<Upstream>>,
    pools: Vec<Rc<Pool>>,
}

/// One listener on one thread.
pub(crate) struct ListenerView {
    pub(crate) settings: Arc<Listener>,
    pub(crate) router: Arc<Router>,
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// Some route goes on as a WebSocket, so that clients of HTTP/2 are told that they may ask for it.
    pub(super) websockets: bool,
    /// What takes every request, where all are sent to HTTPS.
    pub(crate) to_https: Option<Rc<RouteView>>,
    /// What takes questions about our domains, where there may be some.
    pub(crate) challenge: Option<(Challenge, Rc<RouteView>)>,
}

impl ListenerView {
    /// Whether its clients have to prove the same as those of another: nothing, a TLS session, or a certificate.
    fn asks_the_same_of_clients(&self, other: &ListenerView) -> bool {
        match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => one.settings.client == other.settings.client,
            _ => false,
        }
    }
}

/// One route on one thread.
pub(crate) struct RouteView {
    pub(crate) info: Arc<RouteInfo>,
    pub(crate) pipeline: Pipeline,
    /// None for requests that no route matches.
    pub(crate) backend: Option<Backend>,
    /// What goes wrong on purpose.
    pub(crate) fault: Option<Fault>,
    /// Bytes of a request's body at most.
    pub(crate) body_size: Option<u64>,
    /// The protocols that its clients may go on in.
    pub(crate) upgrades: Vec<Box<str>>,
    /// Whether the target's early hints are passed on.
    pub(crate) early_hints: bool,
    /// How its responses are compressed.
    pub(crate) compress: Option<Compress>,
    pub(crate) counters: RouteCounters,
}

/// The route's name in log and metrics of a request that no route matches.
const UNROUTED: &str = "-";
/// The same of one that its listener sends to HTTPS.
const TO_HTTPS: &str = "redirect-to-https";
/// The same of one that checks that a domain is ours.
const ACME_CHALLENGE: &str = "acme-challenge";

impl RouteView {
    /// What stands in for a route where there is none: without filters.
    fn of_no_route(name: &str, backend: Option<Backend>, metrics: &Metrics, thread: usize) -> Rc<RouteView> {
        let name: Arc<str> = name.into();
        Rc::new(RouteView {
            info: Arc::new(RouteInfo {
                name: name.clone(),
                timeout: Duration::from_secs(60),
                timeout_written: false,
            }),
            pipeline: Pipeline::new(Vec::new()),
            backend,
            fault: None,
            body_size: None,
            upgrades: Vec::new(),
            early_hints: false,
            compress: None,
            counters: RouteCounters::new(metrics, thread, name),
        })
    }
}

impl View {
    /// A view of the current gateway. What has not changed since the previous one is taken over: connections, ready
    /// instances, balancing.
    pub(crate) fn new(shared: &Shared, thread: usize, previous: Option<&View>) -> View {
        let gateway = shared.current.load_full();
        let metrics = &shared.metrics;
        let upstreams = gateway.upstreams.iter().map(|state| {
            let named = |known: &&Rc<Upstream>| known.settings.name == state.settings.name;
            match previous.and_then(|view| view.upstreams.iter().find(named)) {
                Some(known) if known.is_of(state) => known.clone(),
                known => Upstream::new(state, known.map(Rc::as_ref), metrics, thread),
            }
        });
        let upstreams: Vec<_> = upstreams.collect();
        let mut view = View {
            routes: Vec::with_capacity(gateway.routes.len()),
            listeners: Vec::with_capacity(shared.listeners.len()),
            unrouted: RouteView::of_no_route(UNROUTED, None, metrics, thread),
            itself: RouteView::of_no_route(UNROUTED, Some(Backend::Fixed(Fixed::nothing())), metrics, thread),
            access_log: shared.access_log.handle(metrics, thread),
            upstreams,
            pools: Vec::new(),
            gateway: gateway.clone(),
        };
        for route in &gateway.routes {
            let route = view.route(route, shared, thread, previous);
            view.routes.push(Rc::new(route));
        }
        for (number, name) in shared.listeners.iter().enumerate() {
            let known = previous.and_then(|view| view.listeners.get(number));
            view.listeners.extend(listener(&gateway, name, known, metrics, thread));
        }
        view
    }

    /// The numbers of the listeners that ask something else of their clients than they did before.
    pub(super) fn listeners_that_ask_otherwise<'v>(&'v self, before: &'v View) -> impl Iterator<Item = usize> + 'v {
        let both = self.listeners.iter().zip(&before.listeners).enumerate();
        both.filter(|(_, (now, before))| !now.asks_the_same_of_clients(before))
            .map(|(number, _)| number)
    }

    /// Whether a listener other than this one has a certificate for a host.
    pub(super) fn is_of_another(&self, number: usize, host: &str) -> bool {
        let others = self.listeners.iter().enumerate().filter(|(other, _)| *other != number);
        let mut certificates = others.filter_map(|(_, listener)| Some(&listener.tls.as_ref()?.certificates));
        certificates.any(|certificates| certificates.cover(host))
    }

    /// Whether upstreams get the certificates of this listener's clients.
    pub(super) fn forwards_client_certificates(&self, number: usize) -> bool {
        let tls = self.listeners.get(number).and_then(|listener| listener.tls.as_ref());
        let client = tls.and_then(|tls| tls.settings.client.as_ref());
        client.is_some_and(|client| client.forward)
    }

    /// Another stands for it from now on. What is left of it to its exchanges keeps no connections but theirs.
    pub(super) fn gives_way_to(&self, other: &View) {
        for upstream in &self.upstreams {
            upstream.gives_way_to(&other.upstreams);
        }
    }

    /// Closes upstream connections that have been idle for too long.
    pub(super) fn evict_idle(&self) {
        for upstream in &self.upstreams {
            upstream.evict_idle();
        }
    }

    fn route(&mut self, route: &GatewayRoute, shared: &Shared, thread: usize, previous: Option<&View>) -> RouteView {
        let stages = route
            .filters
            .iter()
            .map(|filter| Rc::new(self.stage(route, filter, shared, thread, previous)));
        let pipeline = Pipeline::new(stages.collect());
        let settings = &route.settings;
        RouteView {
            // The thread's own copy: counting references to a shared one would move its cache line between cores.
            info: Arc::new(RouteInfo {
                name: settings.name.clone(),
                timeout: settings.timeout,
                timeout_written: settings.timeout_written,
            }),
            pipeline,
            backend: Backend::new(settings, &self.upstreams, &shared.metrics, thread),
            fault: settings
                .fault
                .map(|fault| Fault::new(fault, &settings.name, &shared.metrics, thread)),
            body_size: settings
                .body_size
                .unwrap_or(self.gateway.config.server.limits.body_size),
            upgrades: settings.upgrades.clone(),
            early_hints: settings.early_hints,
            compress: settings.compress.clone(),
            counters: RouteCounters::new(&shared.metrics, thread, settings.name.clone()),
        }
    }

    fn stage(
        &mut self,
        route: &GatewayRoute,
        filter: &GatewayFilter,
        shared: &Shared,
        thread: usize,
        previous: Option<&View>,
    ) -> Stage {
        let plugin: Arc<str> = filter.settings.plugin.name.as_str().into();
        let labels = Labels {
            plugin: plugin.clone(),
            filter: filter.settings.name.clone(),
            route: route.settings.name.clone(),
            scope: filter.scope.clone(),
        };
        let phases = filter.filter.plugin.manifest.phases;
        Stage {
            pool: self.pool(filter, &plugin, shared, thread, previous),
            labels: Arc::new(labels),
            phases,
            on_failure: filter.settings.on_failure,
            body_limit: filter.settings.limits.body,
            quarantine: filter.quarantine.clone(),
            counters: FilterCounters::new(&shared.metrics, thread, &filter.settings.name, &plugin, phases),
        }
    }

    /// The pool of a filter: this view's, the previous one's, or a new one.
    fn pool(
        &mut self,
        filter: &GatewayFilter,
        plugin: &Arc<str>,
        shared: &Shared,
        thread: usize,
        previous: Option<&View>,
    ) -> Rc<Pool> {
        let same = |pool: &&Rc<Pool>| Arc::ptr_eq(pool.filter(), &filter.filter);
        if let Some(known) = self.pools.iter().find(same) {
            return known.clone();
        }
        let known = previous.and_then(|view| view.pools.iter().find(same)).cloned();
        let pool = known.unwrap_or_else(|| {
            let labels = vec![("plugin", plugin.clone())];
            Pool::new(
                filter.filter.clone(),
                shared.metrics.counter(thread, FILTER_INSTANCES, labels),
            )
        });
        self.pools.push(pool.clone());
        pool
    }
}

/// A listener as the gateway has it now. One that it has no more goes on as it was, until the process is started again,
/// with the routes that are served everywhere.
fn listener(
    gateway: &Gateway,
    name: &str,
    known: Option<&Rc<ListenerView>>,
    metrics: &Metrics,
    thread: usize,
) -> Option<Rc<ListenerView>> {
    let is_websocket = |protocol: &str| protocol.eq_ignore_ascii_case(WEBSOCKET);
    let mut routes = gateway.routes.iter().map(|route| &route.settings);
    let websockets = routes.any(|route| route.is_served_on(name) && route.upgrades.iter().any(|one| is_websocket(one)));
    let view = match (gateway.listener(name), known) {
        (Some(listener), _) => ListenerView {
            websockets,
            settings: listener.settings.clone(),
            router: listener.router.clone(),
            tls: listener.tls.clone(),
            to_https: listener.settings.redirect_to_https.and_then(|port| {
                let backend = Backend::Redirect(Redirect::to_https(port)?);
                Some(RouteView::of_no_route(TO_HTTPS, Some(backend), metrics, thread))
            }),
            challenge: listener.challenges.clone().map(Challenge).map(|challenge| {
                let backend = Backend::Challenge(challenge.clone());
                let route = RouteView::of_no_route(ACME_CHALLENGE, Some(backend), metrics, thread);
                (challenge, route)
            }),
        },
        (None, Some(known)) => ListenerView {
            websockets,
            settings: known.settings.clone(),
            router: gateway.everywhere.clone(),
            tls: known.tls.clone(),
            to_https: known.to_https.clone(),
            challenge: known.challenge.clone(),
        },
        (None, None) => return None,
    };
    Some(Rc::new(view))
}
