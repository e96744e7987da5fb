//! How long an answer may be kept: as long as every part of it may (RFC 9111).

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// One answer of those that an answer is made of.
pub(crate) struct Part<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// Whether its request changed nothing.
    pub(crate) safe: bool,
    /// Whether its request said who the client is.
    pub(crate) authorized: bool,
}

/// What a part says of how it may be kept.
#[derive(Default)]
struct Said {
    no_store: bool,
    no_cache: bool,
    private: bool,
    public: bool,
    must_revalidate: bool,
    no_transform: bool,
    max_age: Option<u64>,
    s_maxage: Option<u64>,
}

/// Adds `Cache-Control` and `Vary`. `by` is what of the client's request decides what is called: fields, and whether its
/// address does. An answer that is not `whole` is never kept.
pub(crate) fn combine<'a>(
    parts: impl Iterator<Item = Part<'a>>,
    whole: bool,
    by: (&[HeaderName], bool),
    now: SystemTime,
    out: &mut HeaderMap,
) {
    let mut all = Said {
        public: true,
        ..Said::default()
    };
    let (mut store, mut any, mut shared) = (whole, false, false);
    // Lifetimes for caches of one client, and for those of many.
    let (mut own, mut common) = (u64::MAX, u64::MAX);
    let mut vary: Vec<HeaderName> = by.0.to_vec();
    let mut varies_by_all = false;
    for part in parts {
        any = true;
        let said = Said::read(part.headers);
        let age = seconds(part.headers.get(header::AGE).and_then(|age| age.to_str().ok())).unwrap_or(0);
        let left = said.max_age.or_else(|| expires(part.headers, now));
        own = own.min(left.unwrap_or(0).saturating_sub(age));
        common = common.min(said.s_maxage.or(left).unwrap_or(0).saturating_sub(age));
        shared |= said.s_maxage.is_some();
        store &= !said.no_store && part.safe;
        all.no_cache |= said.no_cache;
        // Section 3.5: what was asked with credentials is one client's, unless it says otherwise.
        let is_one_clients = part.authorized && !(said.public || said.must_revalidate || said.s_maxage.is_some());
        all.private |= said.private || is_one_clients;
        all.public &= said.public;
        all.must_revalidate |= said.must_revalidate;
        all.no_transform |= said.no_transform;
        for name in part.headers.get_all(header::VARY).iter().flat_map(words) {
            match HeaderName::from_bytes(name) {
                _ if name == b"*" => varies_by_all = true,
                Ok(name) if !vary.contains(&name) => vary.push(name),
                _ => {}
            }
        }
    }
    // The client's address is nothing that a cache of many could tell apart.
    all.private |= by.1;
    let mut text = String::new();
    let mut say = |word: &str| {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(word);
    };
    if !store || !any {
        say("no-store");
    } else {
        if all.private {
            say("private");
        } else if all.public {
            say("public");
        }
        if all.no_cache {
            say("no-cache");
        }
        // A part that says nothing is not said to be fresh for any time.
        say(&format!("max-age={own}"));
        if shared && !all.private && common != own {
            say(&format!("s-maxage={common}"));
        }
        if all.must_revalidate {
            say("must-revalidate");
        }
        if all.no_transform {
            say("no-transform");
        }
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        out.insert(header::CACHE_CONTROL, value);
    }
    vary.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    let names: Vec<&str> = vary.iter().map(HeaderName::as_str).collect();
    let vary = if varies_by_all {
        "*".to_owned()
    } else {
        names.join(", ")
    };
    if let Some(value) = HeaderValue::try_from(vary).ok().filter(|value| !value.is_empty()) {
        out.insert(header::VARY, value);
    }
}

impl Said {
    fn read(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for item in headers.get_all(header::CACHE_CONTROL).iter().flat_map(words) {
            let text = str::from_utf8(item).unwrap_or_default();
            let (name, value) = text
                .split_once('=')
                .map_or((text, None), |(name, value)| (name, Some(value)));
            // What cannot be read is stale, and of two that differ the shorter counts (section 4.2.1).
            let lifetime = |known: Option<u64>| {
                let said = seconds(value.map(|value| value.trim().trim_matches('"'))).unwrap_or(0);
                Some(known.map_or(said, |known| known.min(said)))
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => said.no_store = true,
                // With the names of fields they would be weaker; the stricter reading is always right.
                "no-cache" => said.no_cache = true,
                "private" => said.private = true,
                "public" => said.public = true,
                "must-revalidate" | "proxy-revalidate" => said.must_revalidate = true,
                "no-transform" => said.no_transform = true,
                "max-age" => said.max_age = lifetime(said.max_age),
                "s-maxage" => said.s_maxage = lifetime(said.s_maxage),
                _ => {}
            }
        }
        said
    }
}

/// The items of a list, without what is quoted in them taken apart: a comma within quotes ends an item, and what follows
/// is then no word that is known, or makes the reading stricter.
fn words(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let items = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    items.filter(|item| !item.is_empty())
}

/// `60`, and no more than a cache can count (section 1.2.2).
fn seconds(text: Option<&str>) -> Option<u64> {
    let text = text?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX).min(1 << 31))
}

/// The lifetime that `Expires` gives (section 5.3); a date that cannot be read is past.
fn expires(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    let read = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    let expires = headers.get(header::EXPIRES)?;
    let date = headers.get(header::DATE).and_then(read).unwrap_or(now);
    let left = read(expires).and_then(|at| at.duration_since(date).ok());
    Some(left.map_or(0, |left| left.as_secs().min(1 << 31)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    fn combined(
        parts: &[&[(&'static str, &'static str)]],
        whole: bool,
        authorized: bool,
        by_client: bool,
    ) -> (String, String) {
        let heads: Vec<_> = parts.iter().map(|fields| headers(fields)).collect();
        let parts = heads.iter().map(|headers| Part {
            headers,
            safe: true,
            authorized,
        });
        let mut out = HeaderMap::new();
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        combine(
            parts,
            whole,
            (&[HeaderName::from_static("x-t")], by_client),
            now,
            &mut out,
        );
        let text = |name| {
            out.get(name)
                .map_or("", |value: &HeaderValue| value.to_str().unwrap())
                .to_owned()
        };
        (text(header::CACHE_CONTROL), text(header::VARY))
    }

    #[test]
    fn the_strictest_part_decides() {
        const MINUTE: &[(&str, &str)] = &[("cache-control", "public, max-age=60")];
        for (other, wanted) in [
            (&[("cache-control", "public, max-age=90")] as &[_], "public, max-age=60"),
            (&[("cache-control", "max-age=30")], "max-age=30"),
            (&[("cache-control", "Max-Age=\"30\"")], "max-age=30"),
            (&[("cache-control", "max-age=90"), ("age", "50")], "max-age=40"),
            (&[("cache-control", "max-age=90"), ("age", "500")], "max-age=0"),
            (&[("cache-control", "max-age=90, max-age=20")], "max-age=20"),
            (&[("cache-control", "max-age=x")], "max-age=0"),
            (
                &[("cache-control", "max-age=99999999999999999999, public")],
                "public, max-age=60",
            ),
            (
                &[("cache-control", "s-maxage=10, max-age=90")],
                "max-age=60, s-maxage=10",
            ),
            (&[("cache-control", "s-maxage=30")], "max-age=0, s-maxage=30"),
            (&[("cache-control", "private, max-age=90")], "private, max-age=60"),
            (
                &[("cache-control", "private=\"set-cookie\", max-age=90")],
                "private, max-age=60",
            ),
            (&[("cache-control", "no-store")], "no-store"),
            (&[("cache-control", "no-cache, max-age=90")], "no-cache, max-age=60"),
            (
                &[("cache-control", "max-age=90, must-revalidate")],
                "max-age=60, must-revalidate",
            ),
            (
                &[("cache-control", "max-age=90, no-transform")],
                "max-age=60, no-transform",
            ),
            (&[("expires", "Sun, 06 Nov 1994 08:49:57 GMT")], "max-age=20"),
            (
                &[
                    ("expires", "Sun, 06 Nov 1994 08:49:57 GMT"),
                    ("date", "Sun, 06 Nov 1994 08:49:50 GMT"),
                ],
                "max-age=7",
            ),
            (&[("expires", "0")], "max-age=0"),
            (&[], "max-age=0"),
        ] {
            assert_eq!(combined(&[MINUTE, other], true, false, false).0, wanted, "{other:?}");
            assert_eq!(combined(&[other, MINUTE], true, false, false).0, wanted, "{other:?}");
        }
    }

    #[test]
    fn what_is_partial_or_one_clients_is_not_kept_for_others() {
        const MINUTE: &[(&str, &str)] = &[("cache-control", "max-age=60")];
        assert_eq!(combined(&[MINUTE], false, false, false).0, "no-store");
        assert_eq!(combined(&[], true, false, false).0, "no-store");
        assert_eq!(combined(&[MINUTE], true, true, false).0, "private, max-age=60");
        assert_eq!(
            combined(&[&[("cache-control", "public, max-age=60")]], true, true, false).0,
            "public, max-age=60"
        );
        assert_eq!(
            combined(
                &[&[("cache-control", "must-revalidate, max-age=60")], MINUTE],
                true,
                true,
                false
            )
            .0,
            "private, max-age=60, must-revalidate"
        );
        assert_eq!(combined(&[MINUTE], true, false, true).0, "private, max-age=60");
    }

    #[test]
    fn vary_is_that_of_all_parts_and_of_what_is_referred_to() {
        assert_eq!(
            combined(
                &[&[("vary", "Accept-Language, X-A")], &[("vary", "x-a,x-b")]],
                true,
                false,
                false
            )
            .1,
            "accept-language, x-a, x-b, x-t"
        );
        assert_eq!(
            combined(&[&[("vary", "x-a")], &[("vary", "*")]], true, false, false).1,
            "*"
        );
    }
}
