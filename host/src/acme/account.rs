//! The account at a certificate authority: the one that is kept, or a new one, which is kept from then on.

use instant_acme::{Account, ExternalAccountKey, NewAccount};

use super::authority::{Advice, Authority};
use super::failure::Failure;
use super::store::Store;
use crate::config::resolved::AcmeAuthority;

/// The account that orders are made with. What the authority says of when to come back goes into `advice`.
pub(super) async fn account(settings: &AcmeAuthority, store: &Store, advice: &Advice) -> Result<Account, Failure> {
    match restored(settings, store, advice).await? {
        Some(account) => Ok(account),
        None => created(settings, store, advice).await,
    }
}

/// The account that is kept, if there is one.
pub(super) async fn restored(
    settings: &AcmeAuthority,
    store: &Store,
    advice: &Advice,
) -> Result<Option<Account>, Failure> {
    let kept = store
        .account()
        .map_err(|error| Failure::here(format!("the account: {error}")))?;
    let Some(credentials) = kept else { return Ok(None) };
    let authority = Authority::new(settings, advice)?;
    let builder = Account::builder_with_http(Box::new(authority));
    Ok(Some(builder.from_credentials(credentials).await?))
}

/// A new account: there is none, or the authority does not know it any more.
pub(super) async fn created(settings: &AcmeAuthority, store: &Store, advice: &Advice) -> Result<Account, Failure> {
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // Or there would be no such configuration.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = settings
        .external_account
        .as_ref()
        .map(|account| ExternalAccountKey::new(account.key_id.clone(), account.key.reveal()));
    let authority = Authority::new(settings, advice)?;
    let (account, credentials) = Account::builder_with_http(Box::new(authority))
        .create(&new, settings.directory.clone(), external.as_ref())
        .await?;
    store
        .keep_account(&credentials)
        .map_err(|error| Failure::here(format!("the account cannot be kept: {error}")))?;
    let (directory, account_url) = (&settings.directory, account.id());
    tracing::info!(
        directory,
        account = account_url,
        "account with a certificate authority made"
    );
    Ok(account)
}
