//! Where a request carries its token.

use portcullis_sdk::{EditError, HeaderName, Request};

use crate::refusal::Refusal;

/// A header field, and perhaps a cookie.
pub(crate) struct Place {
    pub(crate) header: HeaderName,
    pub(crate) cookie: Option<String>,
}

impl Place {
    /// The request's one token. More than one is refused: this filter and the upstream could pick different ones.
    pub(crate) fn find(&self, request: &Request) -> Result<Option<String>, Refusal> {
        let fields = request.header_values(&self.header);
        let mut found = Vec::new();
        for value in &fields {
            let Some(text) = value.to_str() else {
                return Err(Refusal::Request);
            };
            // Another scheme, such as `Basic`, is no token.
            found.extend(self.in_field(text).filter(|token| !token.is_empty()).map(str::to_owned));
        }
        if found.is_empty() {
            found = self.in_cookies(request);
        }
        match (found.len(), fields.len()) {
            (0, _) => Ok(None),
            (1, 0 | 1) => Ok(found.pop()),
            _ => Err(Refusal::Request),
        }
    }

    pub(crate) fn take_out(&self, request: &mut Request) -> Result<(), EditError> {
        request.remove_header(&self.header)?;
        let Some(name) = &self.cookie else { return Ok(()) };
        let fields = request.header_values("cookie");
        let cookies = || fields.iter().filter_map(|field| field.to_str()).flat_map(pairs);
        if !cookies().any(|(own, _)| own == name) {
            return Ok(());
        }
        let kept: Vec<_> = cookies()
            .filter(|(own, _)| own != name)
            .map(|(own, value)| format!("{own}={value}"))
            .collect();
        match kept.is_empty() {
            true => request.remove_header("cookie"),
            false => request.set_header("cookie", kept.join("; ")),
        }
    }

    /// RFC 6750 section 2.1: `Bearer`, in either case, and the token. A field of the operator's own may do without.
    fn in_field<'value>(&self, value: &'value str) -> Option<&'value str> {
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim_start()),
            None if self.header != "authorization" => Some(value),
            _ => None,
        }
    }

    fn in_cookies(&self, request: &Request) -> Vec<String> {
        let Some(name) = &self.cookie else { return Vec::new() };
        let fields = request.header_values("cookie");
        let cookies = fields.iter().filter_map(|field| field.to_str()).flat_map(pairs);
        cookies
            .filter(|(own, value)| own == name && !value.is_empty())
            .map(|(_, value)| value.to_owned())
            .collect()
    }
}

/// The cookies of one field (RFC 6265 section 4.2.1); HTTP/2 may spread them over several.
fn pairs(field: &str) -> impl Iterator<Item = (&str, &str)> {
    field.split(';').filter_map(|pair| pair.trim().split_once('='))
}
