//! Waiting for a fact instead of for a time.

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen: far longer than it takes, so that a busy machine does not
/// fail a good gateway.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `check` holds; panics with `fact` after [`PATIENCE`].
///
/// ```no_run
/// # async fn test(gateway: portcullis_tests::Gateway) {
/// portcullis_tests::eventually("it is ready", async || gateway.admin("/ready").await.status() == 200).await;
/// # }
/// ```
pub async fn eventually(fact: &str, mut check: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !check().await {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {fact}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What `future` gives; panics with `what` when it takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("took longer than {PATIENCE:?}: {what}"),
    }
}
