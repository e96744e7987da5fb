//! How a certificate authority is talked to: over HTTPS, with limits on what it may send and how long it may take.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::failure::Failure;
use crate::config::resolved::{AcmeAuthority, Roots};

/// One answer takes no longer and is no larger than this.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 1 << 20;

/// What `Retry-After` may ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// What it may ask for where an order is getting on. Some say a day there, and have it done in a minute.
const LONGEST_POLL: Duration = Duration::from_secs(10);

type Https = Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// A certificate authority's HTTPS side.
pub(super) struct Authority {
    client: Https,
    advice: Advice,
}

/// Until when the authority wants to be left alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Advice(Arc<Mutex<Option<Instant>>>);

impl Advice {
    /// What was said last, which is forgotten.
    pub(super) fn take(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, wait: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + wait);
    }
}

impl Authority {
    pub(super) fn new(settings: &AcmeAuthority, advice: &Advice) -> Result<Authority, Failure> {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::here(error.to_string()))?
            .with_root_certificates(trusted(settings.roots.as_ref())?)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        Ok(Authority {
            client: Client::builder(TokioExecutor::new()).build(connector),
            advice: advice.clone(),
        })
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let method = request.method().clone();
        let (answered, advice) = (self.client.request(request), self.advice.clone());
        Box::pin(async move {
            let whole = timeout(PATIENCE, async {
                let (head, body) = answered.await.map_err(|error| Error::Other(error.into()))?.into_parts();
                let body = Limited::new(body, LARGEST).collect().await.map_err(Error::Other)?;
                Ok::<_, Error>((head, body.to_bytes()))
            });
            let late = |_| Error::Other(format!("no answer in {} s", PATIENCE.as_secs()).into());
            let (mut head, body) = whole.await.map_err(late)??;
            let longest = longest_wait(&method, head.status);
            if let Some(wait) = bounded_retry_after(&mut head.headers, longest)
                && is_failure(head.status)
            {
                advice.note(wait);
            }
            Ok(Response::from_parts(head, Full::new(body)).into())
        })
    }
}

fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// What an answer may ask for. An order is asked about by POST, when to renew by GET.
fn longest_wait(method: &Method, status: StatusCode) -> Duration {
    match *method == Method::POST && !is_failure(status) {
        true => LONGEST_POLL,
        false => LONGEST_WAIT,
    }
}

/// What `Retry-After` says, at most the longest; in seconds from then on, so that nobody else adds up what is too much to add.
fn bounded_retry_after(headers: &mut HeaderMap, longest: Duration) -> Option<Duration> {
    let text = headers.remove(header::RETRY_AFTER)?;
    let text = text.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => longest,
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            at.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    let wait = wait.min(longest);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    Some(wait)
}

fn trusted(roots: Option<&Roots>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(Roots(certificates)) => {
            for certificate in certificates.iter() {
                let added = store.add(certificate.clone().into());
                added.map_err(|error| Failure::here(format!("a certificate of `roots` cannot be used: {error}")))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> (Option<Duration>, Option<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, text.parse().unwrap());
        let wait = bounded_retry_after(&mut headers, LONGEST_WAIT);
        let left = headers
            .get(header::RETRY_AFTER)
            .map(|value| value.to_str().unwrap().to_owned());
        (wait, left)
    }

    #[test]
    fn no_authority_makes_us_wait_for_longer_than_a_day() {
        let day = || (Some(LONGEST_WAIT), Some("86400".to_owned()));
        assert_eq!(after("120"), (Some(Duration::from_secs(120)), Some("120".to_owned())));
        assert_eq!(after("18446744073709551615"), day());
        assert_eq!(after("99999999999999999999999"), day());
        assert_eq!(after("Wed, 31 Dec 2200 23:59:59 GMT"), day());
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT").0, Some(Duration::ZERO));
        assert_eq!(after("soon"), (None, None));
        assert_eq!(after(""), (None, None));
    }

    #[test]
    fn an_order_that_is_getting_on_is_looked_at_again_soon() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("86400"));
        assert_eq!(longest_wait(&Method::POST, StatusCode::OK), LONGEST_POLL);
        assert_eq!(bounded_retry_after(&mut headers, LONGEST_POLL), Some(LONGEST_POLL));
        assert_eq!(headers.get(header::RETRY_AFTER).unwrap(), "10");

        // What is refused, and when to renew, may take its time.
        assert_eq!(longest_wait(&Method::POST, StatusCode::TOO_MANY_REQUESTS), LONGEST_WAIT);
        assert_eq!(
            longest_wait(&Method::POST, StatusCode::SERVICE_UNAVAILABLE),
            LONGEST_WAIT
        );
        assert_eq!(longest_wait(&Method::GET, StatusCode::OK), LONGEST_WAIT);
    }
}
