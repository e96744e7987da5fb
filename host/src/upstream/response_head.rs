//! What a target's response may say of its own length.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

/// Fields of a response's head at most. Services are more generous with them than clients.
pub(super) const FIELDS: usize = 200;

/// A head of which two readers could see the response's end at different places, or that is too large.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head of the response is malformed")]
pub(crate) struct MalformedHead;

/// Refuses a head with two meanings (RFC 9112 section 6.3), and leaves of one length that is said twice one.
pub(crate) fn check(headers: &mut HeaderMap) -> Result<(), MalformedHead> {
    if headers.len() > FIELDS {
        return Err(MalformedHead);
    }
    // Most heads have one of these fields, once: one look over the names is cheaper than two look-ups.
    let (mut codings, mut lengths) = (0, 0);
    for (name, value) in &*headers {
        match *name {
            TRANSFER_ENCODING => codings += 1,
            CONTENT_LENGTH => lengths += 1 + usize::from(value.as_bytes().contains(&b',')),
            _ => {}
        }
    }
    if codings > 0 {
        // What we do not decode we cannot pass on: it was for us to decode.
        return if is_chunked(headers) && lengths == 0 {
            Ok(())
        } else {
            Err(MalformedHead)
        };
    }
    if lengths > 1 {
        let one = one_length(headers.get_all(CONTENT_LENGTH).iter()).ok_or(MalformedHead)?;
        headers.insert(CONTENT_LENGTH, one);
    }
    Ok(())
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    codings.next().is_none() && first.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// The length that all of these say; none where they differ.
fn one_length<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let mut numbers = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    let first = numbers.next().filter(|number| !number.is_empty())?;
    if !first.iter().all(u8::is_ascii_digit) || numbers.any(|number| number != first) {
        return None;
    }
    HeaderValue::from_bytes(first).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn checked(fields: &[(&'static str, &'static str)]) -> Result<Vec<String>, MalformedHead> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        check(&mut headers)?;
        let lengths = headers.get_all(CONTENT_LENGTH).iter();
        Ok(lengths.map(|length| length.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn one_length_is_left_of_many_that_agree() {
        assert_eq!(checked(&[]), Ok(vec![]));
        assert_eq!(checked(&[("content-length", "5")]), Ok(vec!["5".to_owned()]));
        assert_eq!(checked(&[("content-length", "5, 5")]), Ok(vec!["5".to_owned()]));
        let twice = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(checked(&twice), Ok(vec!["5".to_owned()]));
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(checked(&[chunked]), Ok(vec![]));
        for fields in [
            &[("content-length", "5"), ("content-length", "6")][..],
            &[("content-length", "5, 6")],
            &[("content-length", "5,")],
            &[("content-length", "5, +5")],
            &[chunked, ("content-length", "5")],
            &[chunked, chunked],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, identity")],
            &[("transfer-encoding", "xchunked")],
        ] {
            assert_eq!(checked(fields), Err(MalformedHead), "{fields:?}");
        }
    }
}
