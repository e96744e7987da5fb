//! Keys that live elsewhere: a URL or a file, read in the background, the last good set kept.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::key::Key;

/// How often a URL is fetched where its `Cache-Control` says nothing, and the bounds of what it may say.
const REFRESH: Duration = Duration::from_secs(300);
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(3600);
/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Early fetches for unknown key ids are this far apart, whatever clients send.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// A set that nobody holds is kept this long, so that a reload finds it fetched.
const UNUSED: Duration = Duration::from_secs(600);
/// One fetch takes no longer and is no larger than this.
const FETCH_TIME: Duration = Duration::from_secs(5);
const FETCH_SIZE: usize = 1 << 20;

/// All remote key sets in use, one for each place.
#[derive(Debug)]
pub(crate) struct KeySets {
    background: Option<Handle>,
    sets: Mutex<HashMap<Place, Arc<RemoteKeys>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Url(Uri),
    File(PathBuf),
}

/// One key set that is read again and again.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    keys: ArcSwapOption<KeyList>,
    /// Counts finished reads, good or bad.
    reads: watch::Sender<u64>,
    /// Asks the reader to read now, or to see that nobody is left.
    wanted: Arc<Notify>,
    /// When the last early read was asked for, and how many reads there had been by then.
    last_early: Mutex<Option<(Instant, u64)>>,
    opened: Mutex<Instant>,
}

pub(super) struct KeyList(Vec<Key>);

impl std::ops::Deref for KeyList {
    type Target = [Key];

    fn deref(&self) -> &[Key] {
        &self.0
    }
}

// Keys may be secrets.
impl std::fmt::Debug for KeyList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl KeySets {
    pub(in crate::wasm::capabilities) fn new(background: Option<Handle>) -> KeySets {
        KeySets {
            background,
            sets: Mutex::default(),
        }
    }

    /// The key set at a URL; the first to ask starts fetching it.
    pub(super) fn url(&self, url: &str) -> Result<Arc<RemoteKeys>, String> {
        let uri: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(self.at(Place::Url(uri))),
            _ => Err(format!("`{url}` must begin with https:// or http:// and name a host")),
        }
    }

    /// The key set in a file, which must be good at the start: a file is there or it is a mistake.
    pub(super) fn file(&self, path: &str) -> Result<Arc<RemoteKeys>, String> {
        let set = self.at(Place::File(PathBuf::from(path)));
        if set.keys.load().is_none() {
            set.keys.store(Some(Arc::new(read_file(path.as_ref())?)));
        }
        Ok(set)
    }

    pub(in crate::wasm::capabilities) fn forget_unused(&self) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |set: &RemoteKeys| set.opened.lock().is_ok_and(|opened| opened.elapsed() < UNUSED);
        sets.retain(|_, set| Arc::strong_count(set) > 1 || is_recent(set));
    }

    fn at(&self, place: Place) -> Arc<RemoteKeys> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let set = Arc::new(RemoteKeys {
                keys: ArcSwapOption::empty(),
                reads: watch::Sender::new(0),
                wanted: Arc::default(),
                last_early: Mutex::default(),
                opened: Mutex::new(Instant::now()),
            });
            if let Some(background) = &self.background {
                background.spawn(keep_reading(place.clone(), Arc::downgrade(&set)));
            }
            set
        };
        let set = sets.entry(place.clone()).or_insert_with(start).clone();
        if let Ok(mut opened) = set.opened.lock() {
            *opened = Instant::now();
        }
        set
    }
}

impl RemoteKeys {
    /// The last good set, once there is one.
    pub(super) fn keys(&self) -> Option<Arc<KeyList>> {
        self.keys.load_full()
    }

    /// Waits, for so long at most, for the read under way, or for an early one if it is time for that; returns at once
    /// while cooling down.
    pub(super) async fn refreshed(&self, patience: Duration) {
        let mut reads = self.reads.subscribe();
        if self.keys.load().is_some() {
            let mut last = self.last_early.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = *reads.borrow();
            match *last {
                // Somebody else has asked, and it is still under way.
                Some((_, before)) if before == seen => {}
                Some((asked, _)) if asked.elapsed() < COOL_DOWN => return,
                _ => {
                    *last = Some((Instant::now(), seen));
                    self.wanted.notify_one();
                }
            }
        } else if *reads.borrow() > 0 {
            // It has been tried, in vain, and will be again.
            return;
        }
        let _ = timeout(patience.min(FETCH_TIME), reads.changed()).await;
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.wanted.notify_one();
    }
}

async fn keep_reading(place: Place, set: Weak<RemoteKeys>) {
    let client = match &place {
        Place::Url(_) => client(),
        Place::File(_) => None,
    };
    let mut failed_before = false;
    loop {
        let (read, next) = match &place {
            Place::Url(url) => match fetch(client.as_ref(), url).await {
                Ok((keys, next)) => (Ok(keys), next),
                Err(error) => (Err(error), RETRY),
            },
            Place::File(path) => (read_file(path), LOOK),
        };
        let Some(set) = set.upgrade() else { return };
        match read {
            Ok(keys) => {
                if failed_before {
                    tracing::info!(%place, "keys can be read again");
                }
                failed_before = false;
                set.keys.store(Some(Arc::new(keys)));
            }
            Err(error) => {
                if !failed_before {
                    tracing::warn!(%place, error, kept = set.keys.load().is_some(), "keys cannot be read");
                }
                failed_before = true;
            }
        }
        set.reads.send_modify(|reads| *reads += 1);
        // While it waits the reader holds no strong reference, so that a set nobody uses ends here.
        let wanted = set.wanted.clone();
        drop(set);
        let _ = timeout(next, wanted.notified()).await;
    }
}

type HttpsClient =
    Client<hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>, Empty<Bytes>>;

fn client() -> Option<HttpsClient> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
    match connector {
        Ok(connector) => {
            let connector = connector.https_or_http().enable_http1().build();
            Some(Client::builder(TokioExecutor::new()).build(connector))
        }
        Err(error) => {
            tracing::warn!(%error, "no root certificates: keys cannot be fetched");
            None
        }
    }
}

async fn fetch(client: Option<&HttpsClient>, url: &Uri) -> Result<(KeyList, Duration), String> {
    let client = client.ok_or("this machine has no root certificates")?;
    let request = Request::get(url.clone()).header(header::ACCEPT, "application/jwk-set+json, application/json");
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let fetched = timeout(FETCH_TIME, async {
        let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("it answered {}", response.status()));
        }
        let next = freshness(response.headers());
        let body = Limited::new(response.into_body(), FETCH_SIZE).collect().await;
        Ok((body.map_err(|error| error.to_string())?.to_bytes(), next))
    });
    let (body, next) = fetched
        .await
        .map_err(|_| format!("no answer in {} s", FETCH_TIME.as_secs()))??;
    let keys = Key::set(std::str::from_utf8(&body).map_err(|_| "it is not UTF-8")?)?;
    Ok((KeyList(keys), next))
}

/// `max-age` of `Cache-Control`, within bounds.
fn freshness(headers: &http::HeaderMap) -> Duration {
    let control = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let age = control
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok());
    age.map_or(REFRESH, Duration::from_secs).clamp(SOONEST, LATEST)
}

fn read_file(path: &std::path::Path) -> Result<KeyList, String> {
    let json = std::fs::read_to_string(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    Key::set(&json)
        .map(KeyList)
        .map_err(|error| format!("`{}`: {error}", path.display()))
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Url(url) => write!(f, "{url}"),
            Place::File(path) => write!(f, "{}", path.display()),
        }
    }
}
