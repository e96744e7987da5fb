//! The cookies of a request: RFC 6265 section 4.2.

use crate::{EditError, Request};

impl Request {
    /// Every value of a cookie, in the order received. Names are matched letter for letter.
    ///
    /// More than one means that somebody may have put a second one in: refuse where the cookie decides anything.
    ///
    /// ```
    /// # use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, SettingsError};
    /// # use portcullis_sdk::testing::{self, Exchange};
    /// use portcullis_sdk::Request;
    ///
    /// fn language(request: &Request) -> Option<String> {
    ///     request.cookie_values("lang").into_iter().next()
    /// }
    /// # struct Speak;
    /// # impl Filter for Speak {
    /// #     type Settings = NoSettings;
    /// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(Speak) }
    /// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
    /// #         assert_eq!(language(request).as_deref(), Some("en"));
    /// #         request.remove_cookie("lang")?;
    /// #         Ok(Outcome::Continue)
    /// #     }
    /// # }
    /// # let ran = Exchange::get("/").header("cookie", "a=1; lang=en").run(&Speak);
    /// # assert_eq!(ran.request().header("cookie").unwrap(), "a=1");
    /// ```
    pub fn cookie_values(&self, name: &str) -> Vec<String> {
        let fields = self.header_values("cookie");
        let cookies = fields.iter().filter_map(|field| field.to_str()).flat_map(pairs);
        cookies
            .filter_map(|pair| pair.split_once('='))
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value.to_owned())
            .collect()
    }

    /// Removes a cookie. The others stay, in one field; nothing happens where there is no such cookie.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_cookie(&mut self, name: &str) -> Result<(), EditError> {
        let is_it = |pair: &&str| pair.split_once('=').is_some_and(|(own, _)| own == name);
        let fields = self.header_values("cookie");
        let cookies = || fields.iter().filter_map(|field| field.to_str()).flat_map(pairs);
        if !cookies().any(|pair| is_it(&pair)) {
            return Ok(());
        }
        let kept: Vec<_> = cookies().filter(|pair| !is_it(pair)).collect();
        match kept.is_empty() {
            true => self.remove_header("cookie"),
            false => self.set_header("cookie", kept.join("; ")),
        }
    }
}

/// The cookies of one field. HTTP/2 may spread them over several: RFC 9113 section 8.2.3.
fn pairs(field: &str) -> impl Iterator<Item = &str> {
    field.split(';').map(str::trim).filter(|pair| !pair.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Exchange, Ran};
    use crate::{Failure, Filter, NoSettings, Outcome, Request, SettingsError};

    struct TakeId;

    impl Filter for TakeId {
        type Settings = NoSettings;

        fn new(_: NoSettings) -> Result<Self, SettingsError> {
            Ok(TakeId)
        }

        fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> {
            let values = request.cookie_values("id").join(",");
            request.set_note("id", &values)?;
            request.remove_cookie("id")?;
            Ok(Outcome::Continue)
        }
    }

    fn run(fields: &[&str]) -> Ran {
        let add = |exchange: Exchange, field: &&str| exchange.header("cookie", *field);
        fields.iter().fold(Exchange::get("/"), add).run(&TakeId)
    }

    #[test]
    fn a_cookie_is_read_and_removed_and_the_others_stay() {
        for (fields, values, left) in [
            (&["a=1; id=x", "b=2"][..], "x", Some("a=1; b=2")),
            (&["id=x"], "x", None),
            (&["id=x; id=y=z", "flag"], "x,y=z", Some("flag")),
            (&["a=1; ID=x"], "", Some("a=1; ID=x")),
            (&[], "", None),
        ] {
            let ran = run(fields);
            assert_eq!(ran.note("id").unwrap(), values, "{fields:?}");
            let cookie = ran.request().header("cookie");
            assert_eq!(cookie.as_ref().and_then(|field| field.to_str()), left, "{fields:?}");
        }
    }
}
