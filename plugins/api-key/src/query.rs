//! One parameter of a query: reading it, and taking it out.

use percent_encoding::percent_decode_str;

/// Every value of a parameter, percent-decoded. `+` stays `+`: keys are often Base64.
pub(crate) fn values(query: &str, name: &str) -> Vec<Vec<u8>> {
    pairs(query)
        .filter(|(_, own, _)| is(own, name))
        .map(|(_, _, value)| percent_decode_str(value).collect())
        .collect()
}

/// The query without a parameter, the rest letter for letter; none where nothing is left.
pub(crate) fn without(query: &str, name: &str) -> Option<String> {
    let kept: Vec<_> = pairs(query)
        .filter(|(_, own, _)| !is(own, name))
        .map(|(pair, ..)| pair)
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
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
