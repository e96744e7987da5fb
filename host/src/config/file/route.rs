//! `[[route]]`.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{
    Aggregate, Compress, Destination, Fault, FilterEntry, Hedge, Located, Mirror, Named, OneOrMany, Retry, Shorthand,
    SizeOrOff, Switch, Text, Written,
};

/// `[[route]]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Route")]
pub(crate) struct Route {
    /// `name = "users"`: for logs and metrics. The text of the match by default.
    pub(crate) name: Option<Located<String>>,
    /// `match = "GET,POST example.com/users/{id}"`, a list of such, or `{ path = "/users/{id}", headers = { .. } }`.
    #[serde(rename = "match")]
    #[schemars(required)]
    pub(crate) matches: Option<Located<OneOrMany<Located<Shorthand<Match>>>>>,
    /// `listeners = ["internal"]`: where it is served. Everywhere by default.
    pub(crate) listeners: Option<Located<OneOrMany<Located<String>>>>,
    /// `to = "users"`: the upstream that answers, or several with weights: `[{ upstream = "users", weight = 95 }, ..]`.
    pub(crate) to: Option<Located<OneOrMany<Located<Shorthand<Destination>>>>>,
    /// `rewrite = { path = "/api/{id}", host = "internal.example" }`: what the upstream sees.
    pub(crate) rewrite: Option<Located<Rewrite>>,
    /// `redirect = "https://example.com/{rest}"`, or `{ to = "..", status = 301 }`.
    pub(crate) redirect: Option<Located<Shorthand<Redirect>>>,
    /// `[route.aggregate.call.user]`: one answer from those of several services.
    pub(crate) aggregate: Option<Located<Aggregate>>,
    /// `respond = { status = 200, json = { message = "hello" } }`: a fixed answer.
    pub(crate) respond: Option<Located<Respond>>,
    /// `filters = ["signed-in", { use = "rate-limit", settings = { rate = "5/min" } }]`: in this order.
    pub(crate) filters: Option<Located<Vec<Located<Shorthand<FilterEntry>>>>>,
    /// `timeout = "2s"`: for the whole exchange, filters and all, up to the response's head.
    pub(crate) timeout: Option<Located<Text<Duration>>>,
    /// `try_timeout = "500ms"`: for one try as a whole; over the upstream's.
    pub(crate) try_timeout: Option<Located<Text<Duration>>>,
    /// `retry = { tries = 2 }`, or `"off"`: over the upstream's, key by key.
    pub(crate) retry: Option<Located<Shorthand<Retry>>>,
    /// `hedge = { after = "50ms" }`, or `"off"`: over the upstream's.
    pub(crate) hedge: Option<Located<Shorthand<Hedge>>>,
    /// `mirror = { to = "shadow", share = "10%" }`: an upstream that gets copies of requests.
    pub(crate) mirror: Option<Located<Shorthand<Mirror>>>,
    /// `fault = { delay = "200ms", delay_share = "10%" }`: what goes wrong on purpose.
    pub(crate) fault: Option<Located<Fault>>,
    /// `body_size = "50MiB"`: of a request body, or `"off"`.
    pub(crate) body_size: Option<Located<Text<SizeOrOff>>>,
    /// `upgrade = ["websocket"]`: protocols that a client may go on in, if the upstream agrees. `[]` is none.
    pub(crate) upgrade: Option<Located<OneOrMany<Located<String>>>>,
    /// `early_hints = true`: the upstream's early hints (103) are passed on to clients of HTTP/1.1. Off by default.
    pub(crate) early_hints: Option<Located<bool>>,
    /// `compress = true`, or a table: as in `[server]`, for this route. What a table leaves out is the server's.
    pub(crate) compress: Option<Located<Switch<Compress>>>,
}

/// `{ methods = ["GET"], host = "example.com", path = "/users/{id}", headers = { x-beta = "1" } }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    /// `methods = ["GET", "POST"]`: any, where it is not written.
    pub(crate) methods: Option<Located<OneOrMany<Located<String>>>>,
    /// `host = "*.example.com"`: any, where it is not written.
    pub(crate) host: Option<Located<String>>,
    /// `path = "/users/{id}"`
    #[schemars(required)]
    pub(crate) path: Option<Located<String>>,
    /// `headers = { x-beta = "1", accept = { prefix = "text/" } }`
    #[serde(default)]
    pub(crate) headers: Named<Shorthand<ValueMatch>>,
    /// `query = { page = { regex = "[0-9]+" }, debug = { present = true } }`
    #[serde(default)]
    pub(crate) query: Named<Shorthand<ValueMatch>>,
}

impl LongForm for Match {
    const EXPECTED: &'static str = "a match such as `GET /users/{id}`, or a table such as `{ path = \"/users/{id}\" }`";
}

/// `{ prefix = "text/" }`: exactly one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValueMatch {
    /// `exact = "1"`: the same as the plain string.
    pub(crate) exact: Option<Located<String>>,
    /// `prefix = "text/"`
    pub(crate) prefix: Option<Located<String>>,
    /// `regex = "[0-9]+"`: the whole value.
    pub(crate) regex: Option<Located<String>>,
    /// `present = true`: whatever its value.
    pub(crate) present: Option<Located<bool>>,
}

impl LongForm for ValueMatch {
    const EXPECTED: &'static str =
        "a string, or one of `{ prefix = \"..\" }`, `{ regex = \"..\" }`, `{ present = true }`";
}

/// `rewrite = { path = "/api/{id}", host = "internal.example" }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Rewrite")]
pub(crate) struct Rewrite {
    /// `path = "/api/{id}"`: may use the parameters of the match.
    pub(crate) path: Option<Located<String>>,
    /// `host = "internal.example"`
    pub(crate) host: Option<Located<String>>,
}

/// `redirect = { to = "https://example.com/{rest}", status = 301 }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    /// `to = "https://example.com/{rest}"`: may use the parameters of the match.
    #[schemars(required)]
    pub(crate) to: Option<Located<String>>,
    /// `status = 308`: 301, 302, 303, 307 or 308.
    pub(crate) status: Option<Located<i64>>,
    /// `keep_query = true`: whether the request's query is appended.
    pub(crate) keep_query: Option<bool>,
}

impl LongForm for Redirect {
    const EXPECTED: &'static str = "a URL, or a table such as `{ to = \"https://example.com/\", status = 301 }`";
}

/// `respond = { status = 200, json = { message = "hello" } }`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Respond")]
pub(crate) struct Respond {
    /// `status = 200`
    pub(crate) status: Option<Located<i64>>,
    /// `headers = { cache-control = "no-store" }`
    #[serde(default)]
    pub(crate) headers: Named<String>,
    /// `body = "hello"`: text.
    pub(crate) body: Option<Located<String>>,
    /// `json = { message = "hello" }`: any value, sent as JSON.
    pub(crate) json: Option<Located<Written>>,
}

// By hand, because bodies may hold secrets.
impl fmt::Debug for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

only_tables! {
    Route: "a table: `[[route]]`",
    Rewrite: "a table such as `{ path = \"/api/{id}\" }`",
    Respond: "a table such as `{ status = 200, body = \"hello\" }`",
}
