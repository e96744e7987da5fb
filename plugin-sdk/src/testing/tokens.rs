//! Which tokens are good: as a test says.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::SettingsError;
use crate::jwt::{VerifierOptions, VerifyError};

type Verdict = Result<Map<String, Value>, VerifyError>;

thread_local! {
    static VERDICTS: RefCell<HashMap<String, Verdict>> = RefCell::default();
}

/// From now on every verifier of this thread takes the token, and gives these claims.
///
/// # Panics
/// Where the claims are no JSON object.
///
/// ```
/// use portcullis_sdk::jwt::{Algorithm, KeySource, Verifier, VerifierOptions};
/// use portcullis_sdk::testing;
/// use serde_json::json;
///
/// let verifier = Verifier::open(VerifierOptions {
///     keys: vec![KeySource::Secret(b"any".to_vec())],
///     algorithms: vec![Algorithm::Hs256],
///     ..VerifierOptions::default()
/// })?;
///
/// testing::accept_token("good", json!({ "sub": "ann" }));
/// assert_eq!(verifier.verify("good").unwrap().get("sub"), Some(&json!("ann")));
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
#[track_caller]
pub fn accept_token(token: &str, claims: Value) {
    let Value::Object(claims) = claims else {
        panic!("claims are a JSON object, not {claims}")
    };
    VERDICTS.with_borrow_mut(|verdicts| verdicts.insert(token.to_owned(), Ok(claims)));
}

/// From now on every verifier of this thread refuses the token, and says why. A token that no test ever spoke of is
/// [malformed](VerifyError::Malformed).
///
/// ```
/// use portcullis_sdk::jwt::{Algorithm, KeySource, Verifier, VerifierOptions, VerifyError};
/// use portcullis_sdk::testing;
///
/// let verifier = Verifier::open(VerifierOptions {
///     keys: vec![KeySource::Secret(b"any".to_vec())],
///     algorithms: vec![Algorithm::Hs256],
///     ..VerifierOptions::default()
/// })?;
///
/// testing::refuse_token("old", VerifyError::Expired);
/// assert_eq!(verifier.verify("old"), Err(VerifyError::Expired));
/// assert_eq!(verifier.verify("unheard of"), Err(VerifyError::Malformed));
/// # Ok::<(), portcullis_sdk::SettingsError>(())
/// ```
pub fn refuse_token(token: &str, error: VerifyError) {
    VERDICTS.with_borrow_mut(|verdicts| verdicts.insert(token.to_owned(), Err(error)));
}

/// Verifies as the test says.
pub(crate) struct Verifier;

impl Verifier {
    pub(crate) fn open(options: VerifierOptions) -> Result<Self, SettingsError> {
        match options {
            VerifierOptions { keys, .. } if keys.is_empty() => Err("a verifier needs a key".into()),
            VerifierOptions { algorithms, .. } if algorithms.is_empty() => Err("a verifier needs an algorithm".into()),
            _ => Ok(Verifier),
        }
    }

    pub(crate) fn verify(&self, token: &str) -> Verdict {
        let verdict = VERDICTS.with_borrow(|verdicts| verdicts.get(token).cloned());
        verdict.unwrap_or(Err(VerifyError::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{self, Algorithm, KeySource};

    #[test]
    fn a_verifier_without_keys_or_algorithms_does_not_open() {
        let keys = vec![KeySource::Secret(b"k".to_vec())];
        assert!(jwt::Verifier::open(VerifierOptions::default()).is_err());
        assert!(
            jwt::Verifier::open(VerifierOptions {
                keys: keys.clone(),
                ..Default::default()
            })
            .is_err()
        );
        let algorithms = vec![Algorithm::Hs256];
        let verifier = jwt::Verifier::open(VerifierOptions {
            keys,
            algorithms,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(verifier.verify("never heard of"), Err(VerifyError::Malformed));
    }
}
