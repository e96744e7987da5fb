//! Every metric of the gateway, and their text for Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::counter::{BUCKETS, Counter, Histogram};
use super::names::HELP;
pub(crate) use super::names::*;
use crate::pipeline::{Phase, Phases};
use crate::wasm::Reason;

/// Why calls of filters fail, all of it.
const REASONS: [Reason; 8] = [
    Reason::Trap,
    Reason::Cpu,
    Reason::Time,
    Reason::Memory,
    Reason::Error,
    Reason::Malformed,
    Reason::Load,
    Reason::Exhausted,
];

/// Where the control thread counts: beside the data plane's threads, which begin at 0.
pub(crate) const CONTROL_THREAD: usize = usize::MAX;

pub(crate) type Labels = Vec<(&'static str, Arc<str>)>;
type Reading = Arc<dyn Fn() -> u64 + Send + Sync>;
type Listing = Arc<dyn Fn() -> Vec<(Labels, u64)> + Send + Sync>;
/// By name and labels, then by thread.
type Parts<T> = BTreeMap<&'static str, BTreeMap<Labels, BTreeMap<usize, T>>>;

/// All metrics of a gateway. Names and labels are looked up when a configuration is built, never for a request.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Families>>);

#[derive(Clone, Default)]
struct Families {
    counters: Parts<Counter>,
    histograms: Parts<Histogram>,
    gauges: Parts<Counter>,
    readings: BTreeMap<&'static str, BTreeMap<Labels, Reading>>,
    listings: BTreeMap<&'static str, Vec<Listing>>,
}

impl Metrics {
    /// One thread's part of a counter, which is shown with 0 from then on.
    pub(crate) fn counter(&self, thread: usize, name: &'static str, labels: Labels) -> Counter {
        part(&mut self.families().counters, thread, name, labels)
    }

    /// One thread's part of a gauge.
    pub(crate) fn gauge(&self, thread: usize, name: &'static str, labels: Labels) -> Counter {
        part(&mut self.families().gauges, thread, name, labels)
    }

    /// One thread's part of a histogram.
    pub(crate) fn histogram(&self, thread: usize, name: &'static str, labels: Labels) -> Histogram {
        part(&mut self.families().histograms, thread, name, labels)
    }

    /// A gauge that is read when somebody looks.
    pub(crate) fn reading(&self, name: &'static str, labels: Labels, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.families()
            .readings
            .entry(name)
            .or_default()
            .insert(labels, Arc::new(read));
    }

    /// A gauge whose series are listed when somebody looks: targets come and go.
    pub(crate) fn listing(&self, name: &'static str, list: impl Fn() -> Vec<(Labels, u64)> + Send + Sync + 'static) {
        self.families().listings.entry(name).or_default().push(Arc::new(list));
    }

    /// Shows a counter with 0 until a thread counts: `rate()` sees a first failure only as a step from 0 to 1.
    fn announce(&self, name: &'static str, labels: Labels) {
        self.families()
            .counters
            .entry(name)
            .or_default()
            .entry(labels)
            .or_default();
    }

    /// Forgets what a new configuration may no longer have: readings, and announced counters that have never counted.
    pub(crate) fn forget_previous(&self) {
        let mut families = self.families();
        families.readings.clear();
        families.listings.clear();
        for series in families.counters.values_mut() {
            series.retain(|_, parts| !parts.is_empty());
        }
    }

    /// Forgets all that was counted for an upstream or target that is gone, named by its labels. Threads that still have
    /// exchanges with it count on unseen.
    pub(crate) fn forget(&self, gone: &[(&str, &str)]) {
        fn forget<T>(families: &mut BTreeMap<&'static str, BTreeMap<Labels, T>>, gone: &[(&str, &str)]) {
            let has = |labels: &Labels, (name, value): &(&str, &str)| {
                labels.iter().any(|(own, is)| own == name && **is == **value)
            };
            for series in families.values_mut() {
                series.retain(|labels, _| !gone.iter().all(|label| has(labels, label)));
            }
        }
        let mut families = self.families();
        let Families {
            counters,
            histograms,
            gauges,
            readings,
            // Listed anew each time somebody looks.
            listings: _,
        } = &mut *families;
        forget(counters, gone);
        forget(histograms, gone);
        forget(gauges, gone);
        forget(readings, gone);
    }

    /// The text that Prometheus scrapes, in the OpenMetrics format.
    pub fn encode(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(self.clone())));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }

    fn families(&self) -> std::sync::MutexGuard<'_, Families> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's part of what has this name and these labels; the same again for the same ones.
fn part<T: Clone + Default>(families: &mut Parts<T>, thread: usize, name: &'static str, labels: Labels) -> T {
    let parts = families.entry(name).or_default().entry(labels).or_default();
    parts.entry(thread).or_default().clone()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[derive(Debug)]
struct Scrape(Metrics);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // A copy, so that nobody who counts waits until all is written.
        let families = self.0.families().clone();
        for (name, series) in &families.counters {
            let mut metric = encoder.encode_descriptor(name, help(name), None, MetricType::Counter)?;
            for (labels, parts) in series {
                let total: u64 = parts.values().map(Counter::get).sum();
                metric
                    .encode_family(&label_set(labels))?
                    .encode_counter::<NoLabelSet, _, u64>(&total, None)?;
            }
        }
        let gauges = families.gauges.iter().map(|(name, series)| {
            let total = |parts: &BTreeMap<usize, Counter>| {
                parts.values().fold(0, |sum: u64, part| sum.wrapping_add(part.get()))
            };
            (
                *name,
                series
                    .iter()
                    .map(|(labels, parts)| (labels, total(parts)))
                    .collect::<Vec<_>>(),
            )
        });
        let readings = families.readings.iter().map(|(name, series)| {
            (
                *name,
                series.iter().map(|(labels, read)| (labels, read())).collect::<Vec<_>>(),
            )
        });
        for (name, series) in gauges.chain(readings) {
            let mut metric = encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for (labels, value) in series {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                metric.encode_family(&label_set(labels))?.encode_gauge(&value)?;
            }
        }
        for (name, listings) in &families.listings {
            let mut metric = encoder.encode_descriptor(name, help(name), None, MetricType::Gauge)?;
            for (labels, value) in listings.iter().flat_map(|list| list()) {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                metric.encode_family(&label_set(&labels))?.encode_gauge(&value)?;
            }
        }
        for (name, series) in &families.histograms {
            let mut metric = encoder.encode_descriptor(name, help(name), None, MetricType::Histogram)?;
            for (labels, parts) in series {
                encode_histogram(metric.encode_family(&label_set(labels))?, parts.values())?;
            }
        }
        Ok(())
    }
}

fn encode_histogram<'a>(mut encoder: MetricEncoder<'_>, parts: impl Iterator<Item = &'a Histogram>) -> fmt::Result {
    let (mut counts, mut sum) = ([0; BUCKETS.len() + 1], 0.0);
    parts.for_each(|part| part.add_to(&mut counts, &mut sum));
    let bounds = BUCKETS.into_iter().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
}

fn label_set(labels: &Labels) -> Vec<(&'static str, &str)> {
    labels.iter().map(|(name, value)| (*name, &**value)).collect()
}

fn help(name: &str) -> &'static str {
    HELP.iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, help)| help)
}

/// What one thread counts for one filter.
#[derive(Debug)]
pub(crate) struct FilterCounters {
    metrics: Metrics,
    thread: usize,
    filter: Arc<str>,
    plugin: Arc<str>,
    calls: [Counter; Phase::ALL.len()],
}

impl FilterCounters {
    pub(crate) fn new(
        metrics: &Metrics,
        thread: usize,
        filter: &Arc<str>,
        plugin: &Arc<str>,
        phases: Phases,
    ) -> FilterCounters {
        let calls = Phase::ALL.map(|phase| {
            if !phases.contains(phase) {
                return Counter::default();
            }
            let labels = vec![
                ("filter", filter.clone()),
                ("phase", phase.as_str().into()),
                ("plugin", plugin.clone()),
            ];
            metrics.counter(thread, FILTER_CALLS, labels)
        });
        FilterCounters {
            metrics: metrics.clone(),
            thread,
            filter: filter.clone(),
            plugin: plugin.clone(),
            calls,
        }
    }

    pub(crate) fn calls(&self, phase: Phase) -> &Counter {
        &self.calls[phase as usize]
    }

    /// Shows how often a filter has failed on a route, from 0 on, for each phase that it takes part in and each reason.
    pub(crate) fn announce_failures(
        metrics: &Metrics,
        filter: &Arc<str>,
        plugin: &Arc<str>,
        route: &Arc<str>,
        phases: Phases,
    ) {
        for phase in phases.iter() {
            for reason in REASONS {
                metrics.announce(FILTER_FAILURES, failure_labels(filter, plugin, route, phase, reason));
            }
        }
    }

    pub(crate) fn failure(&self, route: &Arc<str>, phase: Phase, reason: Reason) {
        let labels = failure_labels(&self.filter, &self.plugin, route, phase, reason);
        self.metrics.counter(self.thread, FILTER_FAILURES, labels).add(1);
    }
}

fn failure_labels(filter: &Arc<str>, plugin: &Arc<str>, route: &Arc<str>, phase: Phase, reason: Reason) -> Labels {
    vec![
        ("filter", filter.clone()),
        ("phase", phase.as_str().into()),
        ("plugin", plugin.clone()),
        ("reason", reason.as_str().into()),
        ("route", route.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_all_threads_add_up() {
        let metrics = Metrics::default();
        let label = || vec![("result", "ok".into())];
        metrics.counter(0, RELOADS, label()).add(2);
        metrics.counter(1, RELOADS, label()).add(3);

        assert!(
            metrics.encode().contains("portcullis_reloads_total{result=\"ok\"} 5"),
            "{}",
            metrics.encode()
        );
    }

    #[test]
    fn failures_are_shown_from_zero_until_they_are_forgotten_or_have_happened() {
        let metrics = Metrics::default();
        let (name, route): (Arc<str>, Arc<str>) = ("token-auth".into(), "users".into());
        let phases = Phases::of(&[Phase::Request, Phase::Complete]);
        let shown = || metrics.encode().matches("portcullis_filter_failures_total{").count();
        let announce = || FilterCounters::announce_failures(&metrics, &name, &name, &route, phases);
        announce();
        announce();
        assert_eq!(shown(), 2 * REASONS.len());

        let counters = FilterCounters::new(&metrics, 0, &name, &name, phases);
        counters.failure(&route, Phase::Request, Reason::Trap);
        metrics.forget_previous();

        assert_eq!(shown(), 1);
        let text = metrics.encode();
        assert!(text.contains("reason=\"trap\",route=\"users\"} 1"), "{text}");
    }

    #[test]
    fn what_was_counted_for_a_target_goes_with_it() {
        let metrics = Metrics::default();
        let count = |upstream: &str, target: &str| {
            let labels = vec![("target", target.into()), ("upstream", upstream.into())];
            metrics.counter(0, UPSTREAM_REQUESTS, labels).add(1);
        };
        count("users", "10.0.0.1:80");
        count("users", "10.0.0.2:80");
        count("orders", "10.0.0.1:80");

        metrics.forget(&[("target", "10.0.0.1:80"), ("upstream", "users")]);

        let text = metrics.encode();
        assert_eq!(text.matches("portcullis_upstream_requests_total{").count(), 2, "{text}");
        assert!(!text.contains("target=\"10.0.0.1:80\",upstream=\"users\""), "{text}");

        metrics.forget(&[("upstream", "users")]);
        assert_eq!(
            metrics.encode().matches("portcullis_upstream_requests_total{").count(),
            1
        );
    }

    #[test]
    fn nobody_waits_for_who_reads_the_metrics() {
        let metrics = Metrics::default();
        let inside = metrics.clone();
        metrics.reading(UPSTREAM_PANIC, Vec::new(), move || {
            // Whoever counts meanwhile, on whichever thread.
            let counting = inside.clone();
            let counted = std::thread::spawn(move || counting.counter(0, RELOADS, Vec::new()).add(1));
            u64::from(counted.join().is_ok())
        });
        assert!(metrics.encode().contains("portcullis_upstream_panic 1"));
    }
}
