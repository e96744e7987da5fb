//! The account at a certificate authority: the one that is kept, or a new one, which is kept from then on.

use instant_acme::{Account, ExternalAccountKey, NewAccount};

use super::authority::{Advice, Authority};
use super::failure::Failure;
use super::store::{KeptAccount, Store};
use crate::config::resolved::AcmeAuthority;

/// Who orders. What the authority says of when to come back goes into the `advice` of each call.
#[derive(Default)]
pub(super) struct Holder {
    /// An account that was made and could not be kept: authorities limit how many they make.
    unkept: Option<(Account, KeptAccount)>,
}

impl Holder {
    /// The account that orders are made with.
    pub(super) async fn account(
        &mut self,
        settings: &AcmeAuthority,
        store: &Store,
        advice: &Advice,
    ) -> Result<Account, Failure> {
        if let Some((account, kept)) = self.unkept.take() {
            self.keep(&account, kept, store);
            return Ok(account);
        }
        let Some(account) = restored(settings, store, advice).await? else {
            return self.created(settings, store, advice).await;
        };
        if let Some(kept) = read(store)?.filter(|kept| kept.contact != settings.contact) {
            self.tell_contact(settings, &account, kept, store).await;
        }
        Ok(account)
    }

    /// A new account: there is none, or the authority does not know it any more.
    pub(super) async fn created(
        &mut self,
        settings: &AcmeAuthority,
        store: &Store,
        advice: &Advice,
    ) -> Result<Account, Failure> {
        let new = NewAccount {
            contact: &contact(settings),
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
        let (directory, account_url) = (&settings.directory, account.id());
        tracing::info!(
            directory,
            account = account_url,
            "account with a certificate authority made"
        );
        let contact = settings.contact.clone();
        self.keep(&account, KeptAccount { credentials, contact }, store);
        Ok(account)
    }

    fn keep(&mut self, account: &Account, kept: KeptAccount, store: &Store) {
        if let Err(error) = store.keep_account(&kept) {
            tracing::error!(%error, account = account.id(), "an account cannot be kept for the next start");
            self.unkept = Some((account.clone(), kept));
        }
    }

    /// Orders do not fail by that.
    async fn tell_contact(
        &mut self,
        settings: &AcmeAuthority,
        account: &Account,
        mut kept: KeptAccount,
        store: &Store,
    ) {
        match account.update_contacts(&contact(settings)).await {
            Ok(()) => {
                kept.contact.clone_from(&settings.contact);
                self.keep(account, kept, store);
                tracing::info!(
                    account = account.id(),
                    "the certificate authority was told another contact"
                );
            }
            Err(error) => {
                let error = Failure::from(error);
                tracing::warn!(%error, account = account.id(), "the certificate authority was not told another contact");
            }
        }
    }
}

fn contact(settings: &AcmeAuthority) -> Vec<&str> {
    settings.contact.iter().map(String::as_str).collect()
}

fn read(store: &Store) -> Result<Option<KeptAccount>, Failure> {
    store
        .account()
        .map_err(|error| Failure::here(format!("the account: {error}")))
}

/// The account that is kept, if there is one.
pub(super) async fn restored(
    settings: &AcmeAuthority,
    store: &Store,
    advice: &Advice,
) -> Result<Option<Account>, Failure> {
    let Some(kept) = read(store)? else { return Ok(None) };
    let authority = Authority::new(settings, advice)?;
    let builder = Account::builder_with_http(Box::new(authority));
    Ok(Some(builder.from_credentials(kept.credentials).await?))
}
