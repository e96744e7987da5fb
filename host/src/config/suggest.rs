//! "Did you mean": the nearest of the allowed words, and how a list of words is written.

/// What people coming from other gateways write, and our word for it.
const OTHER_WORDS: [(&str, &str); 19] = [
    ("address", "listen"),
    ("backend", "to"),
    ("bind", "listen"),
    ("handlers", "filters"),
    ("host", "match"),
    ("location", "match"),
    ("methods", "match"),
    ("middleware", "filters"),
    ("middlewares", "filters"),
    ("mode", "balance"),
    ("options", "settings"),
    ("path", "match"),
    ("permissions", "grant"),
    ("plugins", "filters"),
    ("port", "listen"),
    ("proxy", "to"),
    ("servers", "targets"),
    ("upstream", "to"),
    ("url", "to"),
];

/// The candidate that `word` is most likely a misspelling of, if one is near enough.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = fold(word);
    let mut best: Option<(usize, &str)> = None;
    let mut other_word = None;
    for candidate in candidates {
        let folded = fold(candidate);
        let distance = strsim::damerau_levenshtein(&word, &folded);
        let tolerated = word.chars().count().max(folded.chars().count()) / 3;
        let extended = folded.len() >= 3 && word.len() >= 3 && (word.starts_with(&folded) || folded.starts_with(&word));
        if (distance <= tolerated || extended) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
        if OTHER_WORDS.contains(&(word.as_str(), candidate)) {
            other_word = Some(candidate);
        }
    }
    best.map(|(_, candidate)| candidate).or(other_word)
}

/// ``did you mean `x`?``
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// `` `a`, `b` or `c` ``
pub(crate) fn any_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "nothing".to_owned(),
    }
}

fn fold(word: &str) -> String {
    // Long words are never misspellings of ours, and the distance is quadratic.
    word.chars()
        .take(64)
        .map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not() {
        assert_eq!(closest("lisen", ["listen", "admin"]), Some("listen"));
        assert_eq!(closest("rate_limit", ["rate-limit", "jwt"]), Some("rate-limit"));
        assert_eq!(closest("middlewares", ["match", "filters"]), Some("filters"));
        assert_eq!(closest("zebra", ["listen", "admin"]), None);
        assert_eq!(any_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
