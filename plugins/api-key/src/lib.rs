//! Lets a request pass only with a consumer's key, and says which consumer it is.

mod keys;
mod query;

use std::collections::BTreeMap;

use portcullis_sdk::{Failure, Filter, HeaderName, Outcome, Reply, Request, SettingsError, register_filter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys::{Consumer, Keys};

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the key is: in a header field, or in the query.
    #[serde(default, rename = "in")]
    place: Place,
    /// The name of that field or query parameter.
    #[serde(default = "default_name")]
    #[schemars(length(min = 1))]
    name: String,
    /// Who may come in: a consumer's name, and its key.
    #[schemars(length(min = 1))]
    keys: BTreeMap<String, Consumer>,
    /// The field that tells the upstream the consumer's name. A client's own is always removed.
    #[serde(default = "default_consumer_header")]
    consumer_header: HeaderName,
    /// Whether the key is taken out before the request goes on.
    #[serde(default = "yes")]
    strip: bool,
}

/// Where a key is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A header field.
    #[default]
    Header,
    /// A query parameter.
    Query,
}

/// The filter.
pub struct ApiKey {
    place: Place,
    name: String,
    keys: Keys,
    consumer_header: HeaderName,
    strip: bool,
    challenge: String,
}

impl Filter for ApiKey {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        let Settings {
            place,
            name,
            keys,
            consumer_header,
            strip,
        } = settings;
        let (name, word) = match place {
            Place::Header => {
                let name = HeaderName::new(&name).map_err(|_| format!("`name`: `{name}` is no header field name"))?;
                (name.to_string(), "header")
            }
            Place::Query if name.is_empty() => return Err("`name` is empty".into()),
            Place::Query => (name, "query"),
        };
        // RFC 9110 section 11.6.1 wants a challenge with every 401; this scheme is ours and says where the key belongs.
        let challenge = format!("ApiKey in=\"{word}\", name=\"{}\"", name.escape_default());
        Ok(ApiKey {
            place,
            name,
            keys: Keys::new(keys)?,
            consumer_header,
            strip,
            challenge,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        // Whatever comes of this request, nobody but this filter says who the consumer is.
        request.remove_header(&self.consumer_header)?;
        let mut given = self.given(request);
        let Some(key) = given.pop().filter(|key| !key.is_empty()) else {
            return Ok(self.refuse("An API key is needed."));
        };
        if !given.is_empty() {
            return Ok(self.refuse("More than one API key was given."));
        }
        let Some(consumer) = self.keys.find(&key) else {
            return Ok(self.refuse("The API key is not accepted."));
        };
        if self.strip {
            self.take_out(request)?;
        }
        request.set_header(&self.consumer_header, consumer.name.as_str())?;
        for (name, value) in &consumer.notes {
            request.set_note(name, value)?;
        }
        request.set_note("api-key", &consumer.name)?;
        Ok(Outcome::Continue)
    }
}

impl ApiKey {
    /// Every key that the request gives.
    fn given(&self, request: &Request) -> Vec<Vec<u8>> {
        match self.place {
            Place::Header => request
                .header_values(&self.name)
                .into_iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
            Place::Query => query::values(&request.query().unwrap_or_default(), &self.name),
        }
    }

    fn take_out(&self, request: &mut Request) -> Result<(), Failure> {
        match self.place {
            Place::Header => request.remove_header(&self.name)?,
            Place::Query => {
                let rest = query::without(&request.query().unwrap_or_default(), &self.name);
                request.set_query(rest.as_deref())?;
            }
        }
        Ok(())
    }

    fn refuse(&self, detail: &str) -> Outcome {
        Reply::problem(401, "Unauthorized", detail)
            .header("www-authenticate", self.challenge.as_str())
            .into()
    }
}

fn default_name() -> String {
    "x-api-key".into()
}

fn default_consumer_header() -> HeaderName {
    HeaderName::new("x-consumer").expect("it is a token")
}

fn yes() -> bool {
    true
}

register_filter!(ApiKey);

#[cfg(test)]
mod tests;
