//! The one normal form of a path, which serves routing, filters, limits and the upstream alike.

use std::borrow::Cow;

use thiserror::Error;

/// How paths that servers disagree about are treated. What is not allowed is refused with an error. By default slashes are
/// kept, and nothing is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `/a//b` becomes `/a/b`. Otherwise duplicate slashes are kept, and an empty segment is a segment.
    pub merge_slashes: bool,
    /// `%2F` passes, as it is. Upstreams that decode it see another path than the gateway did.
    pub allow_encoded_slash: bool,
    /// `%5C` and `\` pass, both as `%5C`. Upstreams that take it for `/` see another path than the gateway did.
    pub allow_encoded_backslash: bool,
}

/// Why a path has no normal form. All of them are the client's fault (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not begin with `/`: `OPTIONS *` is for the caller to answer.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `%` without two hexadecimal digits after it.
    #[error("the path holds a `%` that is not followed by two hexadecimal digits")]
    BadPercent,
    /// A control character, a space, `#`, `?`, or a byte outside ASCII, as itself.
    #[error("the path holds a character that must be percent-encoded")]
    Forbidden,
    /// `%00`, which ends the path for some servers.
    #[error("the path holds `%00`")]
    Nul,
    /// `%2F`, where the rules do not allow it.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// `%5C` or `\`, where the rules do not allow it.
    #[error("the path holds a backslash")]
    Backslash,
    /// More `..` than there are segments before them. RFC 3986, section 5.2.4 drops the surplus; no honest client sends
    /// it, and dropping it hides an attack.
    #[error("the path leads above its root")]
    AboveRoot,
    /// `.` or `..` followed by `;`, or set off by an encoded slash or backslash (`/..;/`, `/a%2F../`): a dot segment for
    /// some servers and a name for others.
    #[error("the path hides a dot segment")]
    HiddenDots,
}

/// The normal form of a request's path, RFC 3986, section 6.2.2: dot segments resolved, percent-encoding of unreserved
/// characters decoded, hexadecimal digits in upper case; what may not stand in a path unencoded is encoded.
///
/// Borrowed, after a scan, where the path is normal already. The normal form of a normal form is itself.
///
/// ```
/// use portcullis::router::{PathError, PathRules, normalise};
///
/// let rules = PathRules::default();
/// assert_eq!(normalise("/a/./b/%2e%2E/%7ec%c3%a9", &rules)?, "/a/~c%C3%A9");
/// assert_eq!(normalise("/a/../../etc/passwd", &rules), Err(PathError::AboveRoot));
/// # Ok::<(), PathError>(())
/// ```
///
/// # Errors
/// Where servers would disagree about the path, or the path is no path: see [`PathError`].
pub fn normalise<'a>(raw: &'a str, rules: &PathRules) -> Result<Cow<'a, str>, PathError> {
    match raw.as_bytes() {
        // RFC 3986, section 6.2.3: an empty path and `/` are the same for http.
        [] => Ok(Cow::Borrowed("/")),
        [b'/', ..] if is_normal(raw.as_bytes(), rules) => Ok(Cow::Borrowed(raw)),
        [b'/', ..] => {
            let normal = rebuild(raw, rules)?;
            Ok(if normal == raw {
                Cow::Borrowed(raw)
            } else {
                Cow::Owned(normal)
            })
        }
        _ => Err(PathError::NotAbsolute),
    }
}

/// The normal form of a literal in a pattern, which may be written with any characters: those outside ASCII are encoded,
/// and encoded slashes and backslashes pass, as the rules may let them.
pub(super) fn normalise_literal(text: &str) -> Result<String, PathError> {
    let mut ascii = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii() {
            true => ascii.push(char::from(byte)),
            false => push_encoded(&mut ascii, byte),
        }
    }
    let mut normal = String::with_capacity(ascii.len());
    let rules = PathRules {
        merge_slashes: false,
        allow_encoded_slash: true,
        allow_encoded_backslash: true,
    };
    push_segment(&mut normal, &ascii, &rules)?;
    Ok(normal)
}

/// Whether one segment in its normal form is a dot segment for some servers.
pub(super) fn hides_dots(segment: &str) -> bool {
    segment.contains('.')
        && segment.split("%2F").flat_map(|piece| piece.split("%5C")).any(|piece| {
            let name = piece.split(';').next().unwrap_or_default();
            let name = name.split("%3B").next().unwrap_or_default();
            matches!(name, "." | "..")
        })
}

/// What a byte means in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself: `pchar` of RFC 3986, but for `%`.
    Plain,
    Slash,
    Percent,
    Backslash,
    /// ASCII that is not allowed in a path, but harmless and sent by some clients.
    Encode,
    Refuse,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Refuse; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            byte if is_unreserved(byte) => Class::Plain,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => Class::Plain,
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'\\' => Class::Backslash,
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Encode,
            _ => Class::Refuse,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// All there is to do for most requests. May answer no for a path that is normal, never the other way.
fn is_normal(path: &[u8], rules: &PathRules) -> bool {
    is_simple(path) || is_normal_with_care(path, rules)
}

/// Whether a path has none of what can make it odd. Without a branch for each byte, which is worth half the time.
fn is_simple(path: &[u8]) -> bool {
    let odd = path.iter().fold(false, |odd, &byte| {
        odd | !matches!(class(byte), Class::Plain | Class::Slash)
    });
    let next = path.get(1..).unwrap_or_default();
    let odd_pair = |one: u8, two: u8| (one == b'/') & ((two == b'/') | (two == b'.'));
    let odd_pairs = path
        .iter()
        .zip(next)
        .fold(false, |odd, (&one, &two)| odd | odd_pair(one, two));
    !odd & !odd_pairs
}

fn is_normal_with_care(path: &[u8], rules: &PathRules) -> bool {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match class(byte) {
            Class::Plain => after,
            Class::Slash => match after {
                [b'/', ..] if rules.merge_slashes => return false,
                [b'.'] | [b'.', b'.' | b'/' | b';' | b'%', ..] => return false,
                _ => after,
            },
            Class::Percent => match after {
                [high, low, after @ ..] if is_normal_triplet(*high, *low) => after,
                _ => return false,
            },
            Class::Backslash | Class::Encode | Class::Refuse => return false,
        };
    }
    true
}

fn is_normal_triplet(high: u8, low: u8) -> bool {
    let upper = |digit: u8| !digit.is_ascii_lowercase();
    let keeps = |value: u8| !is_unreserved(value) && !matches!(value, 0 | b'/' | b'\\');
    upper(high) && upper(low) && hex_pair(high, low).is_some_and(keeps)
}

fn rebuild(raw: &str, rules: &PathRules) -> Result<String, PathError> {
    let mut path = String::with_capacity(raw.len());
    let mut segments = raw.strip_prefix('/').unwrap_or(raw).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let parent = path.len();
        path.push('/');
        push_segment(&mut path, segment, rules)?;
        match path.get(parent + 1..).unwrap_or_default() {
            "" if rules.merge_slashes && !last => path.truncate(parent),
            dots @ ("." | "..") => {
                let kept = if dots == "." {
                    parent
                } else {
                    path.get(..parent)
                        .and_then(|before| before.rfind('/'))
                        .ok_or(PathError::AboveRoot)?
                };
                path.truncate(kept);
                if last {
                    path.push('/');
                }
            }
            segment if hides_dots(segment) => return Err(PathError::HiddenDots),
            _ => {}
        }
    }
    Ok(path)
}

fn push_segment(path: &mut String, segment: &str, rules: &PathRules) -> Result<(), PathError> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match class(byte) {
            Class::Plain => path.push(char::from(byte)),
            Class::Percent => {
                let pair = bytes.next().zip(bytes.next());
                let value = pair
                    .and_then(|(high, low)| hex_pair(high, low))
                    .ok_or(PathError::BadPercent)?;
                match value {
                    0 => return Err(PathError::Nul),
                    b'/' if !rules.allow_encoded_slash => return Err(PathError::EncodedSlash),
                    b'\\' if !rules.allow_encoded_backslash => return Err(PathError::Backslash),
                    value if is_unreserved(value) => path.push(char::from(value)),
                    value => push_encoded(path, value),
                }
            }
            Class::Backslash if !rules.allow_encoded_backslash => return Err(PathError::Backslash),
            Class::Encode | Class::Backslash => push_encoded(path, byte),
            Class::Slash | Class::Refuse => return Err(PathError::Forbidden),
        }
    }
    Ok(())
}

fn push_encoded(path: &mut String, byte: u8) {
    path.push('%');
    for digit in [byte >> 4, byte & 15] {
        path.push(char::from(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
    }
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    Some(value(high)? << 4 | value(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: PathRules = PathRules {
        merge_slashes: true,
        allow_encoded_slash: false,
        allow_encoded_backslash: false,
    };
    const LAX: PathRules = PathRules {
        merge_slashes: false,
        allow_encoded_slash: true,
        allow_encoded_backslash: true,
    };

    fn normal(raw: &str) -> Result<String, PathError> {
        normalise(raw, &STRICT).map(Cow::into_owned)
    }

    #[track_caller]
    fn becomes(raw: &str, expected: &str) {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in [
            "/",
            "/a/b",
            "/a/",
            "/.well-known/x",
            "/a.b/..c/...",
            "/%C3%A9%20%3A",
            "/a;b=c/@:!$&'()*+,=",
        ] {
            assert!(
                matches!(normalise(path, &STRICT), Ok(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
        assert!(matches!(normalise("/a%2Fb%5C", &LAX), Ok(Cow::Borrowed("/a%2Fb%5C"))));
        assert!(matches!(
            normalise("//a//", &PathRules::default()),
            Ok(Cow::Borrowed("//a//"))
        ));
    }

    #[test]
    fn an_empty_path_is_the_root() {
        becomes("", "/");
    }

    #[test]
    fn dot_segments_are_resolved_however_they_are_written() {
        becomes("/a/./b/../c", "/a/c");
        becomes("/a/%2e/b/%2E./c", "/a/c");
        becomes("/a/.", "/a/");
        becomes("/a/b/..", "/a/");
        becomes("/a/..", "/");
        becomes("/./", "/");
        assert_eq!(normalise("/a//../b", &PathRules::default()).as_deref(), Ok("/a/b"));
    }

    #[test]
    fn leading_above_the_root_is_refused() {
        for path in ["/..", "/../a", "/a/../..", "/%2e%2e/a", "/./../a"] {
            assert_eq!(normal(path), Err(PathError::AboveRoot), "{path}");
        }
    }

    #[test]
    fn unreserved_characters_are_decoded_and_hexadecimal_digits_raised() {
        becomes("/%41%7e%2d%5f%30", "/A~-_0");
        becomes("/%c3%a9%3a%2b", "/%C3%A9%3A%2B");
        becomes("/%252e%252E", "/%252e%252E");
    }

    #[test]
    fn characters_that_a_path_may_not_hold_are_encoded() {
        becomes("/a|b[c]{\"<>^`", "/a%7Cb%5Bc%5D%7B%22%3C%3E%5E%60");
    }

    #[test]
    fn slashes_are_merged_or_kept() {
        becomes("//a///b//", "/a/b/");
        becomes("//", "/");
        assert_eq!(normalise("//a/./b//", &PathRules::default()).as_deref(), Ok("//a/b//"));
    }

    #[test]
    fn slashes_and_backslashes_in_disguise_are_refused_unless_allowed() {
        assert_eq!(normal("/a%2fb"), Err(PathError::EncodedSlash));
        assert_eq!(normal("/a%5cb"), Err(PathError::Backslash));
        assert_eq!(normal("/a\\b"), Err(PathError::Backslash));
        assert_eq!(normalise("/a%2fb\\%5c", &LAX).as_deref(), Ok("/a%2Fb%5C%5C"));
    }

    #[test]
    fn hidden_dot_segments_are_refused() {
        for path in ["/a/..;/b", "/.;x", "/%2e%2e;a=b/c", "/..%3b/"] {
            assert_eq!(normal(path), Err(PathError::HiddenDots), "{path}");
        }
        for path in ["/a%2f..", "/..%2Fa", "/a\\..\\b", "/a%5c..;x%5C"] {
            assert_eq!(normalise(path, &LAX), Err(PathError::HiddenDots), "{path}");
        }
        becomes("/a;b/c..;d", "/a;b/c..;d");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(normal("*"), Err(PathError::NotAbsolute));
        assert_eq!(normal("a/b"), Err(PathError::NotAbsolute));
        for path in ["/%", "/%4", "/%zz", "/a%", "/%+1"] {
            assert_eq!(normal(path), Err(PathError::BadPercent), "{path}");
        }
        assert_eq!(normal("/a%00"), Err(PathError::Nul));
        for path in ["/a b", "/\u{1}", "/\u{7f}", "/é", "/a?b", "/a#b"] {
            assert_eq!(normal(path), Err(PathError::Forbidden), "{path}");
        }
    }

    fn any_rules() -> impl Strategy<Value = PathRules> {
        any::<(bool, bool, bool)>().prop_map(|(merge_slashes, allow_encoded_slash, allow_encoded_backslash)| {
            PathRules {
                merge_slashes,
                allow_encoded_slash,
                allow_encoded_backslash,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_normal_form_is_its_own_normal_form(
            raw in "/(\\.|\\.\\.|/|%2e|%2F|%5c|%3b|;|\\\\|a|%41|%c3|\\|){0,12}",
            rules in any_rules(),
        ) {
            if let Ok(normal) = normalise(&raw, &rules) {
                prop_assert_eq!(normalise(&normal, &rules), Ok(Cow::Borrowed(&*normal)));
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{}", normal);
                prop_assert!(!rules.merge_slashes || !normal.contains("//"), "{}", normal);
            }
        }

        #[test]
        fn the_scan_and_the_rebuilding_agree(raw in "/[a.%/2fFeE5cC;]{0,16}", rules in any_rules()) {
            if is_normal(raw.as_bytes(), &rules) {
                prop_assert_eq!(rebuild(&raw, &rules), Ok(raw));
            }
        }

        // The same as the fuzz target `path`, for everybody.
        #[test]
        fn no_text_panics_or_hides_a_dot_segment(
            raw in prop_oneof!["\\PC*", "/(\\.|\\.\\.|/|;|%|%2|[%a-f0-9]{3}|%2e|%2F|%5c|%3b|\\\\|[ -~]|\\PC){0,16}"],
            rules in any_rules(),
        ) {
            let _ = normalise_literal(&raw);
            if let Ok(normal) = normalise(&raw, &rules) {
                prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{normal:?}");
                // Not even for a server that decodes slashes, or that cuts segments at a semicolon.
                let decoded = normal.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
                let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
                prop_assert!(!decoded.split('/').any(dots), "{raw:?} hides a dot segment in {normal:?}");
            }
        }
    }
}
