//! JSON Web Tokens as an identity provider signs them. The keys in `keys/` exist for these tests alone.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The public half of the Ed25519 key, in PEM.
pub const PUBLIC_KEY: &str = include_str!("keys/ed25519.public.pem");

/// A token signed with a shared secret (HS256).
pub fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

/// A token signed with the key of [`jwks`] that has this id: `ed`, `es` or `rsa`.
pub fn signed_by_key(claims: &Value, id: &str) -> String {
    let (algorithm, key) = match id {
        "ed" => (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")),
        ),
        "es" => (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(include_bytes!("keys/es256.pem")),
        ),
        "rsa" => (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")),
        ),
        _ => panic!("no key {id}"),
    };
    let mut header = Header::new(algorithm);
    header.kid = Some(id.to_owned());
    encode(&header, claims, &key.expect("a key")).expect("a token")
}

/// A token signed by this algorithm (RFC 7518 section 3.1), `PS256` for one, and the public key that verifies it, in PEM.
pub fn signed_by(claims: &Value, algorithm: &str) -> (String, &'static str) {
    let (key, public) = match &algorithm[..2] {
        "RS" | "PS" => (
            EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")),
            include_str!("keys/rsa.public.pem"),
        ),
        "ES" if algorithm == "ES384" => (
            EncodingKey::from_ec_pem(include_bytes!("keys/es384.pem")),
            include_str!("keys/es384.public.pem"),
        ),
        "ES" => (
            EncodingKey::from_ec_pem(include_bytes!("keys/es256.pem")),
            include_str!("keys/es256.public.pem"),
        ),
        _ => (EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")), PUBLIC_KEY),
    };
    let header = Header::new(algorithm.parse().expect("an algorithm"));
    let token = encode(&header, claims, &key.expect("a key")).expect("a token");
    (token, public)
}

/// The token with another claim set under the same signature.
pub fn tampered(token: &str) -> String {
    let parts = token.split('.').collect::<Vec<_>>();
    // {"sub":"root","exp":9999999999}
    format!("{}.eyJzdWIiOiJyb290IiwiZXhwIjo5OTk5OTk5OTk5fQ.{}", parts[0], parts[2])
}

/// The public halves of the keys as a JWK Set (RFC 7517), as far as `ids` names them.
pub fn jwks(ids: &[&str]) -> Value {
    let keys = ids.iter().map(|id| match *id {
        "ed" => json!({ "kid": "ed", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "x": "j_nGXPt6B2-dbIje10PRp4zm4G0wK0JZxzkkExUnbQg" }),
        "es" => json!({ "kid": "es", "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "x": "shOU0I7cQGjuFnKvG_yQU6Em8du7isCC0GoVfBkN8wY", "y": "eoEyNtlaGTzC5OHmNQQHi0lM6kOJCbwsTI5PxF-V6xE" }),
        "rsa" => json!({ "kid": "rsa", "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB",
            "n": include_str!("keys/rsa.modulus").trim() }),
        id => panic!("no key {id}"),
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_set_verifies_what_the_keys_sign() {
        let set: JwkSet = serde_json::from_value(jwks(&["ed", "es", "rsa"])).expect("a key set");
        for id in ["ed", "es", "rsa"] {
            let token = signed_by_key(&json!({ "sub": "7", "exp": 9_999_999_999_u64 }), id);
            let algorithm = decode_header(&token).expect("a header").alg;
            let key = DecodingKey::from_jwk(set.find(id).expect("the key")).expect("a usable key");
            let claims = decode::<Value>(&token, &key, &Validation::new(algorithm))
                .expect("a good token")
                .claims;
            assert_eq!(claims["sub"], "7");
            assert!(decode::<Value>(&tampered(&token), &key, &Validation::new(algorithm)).is_err());
        }
    }
}
