//! What a client takes, by `Accept-Encoding` (RFC 9110 section 12.5.3).

use http::header::{self, HeaderMap};

use crate::config::resolved::Encoding;

/// The encoding that a request's client likes best of these; none where it would rather have the content as it is.
pub(crate) fn choose(headers: &HeaderMap, encodings: &[Encoding]) -> Option<Encoding> {
    let mut seen = Weights::default();
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .for_each(|item| seen.take(item));
    }
    let weight = |encoding: Encoding| seen.of(encoding).or(seen.any).unwrap_or(0);
    // The first one of the heaviest.
    let best = encodings
        .iter()
        .copied()
        .rev()
        .max_by_key(|encoding| weight(*encoding))?;
    let plain = seen.identity.unwrap_or(0);
    let forbidden = || {
        headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .any(|value| has_word(value.as_bytes(), b"no-transform"))
    };
    (weight(best) > 0 && weight(best) >= plain && !forbidden()).then_some(best)
}

/// Whether a list has this word in it.
pub(super) fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}

/// Weights in thousandths, as far as they are said.
#[derive(Default)]
struct Weights {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn of(&self, encoding: Encoding) -> Option<u16> {
        match encoding {
            Encoding::Zstd => self.zstd,
            Encoding::Brotli => self.brotli,
            Encoding::Gzip => self.gzip,
        }
    }

    /// `gzip;q=0.5`
    fn take(&mut self, item: &[u8]) {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = match parts.next() {
            None => Some(1000),
            Some(parameter) => parameter
                .strip_prefix(b"q=")
                .or(parameter.strip_prefix(b"Q="))
                .and_then(thousandths),
        };
        let place = match name.to_ascii_lowercase().as_slice() {
            b"zstd" => &mut self.zstd,
            b"br" => &mut self.brotli,
            b"gzip" | b"x-gzip" => &mut self.gzip,
            b"identity" => &mut self.identity,
            b"*" => &mut self.any,
            _ => return,
        };
        // What cannot be read is not taken for a yes.
        *place = Some(weight.unwrap_or(0));
    }
}

/// `1`, `0.5`, `0.125` (RFC 9110 section 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(accepted: &'static str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
        choose(&headers, &Encoding::ALL).map(Encoding::as_str)
    }

    #[test]
    fn the_client_says_what_it_likes_best() {
        for (accepted, wanted) in [
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP;Q=1.000", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("zstd;q=0.5, br;q=0.501, gzip;q=0.1", Some("br")),
            ("*", Some("zstd")),
            ("zstd;q=0, *", Some("br")),
            ("*;q=0.1, gzip;q=0.2", Some("gzip")),
            ("identity;q=0, gzip;q=0.001", Some("gzip")),
            ("gzip ; q=0.5 , identity;q=0.5", Some("gzip")),
            ("gzip;q=0.5, identity", None),
            ("identity", None),
            ("", None),
            ("deflate", None),
            ("gzip;q=0", None),
            ("gzip;q=0.0001", None),
            ("gzip;q=2", None),
            ("gzip;q=x", None),
            ("*;q=0", None),
        ] {
            assert_eq!(chosen(accepted), wanted, "{accepted}");
        }
        assert_eq!(choose(&HeaderMap::new(), &Encoding::ALL), None);
    }

    #[test]
    fn a_client_may_forbid_it() {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("br"))]);
        assert!(choose(&headers, &Encoding::ALL).is_some());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=0, No-Transform"),
        );
        assert!(choose(&headers, &Encoding::ALL).is_none());
    }
}
