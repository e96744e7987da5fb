//! One order: from domains to a certificate (RFC 8555 section 7.4).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use super::challenges::{Answer, Challenges};
use super::failure::Failure;
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

/// Orders a certificate; in the place of another one, if the authority wants to know that.
pub(super) async fn order(
    settings: &Acme,
    account: &Account,
    challenges: &Arc<Challenges>,
    replaced: Option<CertificateIdentifier<'_>>,
) -> Result<Delivered, Failure> {
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
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&ASKING).await?;
    Ok(Delivered { chain, key })
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
