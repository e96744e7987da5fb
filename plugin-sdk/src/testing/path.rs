//! The normal form of a path, by the gateway's default rules: RFC 3986 section 6.2.2, and a refusal wherever servers
//! are known to read a path differently.

/// The normal form, or none where the path is refused.
pub(super) fn normalised(path: &str) -> Option<String> {
    let Some(inner) = path.strip_prefix('/') else {
        return path.is_empty().then(|| "/".to_owned());
    };

    let mut kept: Vec<String> = Vec::new();
    let mut open = true;
    for segment in inner.split('/') {
        let segment = decoded(segment)?;
        let name = segment.split(';').next().unwrap_or_default();
        let name = name.split("%3B").next().unwrap_or_default();
        open = matches!(segment.as_str(), "" | "." | "..");
        match segment.as_str() {
            "" | "." => {}
            ".." => drop(kept.pop()?),
            _ if matches!(name, "." | "..") => return None,
            _ => kept.push(segment),
        }
    }
    let mut normal = String::new();
    for segment in &kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if open {
        normal.push('/');
    }
    Some(normal)
}

/// One segment with what is unreserved decoded, and what may not stand there encoded.
fn decoded(segment: &str) -> Option<String> {
    let mut normal = String::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let (byte, was_encoded) = match byte {
            b'%' => {
                let (digits, after) = rest
                    .split_at_checked(2)
                    .filter(|(digits, _)| digits.iter().all(u8::is_ascii_hexdigit))?;
                rest = after;
                (u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, true)
            }
            byte => (byte, false),
        };
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let plain = unreserved || (!was_encoded && b"!$&'()*+,;=:@".contains(&byte));
        match byte {
            0 | b'/' | b'\\' => return None,
            _ if plain => normal.push(char::from(byte)),
            b'#' | b'?' if !was_encoded => return None,
            _ if was_encoded || byte.is_ascii_graphic() => normal.push_str(&format!("%{byte:02X}")),
            _ => return None,
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn a_path_has_one_form() {
        for (path, normal) in [
            ("", "/"),
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//a///b//", "/a/b/"),
            ("/a/./b/%2e%2E//%7ec%c3%a9", "/a/~c%C3%A9"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a{b}", "/a%7Bb%7D"),
            ("/a;b=c/:@!$&'()*+,=", "/a;b=c/:@!$&'()*+,="),
            ("/%3a%3F", "/%3A%3F"),
        ] {
            assert_eq!(normalised(path).as_deref(), Some(normal), "{path}");
        }
    }

    #[test]
    fn what_servers_disagree_about_is_refused() {
        for path in [
            "a", "*", "/..", "/a/../..", "/a%2fb", "/a%5Cb", "/a\\b", "/%00", "/%", "/%4", "/%zz", "/%+1",
        ] {
            assert_eq!(normalised(path), None, "{path}");
        }
        for path in ["/..;/a", "/.;x", "/..%3b/", "/a b", "/é", "/a?b", "/a#b", "/\u{7f}"] {
            assert_eq!(normalised(path), None, "{path}");
        }
    }
}
