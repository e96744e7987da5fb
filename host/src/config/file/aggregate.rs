//! `[route.aggregate]`: one request, several services.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::shorthand::LongForm;
use super::{Located, Named, OneOrMany, Shorthand, Size, Text, Written};

/// `[route.aggregate]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Aggregate")]
pub(crate) struct Aggregate {
    /// `[route.aggregate.call.user]`: a call and its name. Bodies are joined in the order written.
    #[serde(default)]
    pub(crate) call: Named<AggregateCall>,
    /// `allow_unsafe = true`: calls may use methods that change something. Off by default.
    pub(crate) allow_unsafe: Option<Located<bool>>,
    /// `errors = "errors"`: the member of the answer that tells which calls have failed. None by default.
    pub(crate) errors: Option<Located<String>>,
    /// `max_body = "1MiB"`: of one call's body.
    pub(crate) max_body: Option<Located<Text<Size>>>,
    /// `max_total = "4MiB"`: of all bodies together.
    pub(crate) max_total: Option<Located<Text<Size>>>,
    /// `max_depth = 64`: arrays and objects inside of each other.
    pub(crate) max_depth: Option<Located<i64>>,
}

/// `[route.aggregate.call.user]`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "AggregateCall")]
pub(crate) struct AggregateCall {
    /// `get = "users:/users/${path.id}"`: an upstream, and a path with references.
    pub(crate) get: Option<Located<String>>,
    /// `head = "users:/users/${path.id}"`
    pub(crate) head: Option<Located<String>>,
    /// `post = "search:/query"`: needs `allow_unsafe`.
    pub(crate) post: Option<Located<String>>,
    /// `put = "users:/users/${path.id}"`: needs `allow_unsafe`.
    pub(crate) put: Option<Located<String>>,
    /// `patch = "users:/users/${path.id}"`: needs `allow_unsafe`.
    pub(crate) patch: Option<Located<String>>,
    /// `delete = "users:/users/${path.id}"`: needs `allow_unsafe`.
    pub(crate) delete: Option<Located<String>>,
    /// `headers = { x-tenant = "${header.x-tenant}" }`: fields that it sends.
    #[serde(default)]
    pub(crate) headers: Named<String>,
    /// `pass_headers = ["accept-language"]`: the client's fields that it sends too.
    pub(crate) pass_headers: Option<Located<OneOrMany<Located<String>>>>,
    /// `body = { id = "${path.id}" }`: sent as JSON.
    pub(crate) body: Option<Located<Written>>,
    /// `timeout = "500ms"`: its own time; the answer's is never exceeded.
    pub(crate) timeout: Option<Located<Text<Duration>>>,
    /// `foreach = "${call.orders.body.items}"`: once for each element, which is `${item}`.
    pub(crate) foreach: Option<Located<Shorthand<Foreach>>>,
    /// `target = "data.user"`: the part of the body to take in its place.
    pub(crate) target: Option<Located<String>>,
    /// `allow = ["id", "items[].price"]`: what to keep of it.
    pub(crate) allow: Option<Located<OneOrMany<Located<String>>>>,
    /// `deny = ["password"]`: what to leave out of it.
    pub(crate) deny: Option<Located<OneOrMany<Located<String>>>>,
    /// `rename = { "items[].price" = "cost" }`
    #[serde(default)]
    pub(crate) rename: Named<String>,
    /// `into = "history.orders"`: where in the answer it goes; `false` is nowhere.
    pub(crate) into: Option<Located<Written>>,
    /// `merge = "deep"`, `"append"` or `"overwrite"`: what to do where an earlier call has written.
    pub(crate) merge: Option<Located<String>>,
    /// `required = false`: there is an answer without it, too.
    pub(crate) required: Option<Located<bool>>,
    /// `on_error = "omit"`, `"null"`, a list, a table, or `{ default = .. }`: what is there in its place.
    pub(crate) on_error: Option<Located<Written>>,
    /// `success = ["2xx", 404]`: statuses that are no failure.
    pub(crate) success: Option<Located<OneOrMany<Located<Status>>>>,
    /// `pass_status = ["404"]`: statuses that the client gets where the call fails with one.
    pub(crate) pass_status: Option<Located<OneOrMany<Located<Status>>>>,
}

/// A status, or a range of them: `404`, `"2xx"`, `"500-504"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) String);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Status;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a status such as `404`, `\"2xx\"` or `\"500-504\"`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Status, E> {
                Ok(Status(text.to_owned()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Status, E> {
                Ok(Status(number.to_string()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"] })
    }
}

/// `foreach = { over = "${call.orders.body.items}", items = 100, at_once = 8 }`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Foreach {
    /// `over = "${call.orders.body.items}"`: an array.
    #[schemars(required)]
    pub(crate) over: Option<Located<String>>,
    /// `items = 100`: the most that it may have.
    pub(crate) items: Option<Located<i64>>,
    /// `at_once = 8`: calls under way at one time.
    pub(crate) at_once: Option<Located<i64>>,
}

impl LongForm for Foreach {
    const EXPECTED: &'static str = "a reference to an array, or a table such as `{ over = \"..\", items = 100 }`";
}

// By hand, because fields and bodies may hold secrets.
impl std::fmt::Debug for AggregateCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AggregateCall").finish_non_exhaustive()
    }
}

only_tables! {
    Aggregate: "a table: `[route.aggregate]`",
    AggregateCall: "a table: `[route.aggregate.call.NAME]`",
}
