//! Lets a request pass only with a consumer's key, and says which consumer it is.

mod consumer;

use std::collections::BTreeMap;

use portcullis_sdk::{
    Credential, Failure, Filter, HeaderName, HeaderValue, Outcome, Reply, Request, SettingsError, register_filter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consumer::{Consumer, Key};

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
    keys: BTreeMap<String, Key>,
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
    settings: Settings,
    consumers: Vec<Consumer>,
    challenge: String,
}

impl Filter for ApiKey {
    type Settings = Settings;

    fn new(mut settings: Settings) -> Result<Self, SettingsError> {
        let name = &settings.name;
        // RFC 9110 section 11.6.1 wants a challenge with every 401; this scheme is ours and says where the key belongs.
        let challenge = match settings.place {
            Place::Header => {
                let name = HeaderName::new(name).map_err(|_| format!("`name`: `{name}` is no header field name"))?;
                if settings.strip {
                    name.check_editable("name")?;
                }
                format!("ApiKey in=\"header\", name=\"{name}\"")
            }
            Place::Query if name.is_empty() => return Err("`name` is empty".into()),
            Place::Query => format!("ApiKey in=\"query\", name=\"{}\"", name.escape_default()),
        };
        settings.consumer_header.check_editable("consumer_header")?;
        Ok(ApiKey {
            consumers: consumer::all(std::mem::take(&mut settings.keys))?,
            settings,
            challenge,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        // Whatever comes of this request, nobody but this filter says who the consumer is.
        request.remove_header(&self.settings.consumer_header)?;
        let name = &self.settings.name;
        let given = match self.settings.place {
            Place::Query => request.query_values(name),
            Place::Header => {
                let values = request.header_values(name).into_iter();
                values.map(HeaderValue::into_bytes).collect()
            }
        };
        let consumer = match &*given {
            [key] if !key.is_empty() => Credential::find(&self.consumers, key).ok_or("The API key is not accepted."),
            [] | [_] => Err("An API key is needed."),
            _ => Err("More than one API key was given."),
        };
        let consumer = match consumer {
            Ok(consumer) => consumer,
            Err(detail) => {
                let reply = Reply::problem(401, "Unauthorized", detail);
                return Ok(reply.header("www-authenticate", &self.challenge).into());
            }
        };
        match self.settings.place {
            _ if !self.settings.strip => {}
            Place::Header => request.remove_header(name)?,
            Place::Query => request.remove_query_parameter(name)?,
        }
        request.set_header(&self.settings.consumer_header, &consumer.name)?;
        for (name, value) in &consumer.notes {
            request.set_note(name, value)?;
        }
        request.set_note("api-key", &consumer.name)?;
        Ok(Outcome::Continue)
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
