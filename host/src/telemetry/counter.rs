//! Counters and histograms that one thread writes and any thread reads: no lock and no shared cache line on the path of
//! a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One thread's part of a count. The thread it was made for is its only writer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Not `fetch_add`: there is one writer, and a locked instruction costs five times as much.
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, count: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_sub(count), Ordering::Relaxed);
    }

    /// Counts one for as long as what is given lives.
    pub(crate) fn hold(&self) -> Held {
        self.add(1);
        Held(self.clone())
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that is counted until it is dropped, on the thread whose counter it is.
#[derive(Debug)]
pub(crate) struct Held(Counter);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// Upper bounds of buckets in seconds, those of OpenTelemetry's HTTP conventions with two finer ones in front: a gateway's
/// own work is far below their first, 5 ms.
pub(crate) const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// One thread's part of a distribution of durations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram(Arc<HistogramCells>);

#[derive(Debug, Default)]
struct HistogramCells {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(BUCKETS.len());
        let bump =
            |cell: &AtomicU64, by: u64| cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        bump(&self.0.buckets[bucket], 1);
        bump(&self.0.sum_us, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds this part to a whole: counts by bucket, and the sum in seconds.
    pub(crate) fn add_to(&self, buckets: &mut [u64; BUCKETS.len() + 1], sum: &mut f64) {
        for (whole, part) in buckets.iter_mut().zip(&self.0.buckets) {
            *whole += part.load(Ordering::Relaxed);
        }
        *sum += self.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_a_panic_is_counted_no_longer() {
        let open = Counter::default();
        let held = std::panic::AssertUnwindSafe(open.hold());
        assert_eq!(open.get(), 1);
        let ended = std::panic::catch_unwind(move || {
            let _held = held;
            panic!("the connection's task");
        });
        assert!(ended.is_err());
        assert_eq!(open.get(), 0);
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(5));
        histogram.record(Duration::from_secs(60));

        let (mut buckets, mut sum) = ([0; BUCKETS.len() + 1], 0.0);
        histogram.add_to(&mut buckets, &mut sum);

        assert_eq!((buckets[2], buckets[BUCKETS.len()]), (1, 1));
        assert!((sum - 60.005).abs() < 1e-9);
    }
}
