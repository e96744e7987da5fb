//! The standard plugins, as the gateway runs them: one module for each.

mod api_key;
mod cors;
mod edit_headers;
mod jwt_auth;
mod rate_limit;
mod request_id;
mod rewrite_body;
mod token_auth;

use portcullis_tests::{Gateway, Upstream};

/// A gateway that puts these filters (TOML, as in a route's `filters`) before an upstream, on every path.
async fn filtering(upstream: &Upstream, filters: &str) -> Gateway {
    Gateway::start(format!(
        r#"
        upstream.service.targets = ["{upstream}"]
        [[route]]
        name = "filtered"
        match = ["/{{rest...}}", "/users/{{id}}"]
        to = "service"
        filters = [{filters}]
        "#
    ))
    .await
}
