//! Where account keys and certificates are kept: a folder that a restart finds again, and that several gateways may share.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::config::resolved::Acme;
use crate::tls::Certificate;

/// The files of one authority in a store.
///
/// Each is written beside its place and then moved there, so that whoever reads it sees all of it. A certificate's file
/// holds its key as well: the two cannot be of different ages.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// The name of the account's file.
    account: String,
}

/// An account, and what the authority was told of how to reach its holder.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAccount {
    #[serde(flatten)]
    pub(super) credentials: AccountCredentials,
    #[serde(default)]
    pub(super) contact: Vec<String>,
}

/// An order whose certificate may have been issued, and the certificate's key in PEM.
#[derive(Serialize, Deserialize)]
pub(super) struct FinalizedOrder {
    pub(super) url: String,
    pub(super) key: String,
}

/// How long it is waited after a failure, also by a gateway that starts meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pause {
    /// In milliseconds since 1970.
    pub(super) until: u64,
    /// The next ones.
    pub(super) after_refusal: Duration,
    pub(super) after_silence: Duration,
    /// What was ordered: with other settings it is worth a try.
    pub(super) settings: String,
}

/// An order that was finalized longer ago is of no use.
const LONGEST_KEPT: Duration = Duration::from_hours(24);

const LOCK: &str = "lock";

/// How often it is seen whether another order has ended.
const LOOK: Duration = Duration::from_millis(500);

impl Store {
    pub(super) fn of(settings: &Acme) -> Store {
        let directory = &settings.authority.directory;
        // Two directories of one host, such as those of production and staging, are two authorities.
        let host = directory
            .trim_start_matches("https://")
            .split('/')
            .next()
            .unwrap_or_default();
        let fine = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '_'
            }
        };
        let name: String = host.chars().map(fine).collect();
        // An account that is bound to another one is another one.
        let account = match &settings.authority.external_account {
            None => "account.json".to_owned(),
            Some(external) => format!("account-{}.json", short_digest(&external.key_id)),
        };
        Store {
            account,
            folder: settings
                .store
                .folder
                .join(format!("{name}-{}", short_digest(directory))),
        }
    }

    /// Makes the folder, readable by its owner alone, and tries whether a file can be written there.
    pub(super) fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.lock_file().map(drop)?;
        let probe = self.unfinished("probe");
        write_new(&probe, b"probe")?;
        fs::remove_file(probe)
    }

    /// The certificate for these domains that was kept last. None where there is none that can be used.
    pub(super) fn certificate(&self, domains: &[String]) -> Option<Certificate> {
        let path = self.certificate_path(domains);
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "a certificate of before cannot be read");
                }
                return None;
            }
        };
        match Certificate::from_pem(&pem, &pem) {
            Ok(certificate) if domains.iter().all(|domain| certificate.covers(domain)) => Some(certificate),
            Ok(_) => {
                tracing::warn!(path = %path.display(), "a certificate of before is for other domains");
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a certificate of before cannot be used");
                None
            }
        }
    }

    /// All that are kept and can be used, for whichever domains.
    pub(super) fn certificates(&self) -> impl Iterator<Item = Certificate> + use<> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
            .filter_map(|path| fs::read(path).ok())
            .filter_map(|pem| Certificate::from_pem(&pem, &pem).ok())
    }

    /// When the certificate for these domains was kept last.
    pub(super) fn certificate_changed(&self, domains: &[String]) -> Option<SystemTime> {
        fs::metadata(self.certificate_path(domains))
            .and_then(|about| about.modified())
            .ok()
    }

    /// Keeps a certificate, with the chain to its issuer, and its key.
    pub(super) fn keep_certificate(&self, domains: &[String], chain: &str, key: &str) -> io::Result<()> {
        let path = self.certificate_path(domains);
        self.write(&path, format!("{}\n{}\n", key.trim_end(), chain.trim_end()).as_bytes())
    }

    /// The order for these domains that was finalized not long ago, where its certificate was not kept.
    pub(super) fn order(&self, domains: &[String]) -> Option<FinalizedOrder> {
        let path = self.order_path(domains);
        let written = fs::metadata(&path).and_then(|about| about.modified()).ok()?;
        if written.elapsed().is_ok_and(|age| age > LONGEST_KEPT) {
            self.forget_order(domains);
            return None;
        }
        serde_json::from_slice(&fs::read(&path).ok()?).ok()
    }

    /// Keeps an order that is to be finalized.
    pub(super) fn keep_order(&self, domains: &[String], order: &FinalizedOrder) -> io::Result<()> {
        self.write(&self.order_path(domains), &serde_json::to_vec(order)?)
    }

    /// There is a certificate from it, or will never be.
    pub(super) fn forget_order(&self, domains: &[String]) {
        let _ = fs::remove_file(self.order_path(domains));
    }

    /// The pause after the last failure for these domains.
    pub(super) fn pause(&self, domains: &[String]) -> Option<Pause> {
        serde_json::from_slice(&fs::read(self.pause_path(domains)).ok()?).ok()
    }

    pub(super) fn keep_pause(&self, domains: &[String], pause: &Pause) -> io::Result<()> {
        self.write(&self.pause_path(domains), &serde_json::to_vec(pause)?)
    }

    /// There is a certificate.
    pub(super) fn forget_pause(&self, domains: &[String]) {
        let _ = fs::remove_file(self.pause_path(domains));
    }

    fn pause_path(&self, domains: &[String]) -> PathBuf {
        self.certificate_path(domains).with_extension("pause")
    }

    fn order_path(&self, domains: &[String]) -> PathBuf {
        self.certificate_path(domains).with_extension("order")
    }

    /// The account that was kept last.
    pub(super) fn account(&self) -> io::Result<Option<KeptAccount>> {
        let path = self.folder.join(&self.account);
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|_| {
                // The text of serde's error may quote the key.
                let text = format!(
                    "`{}` is damaged; without it there will be a new account",
                    path.display()
                );
                io::Error::other(text)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps an account's key and its URL.
    pub(super) fn keep_account(&self, account: &KeptAccount) -> io::Result<()> {
        self.write(&self.folder.join(&self.account), &serde_json::to_vec(account)?)
    }

    /// Waits until no other order is under way in this store, of this gateway or of another one. The lock is let go when
    /// it is dropped, or its process ends.
    pub(super) async fn lock(&self) -> io::Result<File> {
        let file = self.lock_file()?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => sleep(LOOK).await,
                Err(TryLockError::Error(error)) => {
                    // Some network file systems have no locks. Files stay whole without, but two may order at once.
                    tracing::debug!(%error, folder = %self.folder.display(), "no lock");
                    return Ok(file);
                }
            }
        }
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.folder.join(LOCK))
    }

    /// `shop.example-1f3a5b7c.pem`: the same domains in another order are the same certificate.
    fn certificate_path(&self, domains: &[String]) -> PathBuf {
        let mut sorted = domains.to_vec();
        sorted.sort_unstable();
        // A file's name has 255 bytes at most, a domain's 253.
        let first: String = sorted
            .first()
            .into_iter()
            .flat_map(|first| first.chars().take(200))
            .collect();
        self.folder
            .join(format!("{first}-{}.pem", short_digest(&sorted.join(","))))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.unfinished(&path.file_name().unwrap_or_default().to_string_lossy());
        let written = write_new(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        // Or a loss of power could take the new name away.
        File::open(&self.folder)?.sync_all()
    }

    /// A name that no other gateway takes: those in containers have the same process id.
    fn unfinished(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.{:016x}", fastrand::u64(..)))
    }
}

/// A file that its owner alone may read, and that is on the disk.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn short_digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::generate_simple_self_signed;
    use tempfile::TempDir;

    use super::*;

    fn store() -> (TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store {
            folder: folder.path().join("made/by/need"),
            account: "account.json".to_owned(),
        };
        store.prepare().unwrap();
        (folder, store)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_kept_is_found_again_by_its_owner_alone() {
        let (_folder, store) = store();
        let domains = names(&["b.example", "a.example"]);
        assert!(store.certificate(&domains).is_none());
        let made = generate_simple_self_signed(domains.clone()).unwrap();

        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        store.keep_certificate(&domains, &chain, &key).unwrap();

        let found = store.certificate(&names(&["a.example", "b.example"])).unwrap();
        assert_eq!(found.names(), domains);
        assert_eq!(store.certificates().count(), 1);
        let files: Vec<_> = fs::read_dir(&store.folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(files.len(), 2, "the lock and the certificate: {files:?}");
        for entry in files {
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{entry:?}"
            );
        }
        assert_eq!(fs::metadata(&store.folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_damaged_or_for_others_is_not_shown() {
        let (_folder, store) = store();
        let domains = names(&["a.example"]);
        let other = generate_simple_self_signed(names(&["b.example"])).unwrap();
        let (chain, key) = (other.cert.pem(), other.signing_key.serialize_pem());
        store.keep_certificate(&domains, &chain, &key).unwrap();
        assert!(store.certificate(&domains).is_none());

        fs::write(store.certificate_path(&domains), "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(store.certificate(&domains).is_none());

        fs::write(store.folder.join(&store.account), "{\"key_pkcs8\": \"c2VjcmV0\"").unwrap();
        let error = store.account().err().unwrap().to_string();
        assert!(error.contains("is damaged") && !error.contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn an_order_is_kept_for_a_day() {
        let (_folder, store) = store();
        let domains = names(&["a.example"]);
        let order = FinalizedOrder {
            url: "https://ca.example/order/1".to_owned(),
            key: "a key".to_owned(),
        };
        store.keep_order(&domains, &order).unwrap();
        let path = store.order_path(&domains);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(store.order(&names(&["b.example"])).is_none());
        let found = store.order(&domains).unwrap();
        assert_eq!((found.url, found.key), (order.url, order.key));

        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - LONGEST_KEPT - Duration::from_secs(1))
            .unwrap();
        assert!(store.order(&domains).is_none() && !path.exists());
    }

    #[tokio::test]
    async fn one_order_at_a_time() {
        let (_folder, store) = store();
        let first = store.lock().await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(20), store.lock()).await;
        assert!(second.is_err(), "it waits");
        drop(first);
        store.lock().await.unwrap();
    }
}
