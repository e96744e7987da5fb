//! How long the exchanges of a route take, as one thread counts them.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::counter::Histogram;
use super::metrics::{Metrics, REQUEST_DURATION};

/// What one thread counts for one route.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    metrics: Metrics,
    thread: usize,
    route: Arc<str>,
    /// Histograms that have been used, by method and status: a handful, so a list is faster than a map.
    /// Methods of a client's own making have none.
    durations: RefCell<Vec<(Option<Method>, u16, Histogram)>>,
}

impl RouteCounters {
    pub(crate) fn new(metrics: &Metrics, thread: usize, route: Arc<str>) -> RouteCounters {
        RouteCounters {
            metrics: metrics.clone(),
            thread,
            route,
            durations: RefCell::default(),
        }
    }

    /// One exchange has ended.
    pub(crate) fn ended(&self, method: &Method, status: u16, duration: Duration) {
        let mut durations = self.durations.borrow_mut();
        let method = is_known(method).then_some(method);
        if let Some((.., histogram)) = durations.iter().find(|(m, s, _)| *s == status && m.as_ref() == method) {
            histogram.record(duration);
            return;
        }
        // Methods of a client's own making share one label, or a client could make labels without end.
        let label: Arc<str> = method.map_or("_OTHER", Method::as_str).into();
        let labels = vec![
            ("http_request_method", label),
            ("http_response_status_code", status.to_string().into()),
            ("http_route", self.route.clone()),
        ];
        let histogram = self.metrics.histogram(self.thread, REQUEST_DURATION, labels);
        histogram.record(duration);
        durations.push((method.cloned(), status, histogram));
    }
}

fn is_known(method: &Method) -> bool {
    [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_its_route_method_and_status() {
        let metrics = Metrics::default();
        let route = RouteCounters::new(&metrics, 0, "users".into());
        route.ended(&Method::GET, 200, Duration::from_millis(3));
        route.ended(&Method::from_bytes(b"BREW").unwrap(), 200, Duration::from_millis(3));

        let text = metrics.encode();

        assert!(
            text.contains("http_route=\"users\"") && text.contains("http_request_method=\"_OTHER\""),
            "{text}"
        );
        assert!(!text.contains("BREW"));
    }
}
