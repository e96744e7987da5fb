//! Capability `jwt`: JSON Web Tokens (RFC 7519) verified by `jsonwebtoken`.
//!
//! The algorithm comes from the configuration and is bound to the type of the key; what a token's header says only
//! selects among what is allowed (RFC 8725 sections 3.1 and 3.2).

mod key;
mod remote;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};
use wasmtime::component::Resource;

use self::key::Key;
pub(crate) use self::remote::KeySets;
use self::remote::RemoteKeys;
use crate::wasm::abi::v0_1::host::jwt::{self as wit, Host, HostVerifier, KeySource, VerifierOptions, VerifyError};
use crate::wasm::filter::Filter;
use crate::wasm::instance::HostState;

/// A verifier as one instance holds it: shared by every token it sees.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenVerifier(Arc<Verifier>);

struct Verifier {
    fixed: Vec<Key>,
    remote: Vec<Arc<RemoteKeys>>,
    algorithms: Vec<Algorithm>,
    validation: Validation,
    required: Vec<String>,
    /// How long a token with an unknown key may wait for keys: within what the filter's call may take.
    patience: Duration,
}

impl Verifier {
    fn open(options: VerifierOptions, filter: &Filter) -> Result<Verifier, String> {
        let algorithms: Vec<Algorithm> = options.algorithms.into_iter().map(algorithm).collect();
        let Some(first) = algorithms.first() else {
            return Err("`algorithms` names no algorithm".to_owned());
        };
        let mut validation = Validation::new(*first);
        validation.leeway = options.leeway_seconds.into();
        validation.validate_nbf = true;
        // Without this, a token that has an `aud` would be refused where none is asked for.
        validation.validate_aud = !options.audiences.is_empty();
        let mut spec_claims = HashSet::from(["exp".to_owned()]);
        if !options.audiences.is_empty() {
            validation.set_audience(&options.audiences);
            spec_claims.insert("aud".to_owned());
        }
        if !options.issuers.is_empty() {
            validation.set_issuer(&options.issuers);
            spec_claims.insert("iss".to_owned());
        }
        validation.required_spec_claims = spec_claims;

        let (mut fixed, mut remote) = (Vec::new(), Vec::new());
        for source in options.keys {
            match source {
                KeySource::Secret(secret) => fixed.push(Key::secret(&secret)?),
                KeySource::Pem(pem) => fixed.push(Key::pem(&pem)?),
                KeySource::Jwks(json) => fixed.extend(Key::set(&json)?),
                KeySource::JwksFile(name) | KeySource::JwksUrl(name) if !filter.names(&name) => {
                    return Err(format!(
                        "the keys of `{name}` are asked for, but the settings do not name it"
                    ));
                }
                KeySource::JwksFile(path) => remote.push(filter.services.key_sets.file(&path)?),
                KeySource::JwksUrl(url) => remote.push(filter.services.key_sets.url(&url)?),
            }
        }
        if fixed.is_empty() && remote.is_empty() {
            return Err("no keys to verify with".to_owned());
        }
        let usable = |key: &Key| algorithms.iter().any(|algorithm| key.fits(*algorithm));
        if remote.is_empty() && !fixed.iter().any(usable) {
            return Err("no key fits any of the `algorithms`".to_owned());
        }
        Ok(Verifier {
            fixed,
            remote,
            algorithms,
            validation,
            required: options.required_claims,
            patience: filter.limits.time / 2,
        })
    }

    async fn verify(&self, token: &str) -> Result<String, VerifyError> {
        let header = decode_header(token).map_err(|_| VerifyError::Malformed)?;
        if !self.algorithms.contains(&header.alg) {
            return Err(VerifyError::Algorithm);
        }
        // Extensions that we do not know must be refused (RFC 7515 section 4.1.11), and we know none.
        if !matches!(header.extras.get::<Value>("crit"), Ok(None)) {
            return Err(VerifyError::Malformed);
        }
        match self.try_keys(token, &header) {
            Err(VerifyError::UnknownKey) if !self.remote.is_empty() => {}
            decided => return decided,
        }
        // Perhaps the keys have just been rotated, or have never come.
        for remote in &self.remote {
            remote.refreshed(self.patience).await;
        }
        match self.try_keys(token, &header) {
            Err(VerifyError::UnknownKey) if self.remote.iter().all(|remote| remote.keys().is_none()) => {
                Err(VerifyError::KeysUnavailable)
            }
            decided => decided,
        }
    }

    fn try_keys(&self, token: &str, header: &Header) -> Result<String, VerifyError> {
        let fetched: Vec<_> = self.remote.iter().filter_map(|remote| remote.keys()).collect();
        let keys = self.fixed.iter().chain(fetched.iter().flat_map(|keys| keys.iter()));
        let (mut named, mut outcome) = (false, VerifyError::UnknownKey);
        for key in keys.filter(|key| key.is_meant(header.kid.as_deref())) {
            named = true;
            if !key.fits(header.alg) {
                continue;
            }
            match self.try_key(token, header.alg, key) {
                Err(VerifyError::Signature) => outcome = VerifyError::Signature,
                decided => return decided,
            }
        }
        if named && matches!(outcome, VerifyError::UnknownKey) && header.kid.is_some() {
            // The key is there, but made for another algorithm.
            return Err(VerifyError::Algorithm);
        }
        Err(outcome)
    }

    fn try_key(&self, token: &str, algorithm: Algorithm, key: &Key) -> Result<String, VerifyError> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        let claims =
            decode::<Map<String, Value>>(token, key.decoding(), &validation).map_err(|error| refusal(&error))?;
        let claims = claims.claims;
        match self.required.iter().find(|name| !claims.contains_key(*name)) {
            Some(missing) => Err(VerifyError::MissingClaim(missing.clone())),
            None => Ok(Value::Object(claims).to_string()),
        }
    }
}

fn refusal(error: &jsonwebtoken::errors::Error) -> VerifyError {
    match error.kind() {
        ErrorKind::InvalidSignature => VerifyError::Signature,
        ErrorKind::ExpiredSignature => VerifyError::Expired,
        ErrorKind::ImmatureSignature => VerifyError::NotYetValid,
        ErrorKind::InvalidIssuer => VerifyError::Issuer,
        ErrorKind::InvalidAudience => VerifyError::Audience,
        ErrorKind::InvalidAlgorithm => VerifyError::Algorithm,
        ErrorKind::MissingRequiredClaim(name) => VerifyError::MissingClaim(name.clone()),
        ErrorKind::Provider(_) => VerifyError::Signature,
        _ => VerifyError::Malformed,
    }
}

fn algorithm(algorithm: wit::Algorithm) -> Algorithm {
    match algorithm {
        wit::Algorithm::Hs256 => Algorithm::HS256,
        wit::Algorithm::Hs384 => Algorithm::HS384,
        wit::Algorithm::Hs512 => Algorithm::HS512,
        wit::Algorithm::Rs256 => Algorithm::RS256,
        wit::Algorithm::Rs384 => Algorithm::RS384,
        wit::Algorithm::Rs512 => Algorithm::RS512,
        wit::Algorithm::Ps256 => Algorithm::PS256,
        wit::Algorithm::Ps384 => Algorithm::PS384,
        wit::Algorithm::Ps512 => Algorithm::PS512,
        wit::Algorithm::Es256 => Algorithm::ES256,
        wit::Algorithm::Es384 => Algorithm::ES384,
        wit::Algorithm::Eddsa => Algorithm::EdDSA,
    }
}

impl Host for HostState {}

impl HostVerifier for HostState {
    fn open(&mut self, options: VerifierOptions) -> wasmtime::Result<Result<Resource<OpenVerifier>, String>> {
        if !self.configuring {
            return Ok(Err("verifiers are opened in `configure` alone".to_owned()));
        }
        let Some(filter) = &self.filter else {
            return Err(wasmtime::Error::msg(
                "a verifier is opened before the filter is configured",
            ));
        };
        match Verifier::open(options, filter) {
            Ok(verifier) => Ok(Ok(self.table.push(OpenVerifier(Arc::new(verifier)))?)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    async fn verify(
        &mut self,
        verifier: Resource<OpenVerifier>,
        token: String,
    ) -> wasmtime::Result<Result<String, VerifyError>> {
        let verifier = self.table.get(&verifier)?.0.clone();
        Ok(verifier.verify(&token).await)
    }

    fn drop(&mut self, verifier: Resource<OpenVerifier>) -> wasmtime::Result<()> {
        self.table.delete(verifier)?;
        Ok(())
    }
}
