//! Names and values of header fields (RFC 9110 section 5), and why an edit is refused.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::SettingsError;
use crate::settings::text::{shown_as_text, text_setting};

/// The value of a header field: bytes, since RFC 9110 section 5.5 allows more than ASCII.
///
/// ```
/// use portcullis_sdk::HeaderValue;
///
/// let value = HeaderValue::from("gzip, br");
/// assert_eq!(value, "gzip, br");
/// assert_eq!(value.to_str(), Some("gzip, br"));
/// assert_eq!(HeaderValue::from(vec![0xff]).to_str(), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderValue(Vec<u8>);

impl HeaderValue {
    /// The value as it stands in the message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, where it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The value as owned text, where it is UTF-8. Copies nothing.
    pub fn into_string(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }

    /// The value as owned bytes. Copies nothing.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for HeaderValue {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        HeaderValue(text.as_bytes().to_vec())
    }
}

impl From<&String> for HeaderValue {
    fn from(text: &String) -> Self {
        HeaderValue::from(text.as_str())
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        HeaderValue(text.into_bytes())
    }
}

impl From<&[u8]> for HeaderValue {
    fn from(bytes: &[u8]) -> Self {
        HeaderValue(bytes.to_vec())
    }
}

impl From<Vec<u8>> for HeaderValue {
    fn from(bytes: Vec<u8>) -> Self {
        HeaderValue(bytes)
    }
}

impl From<&HeaderValue> for HeaderValue {
    fn from(value: &HeaderValue) -> Self {
        value.clone()
    }
}

impl PartialEq<str> for HeaderValue {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for HeaderValue {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<[u8]> for HeaderValue {
    fn eq(&self, other: &[u8]) -> bool {
        self.0 == other
    }
}

impl PartialEq<&[u8]> for HeaderValue {
    fn eq(&self, other: &&[u8]) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// The name of a header field, checked once: a lower-case token of RFC 9110 section 5.6.2.
///
/// Meant for settings. Wherever a name is asked for as `&str`, `&name` will do; a name known to the author is simply a
/// literal.
///
/// ```
/// use portcullis_sdk::{EditError, HeaderName};
///
/// assert_eq!(HeaderName::new("X-Access-Tokens")?.as_ref(), "x-access-tokens");
/// assert_eq!(HeaderName::new("two words"), Err(EditError::InvalidName));
/// # Ok::<(), EditError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// Checks a name and puts it into lower case.
    ///
    /// # Errors
    /// [`EditError::InvalidName`] where it is no token.
    pub fn new(name: &str) -> Result<Self, EditError> {
        if is_token(name) {
            Ok(HeaderName(name.to_ascii_lowercase()))
        } else {
            Err(EditError::InvalidName)
        }
    }

    /// Whether a filter may edit this field, which `setting` names: not where it belongs to the connection or to framing,
    /// see [`EditError::Protected`]. Ask in `Filter::new`, and a wrong setting is found before any request.
    ///
    /// ```
    /// use portcullis_sdk::{EditError, HeaderName};
    ///
    /// let error = HeaderName::new("Host")?.check_editable("header").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`header`: `host` belongs to the connection: the gateway alone sets it"
    /// );
    /// assert!(HeaderName::new("x-user")?.check_editable("header").is_ok());
    /// # Ok::<(), EditError>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong with the setting, in the operator's words.
    pub fn check_editable(&self, setting: &str) -> Result<(), SettingsError> {
        match PROTECTED.contains(&self.0.as_str()) {
            true => Err(format!("`{setting}`: `{self}` belongs to the connection: the gateway alone sets it").into()),
            false => Ok(()),
        }
    }
}

/// What belongs to the connection or to framing: RFC 9110 section 7.6.1, RFC 9112 section 6.
pub(crate) const PROTECTED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether this is a token of RFC 9110 section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| TOKEN[usize::from(byte)])
}

/// The bytes that a token is made of. A table, since every edit's name is checked.
const TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 128 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

impl Deref for HeaderName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for HeaderName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HeaderName {
    type Err = EditError;

    fn from_str(name: &str) -> Result<Self, EditError> {
        HeaderName::new(name)
    }
}

impl PartialEq<str> for HeaderName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for HeaderName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

text_setting!(HeaderName, "header field name", { "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" });
shown_as_text!(HeaderName);

/// Why an edit of an exchange was refused. The exchange is as it was before the edit.
///
/// `?` makes it a [`Failure`](crate::Failure) of the filter, which is right where the author chose name and value.
/// Where they come from the client, look at the error and answer with a reply.
///
/// ```
/// use portcullis_sdk::{EditError, Failure, Outcome, Reply, Request};
///
/// fn greet(request: &mut Request, name: &str) -> Result<Outcome, Failure> {
///     match request.set_header("x-greeting", format!("Hello, {name}!")) {
///         Err(EditError::TooLarge) => {
///             let detail = "The name does not fit.";
///             Ok(Reply::problem(431, "Request Header Fields Too Large", detail).into())
///         }
///         edit => {
///             edit?;
///             Ok(Outcome::Continue)
///         }
///     }
/// }
/// # use portcullis_sdk::testing::{self, Exchange};
/// # use portcullis_sdk::{Filter, NoSettings, SettingsError};
/// # struct Greet(&'static str);
/// # impl Filter for Greet {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings) -> Result<Self, SettingsError> { Ok(Greet("")) }
/// #     fn on_request(&self, request: &mut Request) -> Result<Outcome, Failure> { greet(request, self.0) }
/// # }
/// # let ran = Exchange::get("/").run(&Greet("ann"));
/// # assert_eq!(ran.request().header("x-greeting").unwrap(), "Hello, ann!");
///
/// assert_eq!(EditError::Protected.to_string(), "the field belongs to the gateway");
/// # let failure = Exchange::get("/").try_run(&Greet("a\nb")).unwrap_err();
/// # assert_eq!(failure.to_string(), EditError::InvalidValue.to_string());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditError {
    /// The name is no token of RFC 9110 section 5.6.2; for a note, it is empty or holds a control character.
    InvalidName,
    /// The value holds a byte that RFC 9110 section 5.5 forbids, white space around it, or is not of the form that the
    /// part needs.
    InvalidValue,
    /// The field belongs to the connection or to the framing of the message: the gateway alone sets it.
    ///
    /// `connection`, `keep-alive`, `proxy-connection`, `transfer-encoding`, `te`, `trailer`, `upgrade`,
    /// `content-length` and `host`.
    Protected,
    /// The edit would take the header section, or the notes, past the gateway's limits.
    TooLarge,
    /// The request has been sent: in a response phase nothing of it can be changed, but notes can be made.
    TooLate,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EditError::InvalidName => "the name is not allowed",
            EditError::InvalidValue => "the value holds what is not allowed there",
            EditError::Protected => "the field belongs to the gateway",
            EditError::TooLarge => "the edit goes past the gateway's limits",
            EditError::TooLate => "the request has been sent already",
        })
    }
}

impl Error for EditError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_in_lower_case() {
        for (written, read) in [
            ("Accept", "accept"),
            ("x-A_b.c", "x-a_b.c"),
            ("!#$%&'*+-.^_`|~", "!#$%&'*+-.^_`|~"),
        ] {
            assert_eq!(HeaderName::new(written).unwrap(), read);
        }
        for wrong in ["", "a b", "a:", "é", "a\r\nb", "a\0", "(a)", "a/b", "\"a\""] {
            assert_eq!(HeaderName::new(wrong), Err(EditError::InvalidName), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_in_settings_says_which_name_is_wrong() {
        let name: HeaderName = serde_json::from_str(r#""X-Token""#).unwrap();
        assert_eq!(name, "x-token");

        let error = serde_json::from_str::<HeaderName>(r#""a b""#).unwrap_err();
        assert!(
            error.to_string().starts_with("`a b` is no header field name: "),
            "{error}"
        );
    }

    #[test]
    fn what_no_filter_can_edit_is_no_setting_for_an_edit() {
        for name in PROTECTED {
            let error = HeaderName(name.to_owned()).check_editable("header").unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("`header`: `{name}` ")),
                "{error}"
            );
        }
        assert_eq!(HeaderName::new("cookie").unwrap().check_editable("header"), Ok(()));
    }

    #[test]
    fn a_value_is_bytes() {
        let value = HeaderValue::from(&b"caf\xe9"[..]);
        assert_eq!(value.to_str(), None);
        assert_eq!(format!("{value:?}"), r#""caf\xe9""#);
        assert_eq!(value.clone().into_bytes(), b"caf\xe9");
        assert_eq!(value.into_string(), None);
    }
}
