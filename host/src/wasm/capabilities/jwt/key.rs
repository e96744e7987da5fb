//! A key, and the algorithms it may be used with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// A key to verify with. It fits only the algorithms of its own type, so a public key can never be taken for a secret.
pub(super) struct Key {
    id: Option<String>,
    decoding: DecodingKey,
    algorithms: Vec<Algorithm>,
}

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl Key {
    /// A shared secret.
    pub(super) fn secret(secret: &[u8]) -> Result<Key, String> {
        if secret.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(Key {
            id: None,
            decoding: DecodingKey::from_secret(secret),
            algorithms: HMAC.to_vec(),
        })
    }

    /// A public key in PEM.
    pub(super) fn pem(pem: &str) -> Result<Key, String> {
        let pem = pem.as_bytes();
        let (decoding, algorithms) = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            (key, RSA.to_vec())
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            // The curve is checked with the signature.
            (key, vec![Algorithm::ES256, Algorithm::ES384])
        } else if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            (key, vec![Algorithm::EdDSA])
        } else {
            return Err("`pem` is no RSA, EC or Ed25519 public key in PEM".to_owned());
        };
        Ok(Key {
            id: None,
            decoding,
            algorithms,
        })
    }

    /// The usable keys of a JWK Set (RFC 7517 section 5): members that are not understood are passed over, as it says.
    pub(super) fn set(json: &str) -> Result<Vec<Key>, String> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_str(json).map_err(|error| format!("no JWK Set: {error}"))?;
        let jwks = set
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<Key> = jwks.filter_map(|jwk| Key::jwk(&jwk)).collect();
        if keys.is_empty() {
            Err("the JWK Set holds no key to verify with".to_owned())
        } else {
            Ok(keys)
        }
    }

    fn jwk(jwk: &Jwk) -> Option<Key> {
        let common = &jwk.common;
        if common
            .public_key_use
            .as_ref()
            .is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        {
            return None;
        }
        if common
            .key_operations
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA.to_vec(),
            AlgorithmParameters::OctetKey(_) => HMAC.to_vec(),
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
            AlgorithmParameters::EllipticCurve(point) => match point.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            let only = named(only)?;
            algorithms.retain(|algorithm| *algorithm == only);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Key {
            id: common.key_id.clone(),
            decoding: DecodingKey::from_jwk(jwk).ok()?,
            algorithms,
        })
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Whether the key may verify this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether a token that names this key id may mean this key.
    pub(super) fn is_meant(&self, id: Option<&str>) -> bool {
        match (&self.id, id) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }
}

fn named(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
        KeyAlgorithm::HS256 => Algorithm::HS256,
        KeyAlgorithm::HS384 => Algorithm::HS384,
        KeyAlgorithm::HS512 => Algorithm::HS512,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::PS384 => Algorithm::PS384,
        KeyAlgorithm::PS512 => Algorithm::PS512,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_bound_to_the_algorithm_it_names() {
        let keys = Key::set(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256","kid":"a"}]}"#).unwrap_or_default();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].fits(Algorithm::HS256) && !keys[0].fits(Algorithm::HS384) && !keys[0].fits(Algorithm::RS256));
        assert!(keys[0].is_meant(Some("a")) && !keys[0].is_meant(Some("b")) && keys[0].is_meant(None));
    }

    #[test]
    fn keys_for_encryption_are_passed_over() {
        let set = |extra: &str| Key::set(&format!(r#"{{"keys":[{{"kty":"oct","k":"c2VjcmV0",{extra}}}]}}"#));
        assert!(set(r#""use":"enc""#).is_err());
        assert!(set(r#""key_ops":["encrypt"]"#).is_err());
        assert!(set(r#""use":"sig""#).is_ok());
        assert!(set(r#""alg":"RS256""#).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        assert!(Key::pem("hello").is_err());
        assert!(Key::secret(b"").is_err());
        assert!(Key::set("[]").is_err());
    }
}
