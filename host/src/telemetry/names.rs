//! The names of all metrics, and what each says.

/// Duration of exchanges by route, method and status (OpenTelemetry's `http.server.request.duration`).
pub(crate) const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Client connections that are open.
pub(crate) const CONNECTIONS: &str = "portcullis_connections";
/// Client connections refused, by reason.
pub(crate) const CONNECTIONS_REFUSED: &str = "portcullis_connections_refused";
/// Client connections that have gone on in another protocol, and are open.
pub(crate) const CONNECTIONS_UPGRADED: &str = "portcullis_connections_upgraded";
/// Client connections that are open, and idle for so long that they hold nothing.
pub(crate) const CONNECTIONS_RESTING: &str = "portcullis_connections_resting";
/// Client connections ended for their HTTP/2 frames, by reason.
pub(crate) const HTTP2_FLOODS: &str = "portcullis_http2_floods";
/// Calls of filters, by filter, plugin and phase.
pub(crate) const FILTER_CALLS: &str = "portcullis_filter_calls";
/// Failed calls of filters, by filter, plugin, route, phase and reason.
pub(crate) const FILTER_FAILURES: &str = "portcullis_filter_failures";
/// Instances made, by plugin.
pub(crate) const FILTER_INSTANCES: &str = "portcullis_filter_instances_created";
/// 1 while a filter is out of service.
pub(crate) const FILTER_QUARANTINED: &str = "portcullis_filter_quarantined";
/// Requests sent upstream, by upstream, target and result.
pub(crate) const UPSTREAM_REQUESTS: &str = "portcullis_upstream_requests";
/// Targets ejected after repeated failures, by upstream and target.
pub(crate) const UPSTREAM_EJECTIONS: &str = "portcullis_upstream_ejections";
/// 1 while a target is left out for having failed, by upstream and target.
pub(crate) const UPSTREAM_TARGET_EJECTED: &str = "portcullis_upstream_target_ejected";
/// 1 while a target's probes pass, by upstream and target. Targets that are not probed are not shown.
pub(crate) const UPSTREAM_TARGET_HEALTHY: &str = "portcullis_upstream_target_healthy";
/// 1 while so few targets of an upstream are available that others are used as well.
pub(crate) const UPSTREAM_PANIC: &str = "portcullis_upstream_panic";
/// Probes of targets, by upstream, target and result.
pub(crate) const UPSTREAM_PROBES: &str = "portcullis_upstream_probes";
/// Answers of what targets are discovered by, by result and upstream.
pub(crate) const DISCOVERY_UPDATES: &str = "portcullis_discovery_updates";
/// Targets that are listed or discovered, by upstream.
pub(crate) const UPSTREAM_TARGETS: &str = "portcullis_upstream_targets";
/// Requests sent upstream again, by upstream and reason.
pub(crate) const UPSTREAM_RETRIES: &str = "portcullis_upstream_retries";
/// Requests that were not sent again, or not beside another one, since the budget was used up; by upstream.
pub(crate) const UPSTREAM_OVER_BUDGET: &str = "portcullis_upstream_retries_over_budget";
/// Requests sent beside others, and how many of them won; by upstream and result.
pub(crate) const UPSTREAM_HEDGES: &str = "portcullis_upstream_hedges";
/// Requests refused for an upstream's sake, by upstream and reason.
pub(crate) const UPSTREAM_REFUSED: &str = "portcullis_upstream_refused";
/// An upstream's breaker: 0 closed, 1 half-open, 2 open.
pub(crate) const UPSTREAM_BREAKER: &str = "portcullis_upstream_breaker";
/// Copies of requests, by route, upstream and result.
pub(crate) const MIRRORED: &str = "portcullis_mirrored_requests";
/// Calls of aggregates that failed, by route, call and reason.
pub(crate) const CALLS_FAILED: &str = "portcullis_calls_failed";
/// Requests delayed or failed on purpose, by route and kind.
pub(crate) const FAULTS: &str = "portcullis_faults";
/// Connections made to targets, by upstream.
pub(crate) const UPSTREAM_CONNECTIONS_OPENED: &str = "portcullis_upstream_connections_opened";
/// Requests sent over connections that had served before, by upstream.
pub(crate) const UPSTREAM_CONNECTIONS_REUSED: &str = "portcullis_upstream_connections_reused";
/// Connections to targets that have ended, by upstream and reason.
pub(crate) const UPSTREAM_CONNECTIONS_CLOSED: &str = "portcullis_upstream_connections_closed";
/// Connections to targets that could not be made, by upstream and reason.
pub(crate) const UPSTREAM_CONNECT_FAILURES: &str = "portcullis_upstream_connect_failures";
/// Duration of connecting to targets, TLS included, by upstream.
pub(crate) const UPSTREAM_CONNECT_DURATION: &str = "portcullis_upstream_connect_duration_seconds";
/// When a certificate that clients are shown ends, by its first name in the alphabet and listener.
pub(crate) const CERTIFICATE_NOT_AFTER: &str = "portcullis_certificate_not_after_seconds";
/// Orders of certificates by ACME, by certificate and result.
pub(crate) const ACME_ORDERS: &str = "portcullis_acme_orders";
/// Reloads of the configuration, by result.
pub(crate) const RELOADS: &str = "portcullis_reloads";
/// Lines that the access log could not take.
pub(crate) const ACCESS_LOG_DROPPED: &str = "portcullis_access_log_dropped";

pub(super) const HELP: &[(&str, &str)] = &[
    (REQUEST_DURATION, "Duration of exchanges"),
    (CONNECTIONS, "Client connections that are open"),
    (CONNECTIONS_REFUSED, "Client connections refused"),
    (
        CONNECTIONS_UPGRADED,
        "Client connections in another protocol, such as WebSocket, that are open",
    ),
    (
        CONNECTIONS_RESTING,
        "Client connections that are open, and idle for so long that they hold no buffers",
    ),
    (HTTP2_FLOODS, "Client connections ended for flooding with HTTP/2 frames"),
    (FILTER_CALLS, "Calls of filters"),
    (FILTER_FAILURES, "Failed calls of filters"),
    (FILTER_INSTANCES, "Filter instances made"),
    (FILTER_QUARANTINED, "1 while a filter is out of service"),
    (UPSTREAM_REQUESTS, "Requests sent upstream"),
    (UPSTREAM_EJECTIONS, "Targets ejected after repeated failures"),
    (
        UPSTREAM_TARGET_EJECTED,
        "1 while a target is left out for having failed",
    ),
    (UPSTREAM_TARGET_HEALTHY, "1 while a target's probes pass"),
    (
        UPSTREAM_PANIC,
        "1 while targets are used that are not available, since too few are",
    ),
    (UPSTREAM_PROBES, "Probes of targets"),
    (DISCOVERY_UPDATES, "Answers of what targets are discovered by"),
    (UPSTREAM_TARGETS, "Targets that are listed or discovered"),
    (UPSTREAM_RETRIES, "Requests sent upstream again"),
    (
        UPSTREAM_OVER_BUDGET,
        "Requests not repeated since the budget was used up",
    ),
    (UPSTREAM_HEDGES, "Requests sent beside others"),
    (UPSTREAM_REFUSED, "Requests refused for an upstream's sake"),
    (UPSTREAM_BREAKER, "An upstream's breaker: 0 closed, 1 half-open, 2 open"),
    (MIRRORED, "Copies of requests"),
    (CALLS_FAILED, "Calls of aggregates that failed"),
    (FAULTS, "Requests delayed or failed on purpose"),
    (UPSTREAM_CONNECTIONS_OPENED, "Connections made to targets"),
    (
        UPSTREAM_CONNECTIONS_REUSED,
        "Requests sent over connections that had served before",
    ),
    (UPSTREAM_CONNECTIONS_CLOSED, "Connections to targets that have ended"),
    (
        UPSTREAM_CONNECT_FAILURES,
        "Connections to targets that could not be made",
    ),
    (UPSTREAM_CONNECT_DURATION, "Duration of connecting to targets"),
    (
        CERTIFICATE_NOT_AFTER,
        "When a certificate that clients are shown ends, in seconds since 1970",
    ),
    (ACME_ORDERS, "Orders of certificates by ACME"),
    (RELOADS, "Reloads of the configuration"),
    (ACCESS_LOG_DROPPED, "Lines that the access log could not take"),
];
