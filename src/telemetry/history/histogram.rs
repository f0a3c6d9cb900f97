//! A histogram of durations: few numbers, whatever the traffic.

use std::time::Duration;

/// Upper bounds of the buckets in milliseconds; longer times go into one more bucket. They are close enough together
/// for a p95 on a page, from a connection on the same host to an answer that takes minutes.
const BOUNDS_MS: [f64; 23] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1000.0, 1500.0, 2000.0,
    3000.0, 5000.0, 10_000.0, 30_000.0, 120_000.0,
];

/// The durations of a while, counted by bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Histogram {
    counts: [u32; BOUNDS_MS.len() + 1],
    sum_us: u64,
    max_us: u64,
}

/// The times that half, and 95 of 100, did not exceed. `None` if nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    pub count: u64,
    pub mean_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

impl Histogram {
    pub(super) fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let ms = duration.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let count: u64 = self.counts.iter().copied().map(u64::from).sum();
        if count == 0 {
            return Quantiles::default();
        }
        Quantiles {
            count,
            mean_ms: Some(rounded(self.sum_us as f64 / 1000.0 / count as f64)),
            p50_ms: Some(rounded(self.quantile_ms(0.50, count))),
            p95_ms: Some(rounded(self.quantile_ms(0.95, count))),
        }
    }

    /// Computes a quantile. Values are assumed to be spread evenly within a bucket, and none above the longest that was
    /// seen.
    fn quantile_ms(&self, quantile: f64, count: u64) -> f64 {
        let max_ms = self.max_us as f64 / 1000.0;
        let rank = quantile * count as f64;
        let mut below = 0.0;
        for (index, &in_bucket) in self.counts.iter().enumerate() {
            let in_bucket = f64::from(in_bucket);
            if in_bucket > 0.0 && below + in_bucket >= rank {
                let low = index.checked_sub(1).map_or(0.0, |index| BOUNDS_MS[index]);
                let high = BOUNDS_MS.get(index).copied().unwrap_or(max_ms).min(max_ms);
                return low.min(high) + (high - low).max(0.0) * (rank - below) / in_bucket;
            }
            below += in_bucket;
        }
        max_ms
    }
}

/// Rounds to hundredths: more digits are not known, and only make the JSON longer.
fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_ms: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for ms in values_ms {
            histogram.add(Duration::from_millis(ms));
        }
        histogram
    }

    #[test]
    fn nothing_measured_has_no_quantiles() {
        assert_eq!(Histogram::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn quantiles_are_as_near_as_the_buckets() {
        let found = of(1..=1000).quantiles();
        assert_eq!((found.count, found.mean_ms), (1000, Some(500.5)));
        let (p50, p95) = (found.p50_ms.unwrap(), found.p95_ms.unwrap());
        assert!((490.0..=510.0).contains(&p50), "{p50}");
        assert!((940.0..=960.0).contains(&p95), "{p95}");
    }

    #[test]
    fn no_quantile_is_above_the_longest() {
        for ms in [0, 1, 7, 101, 4_000, 500_000] {
            let found = of([ms]).quantiles();
            assert!(found.p95_ms.unwrap() <= ms as f64, "{ms}: {found:?}");
            assert!(found.p50_ms.unwrap() <= found.p95_ms.unwrap());
        }
        let slow = of([500_000, 600_000]).quantiles();
        assert!(slow.p95_ms.unwrap() > 120_000.0, "beyond the last bound: {slow:?}");
    }

    #[test]
    fn merged_is_as_if_added_to_one() {
        let mut one = of([1, 30, 900]);
        one.merge(&of([5, 7000]));
        assert_eq!(one.quantiles(), of([1, 5, 30, 900, 7000]).quantiles());
    }
}
