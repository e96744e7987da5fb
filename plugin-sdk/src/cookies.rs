//! The cookies of a request: RFC 6265 section 4.2.

use crate::{EditError, HeaderValue, Request};

impl Request {
    /// Every value of a cookie, in the order received. Names are matched letter for letter.
    ///
    /// Bytes, since clients send more than ASCII. What is not visible around a name is no part of it: `id =x` is a cookie
    /// `id`, as it is to servers that trim names.
    ///
    /// More than one means that somebody may have put a second one in: refuse where the cookie decides anything.
    ///
    /// ```
    /// # use portcullis_sdk::{Failure, Filter, NoSettings, Outcome, SettingsError};
    /// # use portcullis_sdk::testing::{self, Exchange};
    /// use portcullis_sdk::Request;
    ///
    /// fn language(request: &Request) -> Option<String> {
    ///     let value = request.cookie_values("lang").into_iter().next()?;
    ///     String::from_utf8(value).ok()
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
    pub fn cookie_values(&self, name: &str) -> Vec<Vec<u8>> {
        let fields = self.header_values("cookie");
        let values = cookies(&fields).filter_map(|cookie| value(cookie, name));
        values.map(<[u8]>::to_vec).collect()
    }

    /// Removes a cookie. The others stay, in one field; nothing happens where there is no such cookie.
    ///
    /// # Errors
    /// See [`EditError`]; the exchange is then as it was.
    pub fn remove_cookie(&mut self, name: &str) -> Result<(), EditError> {
        let fields = self.header_values("cookie");
        let (removed, kept): (Vec<_>, Vec<_>) = cookies(&fields).partition(|cookie| value(cookie, name).is_some());
        match (removed.is_empty(), kept.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => self.remove_header("cookie"),
            (false, false) => self.set_header("cookie", kept.join(&b"; "[..])),
        }
    }
}

/// The cookies of these fields. HTTP/2 may spread them over several: RFC 9113 section 8.2.3.
fn cookies(fields: &[HeaderValue]) -> impl Iterator<Item = &[u8]> {
    let cookies = fields
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    cookies.map(<[u8]>::trim_ascii).filter(|cookie| !cookie.is_empty())
}

/// The cookie's value, where this is its name.
fn value<'cookie>(cookie: &'cookie [u8], name: &str) -> Option<&'cookie [u8]> {
    let (own, value) = cookie.split_at(cookie.iter().position(|&byte| byte == b'=')?);
    (visible(own) == name.as_bytes()).then(|| value.strip_prefix(b"=").unwrap_or(value).trim_ascii())
}

/// A name without what servers trim: blanks, and in some of them bytes that are a blank in Latin-1 or Unicode. What a
/// backend would take for a cookie must be seen here, or an unchecked token could reach it.
fn visible(name: &[u8]) -> &[u8] {
    let start = name.iter().position(u8::is_ascii_graphic);
    let end = name.iter().rposition(u8::is_ascii_graphic);
    match (start, end) {
        (Some(start), Some(end)) => name.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
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
            let values = request.cookie_values("id").join(&b","[..]);
            request.set_note("id", &String::from_utf8(values)?)?;
            request.remove_cookie("id")?;
            Ok(Outcome::Continue)
        }
    }

    fn run<T: AsRef<[u8]>>(fields: &[T]) -> Ran {
        let add = |exchange: Exchange, field: &T| exchange.header("cookie", field.as_ref());
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

    #[test]
    fn a_byte_that_is_no_text_hides_no_cookie_and_costs_none() {
        for (fields, values, left) in [
            (&[&b"a=\xff; id=x"[..], b"b=2"][..], "x", &b"a=\xff; b=2"[..]),
            (&[b"a=\xff", b"id=x"], "x", b"a=\xff"),
            (&[b"a=\xff", b"b=2"], "", b"a=\xff"),
        ] {
            let ran = run(fields);
            assert_eq!(ran.note("id").unwrap(), values, "{fields:?}");
            assert_eq!(ran.request().header("cookie").unwrap(), left, "{fields:?}");
        }
    }

    #[test]
    fn what_servers_trim_off_a_name_is_no_part_of_it() {
        for field in [&b"a=1; id =x"[..], b"a=1;\tid\t= x", b"\xa0id\xa0=x ; a=1"] {
            let ran = run(&[field]);
            assert_eq!(ran.note("id").unwrap(), "x", "{field:?}");
            assert_eq!(ran.request().header("cookie").unwrap(), "a=1", "{field:?}");
        }
    }
}
