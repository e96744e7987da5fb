//! Gives every exchange an id in a header field of request and response.

use portcullis_sdk::{Failure, Filter, HeaderName, Outcome, Request, SettingsError, register_filter};
use schemars::JsonSchema;
use serde::Deserialize;

/// The note that carries the id to other filters.
const NOTE: &str = "request-id";

/// What an operator writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The field that carries the id.
    #[serde(default = "default_header")]
    header: HeaderName,
    /// Whether a client's own id is kept, if it is 1 to 128 visible ASCII characters.
    #[serde(default)]
    trust: bool,
}

/// The filter.
pub struct RequestId {
    header: HeaderName,
    trust: bool,
}

impl Filter for RequestId {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.header.check_editable("header")?;
        Ok(RequestId {
            header: settings.header,
            trust: settings.trust,
        })
    }

    fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
        // The exchange's own id is the one in the access log and in the gateway's own errors.
        let id = self.given(request).unwrap_or_else(|| request.id());
        request.set_header(&self.header, &id)?;
        request.set_response_header(&self.header, &id)?;
        request.set_note(NOTE, &id)?;
        Ok(Outcome::Continue)
    }
}

impl RequestId {
    /// The client's own id, where it is believed, there is one, and it is harmless in a log.
    fn given(&self, request: &Request) -> Option<String> {
        if !self.trust {
            return None;
        }
        let [value] = <[_; 1]>::try_from(request.header_values(&self.header)).ok()?;
        value
            .into_string()
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

fn default_header() -> HeaderName {
    HeaderName::new("x-request-id").expect("it is a token")
}

register_filter!(RequestId);

#[cfg(test)]
mod tests {
    use portcullis_sdk::serde_json::{Value, json};
    use portcullis_sdk::testing::{self, Exchange};

    use super::RequestId;

    fn filter(settings: Value) -> RequestId {
        testing::filter(settings).unwrap()
    }

    #[test]
    fn request_response_and_note_carry_the_exchanges_own_id() {
        let ran = Exchange::get("/")
            .header("x-request-id", "forged")
            .run(&filter(json!({})));
        let id = ran.request().id();

        assert_eq!(ran.request().header("x-request-id").unwrap(), id.as_str());
        assert_eq!(ran.request().header_values("x-request-id").len(), 1);
        assert_eq!(ran.response().header("x-request-id").unwrap(), id.as_str());
        assert_eq!(ran.note("request-id"), Some(id));
    }

    #[test]
    fn a_trusted_client_keeps_its_id() {
        let filter = filter(json!({ "header": "X-Correlation-Id", "trust": true }));
        let longest = "a".repeat(128);
        for id in ["c1", "7f9c/2:x", &longest] {
            let ran = Exchange::get("/").header("x-correlation-id", id).run(&filter);
            assert_eq!(ran.request().header("x-correlation-id").unwrap(), id);
            assert_eq!(ran.response().header("x-correlation-id").unwrap(), id);
        }
    }

    #[test]
    fn an_id_that_is_not_sane_is_replaced_even_from_a_trusted_client() {
        let filter = filter(json!({ "trust": true }));
        let too_long = "a".repeat(129);
        for id in ["", "two words", "caf\u{e9}", &too_long] {
            let ran = Exchange::get("/").header("x-request-id", id).run(&filter);
            assert_eq!(
                ran.request().header("x-request-id").unwrap(),
                ran.request().id().as_str(),
                "{id:?}"
            );
        }
        let twice = Exchange::get("/")
            .header("x-request-id", "a")
            .header("x-request-id", "b")
            .run(&filter);
        assert_eq!(twice.request().header_values("x-request-id").len(), 1);
        assert_eq!(
            twice.request().header("x-request-id").unwrap(),
            twice.request().id().as_str()
        );
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for wrong in [
            json!({ "header": "two words" }),
            json!({ "header": "Host" }),
            json!({ "trust": "yes" }),
            json!({ "name": "x" }),
        ] {
            assert!(testing::filter::<RequestId>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_readme_names_every_setting() {
        let schema = testing::schema::<RequestId>();
        for name in schema["properties"].as_object().unwrap().keys() {
            assert!(
                include_str!("../README.md").contains(&format!("| `{name}` |")),
                "{name}"
            );
        }
    }
}
