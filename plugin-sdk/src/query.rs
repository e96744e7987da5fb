//! The parameters of a request's query.

use percent_encoding::percent_decode_str;

use crate::{EditError, Request};

impl Request {
    /// Every value of a query parameter, percent-decoded, in the order received.
    ///
    /// It is empty where there is a name without one. Names are decoded too, and then matched byte for byte. `+` stays
    /// `+`: keys are often Base64.
    ///
    /// ```
    /// # use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, SettingsError};
    /// # use portcullis_sdk::testing::{self, Exchange};
    /// use portcullis_sdk::Request;
    ///
    /// fn is_dry_run(request: &Request) -> bool {
    ///     request.query_values("dry-run").iter().any(|value| value == b"1")
    /// }
    /// # struct DryRun;
    /// # impl Filter for DryRun {
    /// #     type Settings = NoSettings;
    /// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(DryRun) }
    /// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
    /// #         assert!(is_dry_run(request));
    /// #         Ok(Outcome::Continue)
    /// #     }
    /// # }
    /// # Exchange::get("/orders?dry%2drun=1").run(&DryRun);
    /// ```
    pub fn query_values(&self, name: &str) -> Vec<Vec<u8>> {
        let query = self.query().unwrap_or_default();
        let named = pairs(&query).filter(|(_, own, _)| is(own, name));
        named.map(|(_, _, value)| percent_decode_str(value).collect()).collect()
    }

    /// Removes a parameter from the query that is sent to the backend. What is left stays letter for letter; nothing
    /// happens where there is no such parameter.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_query_parameter(&mut self, name: &str) -> Result<(), EditError> {
        let Some(query) = self.query() else { return Ok(()) };
        if !pairs(&query).any(|(_, own, _)| is(own, name)) {
            return Ok(());
        }
        let kept: Vec<_> = pairs(&query)
            .filter(|(_, own, _)| !is(own, name))
            .map(|(pair, ..)| pair)
            .collect();
        let kept = (!kept.is_empty()).then(|| kept.join("&"));
        self.set_query(kept.as_deref())
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (pair, name, value)
    })
}

fn is(written: &str, name: &str) -> bool {
    percent_decode_str(written).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use crate::testing::Exchange;
    use crate::{Failure, Filter, NoSettings, Outcome, Request, SettingsError};

    struct TakeKey;

    impl Filter for TakeKey {
        type Settings = NoSettings;

        fn new(_: NoSettings) -> Result<Self, SettingsError> {
            Ok(TakeKey)
        }

        fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
            let values = request.query_values("key").join(&b","[..]);
            request.set_note("key", &String::from_utf8(values)?)?;
            request.remove_query_parameter("key")?;
            Ok(Outcome::Continue)
        }
    }

    #[test]
    fn a_parameter_is_read_and_removed_and_the_rest_stays_as_it_was() {
        for (query, values, left) in [
            ("?key=a%2Bb", "a+b", None),
            ("?a=1&key=a+b/c=&b=%20x&&c", "a+b/c=", Some("a=1&b=%20x&&c")),
            ("?k%65y=1&monkey=2&key", "1,", Some("monkey=2")),
            ("?KEY=1", "", Some("KEY=1")),
            ("", "", None),
            ("?", "", Some("")),
            // Nothing is set, so nothing is checked again.
            ("?a=<1>", "", Some("a=<1>")),
        ] {
            let ran = Exchange::get(&format!("/{query}")).run(&TakeKey);
            assert_eq!(ran.note("key").unwrap(), values, "{query}");
            assert_eq!(ran.request().query().as_deref(), left, "{query}");
        }
    }
}
