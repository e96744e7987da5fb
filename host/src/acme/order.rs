//! One order: from domains to a certificate (RFC 8555 section 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::challenges::{Answer, Challenges};
use super::failure::Failure;
use super::store::{FinalizedOrder, Store};
use crate::config::resolved::{Acme, AcmeChallenge};

/// A certificate with the chain to its issuer, and its key, each in PEM.
pub(super) struct Delivered {
    pub(super) chain: String,
    pub(super) key: String,
}

/// How often it is asked how an order is getting on, and for how long.
const ASKING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// Orders a certificate; in the place of another one, if the authority wants to know that. An order that was finalized
/// before, and whose certificate never came, is gone on with: authorities limit how many they issue for the same domains.
pub(super) async fn order(
    settings: &Acme,
    account: &Account,
    store: &Store,
    challenges: &Arc<Challenges>,
    replaced: Option<CertificateIdentifier<'_>>,
) -> Result<Delivered, Failure> {
    if let Some(delivered) = resumed(settings, account, store).await? {
        return Ok(delivered);
    }
    let domains = settings.domains.iter().map(|domain| Identifier::Dns(domain.clone()));
    let domains: Vec<Identifier> = domains.collect();
    let mut new = NewOrder::new(&domains);
    if let Some(replaced) = replaced {
        new = new.replaces(replaced);
    }
    let mut order = account.new_order(&new).await?;
    // The answers are given until the order has ended.
    let _answers = prove(settings, &mut order, challenges).await?;
    let proven = match order.poll_ready(&ASKING).await {
        Ok(OrderStatus::Invalid) => Err(Failure::refused("the order was refused")),
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::from(error)),
    };
    if let Err(failure) = proven {
        return Err(refusal(&mut order, settings.challenge).await.unwrap_or(failure));
    }
    let key = KeyPair::generate().map_err(unasked)?;
    let known = FinalizedOrder {
        url: order.url().to_owned(),
        key: key.serialize_pem(),
    };
    if let Err(error) = store.keep_order(&settings.domains, &known) {
        tracing::error!(%error, "an order cannot be kept: if its certificate does not come, there will be another order");
    }
    finalized(settings, &mut order, &key, store).await
}

/// Goes on with the order that is kept. None where there is none, or none that can lead to a certificate any more.
async fn resumed(settings: &Acme, account: &Account, store: &Store) -> Result<Option<Delivered>, Failure> {
    let Some(known) = store.order(&settings.domains) else {
        return Ok(None);
    };
    let key = KeyPair::from_pem(&known.key).map_err(unasked);
    let order = match account.order(known.url).await {
        Err(error) if !is_final(&error) => return Err(error.into()),
        order => order,
    };
    let (Ok(key), Ok(mut order)) = (key, order) else {
        store.forget_order(&settings.domains);
        return Ok(None);
    };
    match order.state().status {
        OrderStatus::Ready => finalized(settings, &mut order, &key, store).await.map(Some),
        OrderStatus::Processing | OrderStatus::Valid => {
            tracing::info!(order = order.url(), "going on with an order of before");
            fetched(settings, &mut order, &key, store).await.map(Some)
        }
        OrderStatus::Pending | OrderStatus::Invalid => {
            store.forget_order(&settings.domains);
            Ok(None)
        }
    }
}

/// Has the certificate issued.
async fn finalized(settings: &Acme, order: &mut Order, key: &KeyPair, store: &Store) -> Result<Delivered, Failure> {
    let mut params = CertificateParams::new(settings.domains.clone()).map_err(unasked)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key).map_err(unasked)?;
    match order.finalize_csr(request.der()).await {
        Ok(()) => fetched(settings, order, key, store).await,
        Err(error) => Err(ended(settings, error, store)),
    }
}

/// Fetches it once it is there.
async fn fetched(settings: &Acme, order: &mut Order, key: &KeyPair, store: &Store) -> Result<Delivered, Failure> {
    match order.poll_certificate(&ASKING).await {
        Ok(chain) => Ok(Delivered {
            chain,
            key: key.serialize_pem(),
        }),
        Err(error) => Err(ended(settings, error, store)),
    }
}

/// Why an order that was finalized has not led to a certificate. Where it never will, it is kept no longer.
fn ended(settings: &Acme, error: Error, store: &Store) -> Failure {
    if is_final(&error) {
        store.forget_order(&settings.domains);
    }
    error.into()
}

/// Whether the authority has said no, and will not say anything else tomorrow.
fn is_final(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    let status = problem.status.unwrap_or(400);
    (400..500).contains(&status) && status != 429
}

fn unasked(error: rcgen::Error) -> Failure {
    Failure::here(format!("no certificate can be asked for: {error}"))
}

/// Has the authority see that the domains are ours. What is returned is to be held until it has.
async fn prove(settings: &Acme, order: &mut Order, challenges: &Arc<Challenges>) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            // It has seen so before, not long ago.
            AuthorizationStatus::Valid => continue,
            other => {
                let domain = authorization.identifier();
                return Err(Failure::refused(format!("{domain}: the authorization is {other:?}")));
            }
        }
        let Some(mut challenge) = authorization.challenge(kind(settings.challenge)) else {
            return Err(Failure::refused(
                "the certificate authority does not offer this challenge",
            ));
        };
        let domain = challenge.identifier().to_string();
        let proof = challenge.key_authorization();
        answers.push(match settings.challenge {
            AcmeChallenge::TlsAlpn01 => challenges.answer_tls(&domain, proof.digest().as_ref())?,
            AcmeChallenge::Http01 => challenges.answer_http(&challenge.token, proof.as_str()),
        });
        challenge.set_ready().await?;
    }
    Ok(answers)
}

/// What the authority has seen instead of the right answer, in its words.
async fn refusal(order: &mut Order, challenge: AcmeChallenge) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let Some(error) = authorization
            .challenge(kind(challenge))
            .and_then(|challenge| challenge.error.clone())
        else {
            continue;
        };
        let failure = Failure::from(instant_acme::Error::Api(error));
        return Some(failure.about(&domain));
    }
    None
}

fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeType::Http01,
    }
}
