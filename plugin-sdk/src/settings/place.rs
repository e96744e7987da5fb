//! Where in a JSON text an error stands: serde_json says line and column, an operator wants `limits[1].rate`.

use std::fmt::Write;

/// A step from a value to one inside it.
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value that ends at, or spans, this line and column; empty for the outermost.
///
/// Reads only what lies before that place, which has been parsed once and so is known to be JSON.
pub(super) fn path(json: &str, line: usize, column: usize) -> String {
    let line_start: usize = json
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let end = line_start.saturating_add(column).min(json.len());

    let mut steps: Vec<Step> = Vec::new();
    let mut rest = json.as_bytes().get(..end).unwrap_or_default();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' => steps.push(Step::Key(String::new())),
            b'[' => steps.push(Step::Index(0)),
            b'}' | b']' => drop(steps.pop()),
            // A comma that ends the text belongs to the value before it.
            b',' if !rest.is_empty() => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Key(key)) => key.clear(),
                None => {}
            },
            b'"' => {
                let (text, after) = string(rest);
                rest = after;
                if let Some(Step::Key(key)) = steps.last_mut()
                    && key.is_empty()
                {
                    *key = String::from_utf8_lossy(text).into_owned();
                }
            }
            _ => {}
        }
    }
    written(&steps)
}

/// Splits after the quote that ends a string. Escapes stay as they are written.
fn string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if !escaped => return (&bytes[..at], &bytes[at + 1..]),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (bytes, &[])
}

fn written(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Index(index) => _ = write!(path, "[{index}]"),
            Step::Key(key) if path.is_empty() || key.is_empty() => path.push_str(key),
            Step::Key(key) => _ = write!(path, ".{key}"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_place_has_a_path() {
        let json = r#"{"a":{"b\"":[1,{"c":2}]},"d":3}"#;
        for (before, expected) in [
            (r#":[1"#, "a.b\\\"[0]"),
            (r#"{"c":2"#, "a.b\\\"[1].c"),
            ("}]", "a.b\\\""),
            (r#":3"#, "d"),
            ("3}", ""),
        ] {
            let column = json.find(before).unwrap() + before.len();
            assert_eq!(path(json, 1, column), expected, "{before}");
        }
        assert_eq!(path("{\n\"a\": 1\n}", 2, 6), "a");
        assert_eq!(path("{}", 9, 9), "");
    }
}
