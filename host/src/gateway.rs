//! Wires every part of the gateway, top to bottom: the one file that knows them all. Built afresh on each reload.
//!
//! ```text
//! configuration ──> plugins compiled, imports checked ──> settings checked ──> filters ──> routes ──> routers ──> listeners
//! ```

mod filters;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use self::filters::{FilterKey, PluginKey};
use crate::acme::{AcmeCertificate, Challenges};
use crate::config::resolved::{Acme, AcmeChallenge, Config, FilterUse, Listener, PluginSource, Route};
use crate::config::{Problem, Problems};
use crate::pipeline::QuarantineState;
use crate::router::Router;
use crate::telemetry::metrics::{
    CERTIFICATE_NOT_AFTER, FILTER_QUARANTINED, FilterCounters, Metrics, UPSTREAM_BREAKER, UPSTREAM_TARGETS,
};
use crate::tls::ListenerTls;
use crate::upstream::UpstreamState;
use crate::wasm::capabilities::Services;
use crate::wasm::{Engine, Filter, Plugin};

/// One immutable snapshot: everything that serving a request needs to know.
#[derive(Debug)]
pub struct Gateway {
    /// What it was built from.
    pub config: Config,
    /// In the order of the configuration.
    pub listeners: Vec<GatewayListener>,
    /// What is served on every listener, for one that this gateway does not know.
    pub(crate) everywhere: Arc<Router>,
    /// In the order of the configuration.
    pub routes: Vec<GatewayRoute>,
    /// In the order of the configuration.
    pub(crate) upstreams: Vec<Arc<UpstreamState>>,
    /// Certificates that are obtained, for any listener.
    pub(crate) acme: Vec<Arc<AcmeCertificate>>,
    /// What is answered for their domains; the same for all gateways of a process.
    pub(crate) challenges: Arc<Challenges>,
    plugins: HashMap<PluginKey, Arc<Plugin>>,
    filters: HashMap<FilterKey, Arc<Filter>>,
    quarantines: HashMap<Arc<str>, (Arc<Filter>, Arc<QuarantineState>)>,
}

/// A listener, with the routes that are served on it.
#[derive(Debug)]
pub struct GatewayListener {
    /// As configured.
    pub settings: Arc<Listener>,
    /// From a request to the number of a route. Listeners with the same routes share it.
    pub router: Arc<Router>,
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// What is answered over plain HTTP to who checks that a domain is ours, where somebody may.
    pub(crate) challenges: Option<Arc<Challenges>>,
}

/// A route, with its filters ready to be instantiated.
#[derive(Debug)]
pub struct GatewayRoute {
    /// As configured.
    pub settings: Route,
    /// In order.
    pub filters: Vec<GatewayFilter>,
}

/// A filter at its place in a route.
#[derive(Debug)]
pub struct GatewayFilter {
    /// As configured.
    pub settings: FilterUse,
    /// What it is an instance of; routes with equal filters share it.
    pub filter: Arc<Filter>,
    /// Whose counts and whose health: a named filter is one for all its routes, any other is its route's own.
    pub scope: Arc<str>,
    pub(crate) quarantine: Arc<QuarantineState>,
}

/// What outlives a gateway: made once for a process.
#[derive(Clone)]
pub struct Environment {
    /// Compiles and runs plugins.
    pub engine: Engine,
    /// State behind the capabilities.
    pub services: Arc<Services>,
    /// Counts.
    pub metrics: Metrics,
}

impl Gateway {
    /// Builds a gateway. What has not changed since the previous one is taken over from it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with plugins and their settings, in one go.
    pub async fn build(
        config: Config,
        environment: &Environment,
        previous: Option<&Gateway>,
    ) -> Result<Gateway, Problems> {
        let mut build = Build {
            environment,
            previous,
            problems: Vec::new(),
            loaded: HashMap::new(),
            kept: Kept::default(),
            acme: Vec::new(),
            challenges: previous.map(|gateway| gateway.challenges.clone()).unwrap_or_default(),
        };
        let mut routes = Vec::with_capacity(config.routes.len());
        for route in &config.routes {
            let mut filters = Vec::with_capacity(route.filters.len());
            for settings in &route.filters {
                filters.extend(build.filter(route, settings).await);
            }
            routes.push(GatewayRoute {
                settings: route.clone(),
                filters,
            });
        }
        let mut routers = Routers::default();
        let everywhere = build.router(&mut routers, &config.routes, |route| route.listeners.is_empty());
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for settings in &config.listeners {
            let router = build.router(&mut routers, &config.routes, |route| route.is_served_on(&settings.name));
            listeners.extend(build.listener(settings, &config, router));
        }
        let Build {
            problems,
            kept,
            acme,
            challenges,
            ..
        } = build;
        match (Problems::of(problems), everywhere) {
            (None, Some(everywhere)) => {
                let Kept {
                    plugins,
                    filters,
                    quarantines,
                } = kept;
                Ok(Gateway {
                    // Last of all, for they share what they know of targets with those that are in use.
                    upstreams: upstreams(&config, previous),
                    config,
                    listeners,
                    everywhere,
                    routes,
                    acme,
                    challenges,
                    plugins,
                    filters,
                    quarantines,
                })
            }
            (Some(problems), _) => Err(problems),
            (None, None) => Err(Problems::from(Problem::anywhere("the routes cannot be told apart"))),
        }
    }

    /// Shows the health of this gateway's filters, upstreams and targets, and no others, in the metrics, and failures of
    /// filters from 0 on.
    pub fn publish(&self, metrics: &Metrics) {
        metrics.forget_previous();
        for upstream in &self.upstreams {
            let labels = vec![("upstream", upstream.settings.name.as_str().into())];
            let upstream = upstream.clone();
            metrics.reading(UPSTREAM_TARGETS, labels, move || upstream.targets().len() as u64);
        }
        for (route, filter) in self
            .routes
            .iter()
            .flat_map(|route| route.filters.iter().map(move |filter| (route, filter)))
        {
            let (name, plugin) = (&filter.settings.name, filter.settings.plugin.name.as_str().into());
            let phases = filter.filter.plugin.manifest.phases;
            FilterCounters::announce_failures(metrics, name, &plugin, &route.settings.name, phases);
            let state = filter.quarantine.clone();
            let labels = vec![
                ("filter", name.clone()),
                ("plugin", plugin),
                ("scope", filter.scope.clone()),
            ];
            metrics.reading(FILTER_QUARANTINED, labels, move || u64::from(state.is_on()));
        }
        for (listener, tls) in self.listeners.iter().filter_map(|one| Some((one, one.tls.as_ref()?))) {
            let (name, certificates) = (listener.settings.name.clone(), tls.certificates.clone());
            metrics.listing(CERTIFICATE_NOT_AFTER, move || {
                let mut ends = BTreeMap::new();
                for one in certificates.current() {
                    // In whichever order its authority has written them this time.
                    let first: Arc<str> = one.names().iter().min().map_or("", String::as_str).into();
                    let since = one.not_after().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                    // Of two kinds for the same names, that which ends first.
                    ends.entry(first)
                        .and_modify(|end: &mut u64| *end = since.min(*end))
                        .or_insert(since);
                }
                let labels = |first| vec![("certificate", first), ("listener", name.clone())];
                ends.into_iter().map(|(first, end)| (labels(first), end)).collect()
            });
        }
        for state in &self.upstreams {
            state.publish_health(metrics);
            if state.breaker.is_some() {
                let (labels, state) = (vec![("upstream", state.settings.name.as_str().into())], state.clone());
                metrics.reading(UPSTREAM_BREAKER, labels, move || {
                    let stands = state.breaker.as_ref().map(|breaker| breaker.stands(Instant::now()));
                    stands.map_or(0, |stands| stands as u64)
                });
            }
        }
    }

    /// The listener of this name.
    pub(crate) fn listener(&self, name: &str) -> Option<&GatewayListener> {
        self.listeners.iter().find(|listener| *listener.settings.name == *name)
    }

    /// Every file whose change is a reason to build again.
    pub fn files(&self) -> Vec<PathBuf> {
        let plugins = self
            .routes
            .iter()
            .flat_map(|route| &route.settings.filters)
            .filter_map(|filter| match &filter.plugin.source {
                PluginSource::File(path) => Some(path.clone()),
                PluginSource::Standard(_) => None,
            });
        self.config.files.iter().cloned().chain(plugins).collect()
    }
}

#[derive(Default)]
struct Kept {
    plugins: HashMap<PluginKey, Arc<Plugin>>,
    filters: HashMap<FilterKey, Arc<Filter>>,
    quarantines: HashMap<Arc<str>, (Arc<Filter>, Arc<QuarantineState>)>,
}

struct Build<'a> {
    environment: &'a Environment,
    previous: Option<&'a Gateway>,
    problems: Vec<Problem>,
    /// By name: each plugin is read and reported on once.
    loaded: HashMap<String, Option<Arc<Plugin>>>,
    kept: Kept,
    acme: Vec<Arc<AcmeCertificate>>,
    challenges: Arc<Challenges>,
}

/// Routers by the numbers of their routes.
type Routers = HashMap<Vec<usize>, Option<Arc<Router>>>;

impl Build<'_> {
    /// The router of those routes. None where two of them tie, which is reported.
    fn router(
        &mut self,
        routers: &mut Routers,
        routes: &[Route],
        is_served: impl Fn(&Route) -> bool,
    ) -> Option<Arc<Router>> {
        let served = routes.iter().enumerate().filter(|(_, route)| is_served(route));
        let patterns = served.clone();
        let numbers = served.map(|(number, _)| number).collect();
        let built = routers.entry(numbers).or_insert_with(|| {
            let patterns =
                patterns.flat_map(|(number, route)| route.matches.iter().map(move |pattern| (number, pattern)));
            match Router::build(patterns) {
                Ok(router) => Some(Arc::new(router)),
                Err(conflicts) => {
                    self.problems.extend(conflicts.iter().filter_map(|tie| {
                        let place = routes.get(tie.second)?.place.clone();
                        Some(Problem::at(place, "two routes tie").note(format!("both match `{}`", tie.example)))
                    }));
                    None
                }
            }
        });
        built.clone()
    }

    fn listener(
        &mut self,
        settings: &Listener,
        config: &Config,
        router: Option<Arc<Router>>,
    ) -> Option<GatewayListener> {
        let known = self.previous.and_then(|gateway| gateway.listener(&settings.name));
        let known = known.and_then(|listener| listener.tls.as_deref());
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let obtained: Vec<_> = tls.acme.iter().map(|acme| self.obtained(acme).shown.clone()).collect();
                let challenges = self.challenges_by(config, AcmeChallenge::TlsAlpn01);
                match ListenerTls::new(tls, settings, &obtained, challenges, known) {
                    Ok(tls) => Some(tls),
                    Err(error) => {
                        let title = format!("TLS of the listener `{}` cannot be set up: {error}", settings.name);
                        self.problems.push(Problem::anywhere(title));
                        return None;
                    }
                }
            }
        };
        let challenges = self.challenges_by(config, AcmeChallenge::Http01);
        Some(GatewayListener {
            settings: Arc::new(settings.clone()),
            router: router?,
            challenges: challenges.filter(|_| tls.is_none()),
            tls,
        })
    }

    /// The certificate that is to be so: one for all listeners, and the previous gateway's where that had it alike.
    fn obtained(&mut self, settings: &Acme) -> Arc<AcmeCertificate> {
        let previous = self.previous.map_or(&[][..], |gateway| &gateway.acme);
        if let Some(known) = self.acme.iter().find(|known| known.settings == *settings) {
            return known.clone();
        }
        let known = previous.iter().find(|known| known.settings == *settings).cloned();
        let certificate = known.unwrap_or_else(|| AcmeCertificate::new(settings, previous));
        self.acme.push(certificate.clone());
        certificate
    }

    /// What listeners answer that can do so in this way. None where nobody will ask.
    fn challenges_by(&self, config: &Config, challenge: AcmeChallenge) -> Option<Arc<Challenges>> {
        let mut obtained = config
            .listeners
            .iter()
            .filter_map(|one| one.tls.as_ref())
            .flat_map(|tls| &tls.acme);
        obtained
            .any(|acme| acme.challenge == challenge)
            .then(|| self.challenges.clone())
    }
}

/// What is shared of the upstreams: the previous ones, where their settings are the same.
fn upstreams(config: &Config, previous: Option<&Gateway>) -> Vec<Arc<UpstreamState>> {
    let states = config.upstreams.iter().map(|settings| {
        let named = |known: &&Arc<UpstreamState>| known.settings.name == settings.name;
        match previous.and_then(|gateway| gateway.upstreams.iter().find(named)) {
            Some(known) if known.settings == *settings => known.clone(),
            known => UpstreamState::new(settings, known.map(Arc::as_ref)),
        }
    });
    states.collect()
}
