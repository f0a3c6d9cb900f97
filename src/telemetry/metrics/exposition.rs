//! One scrape: what is registered is what is shown.

use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};

use super::names::Metric;

#[derive(Debug, Default)]
pub struct Exposition(Registry);

impl Exposition {
    /// One series, or all of a histogram's. A second one of the same name and labels is left out.
    pub fn add(&self, series: impl Collector + 'static) {
        if let Err(error) = self.0.register(Box::new(series)) {
            log::debug!("a metric was left out: {error}");
        }
    }

    /// A number that is only known when it is asked for. `labels` as in [`Metric::labels`].
    pub fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        let series = metric.gauge(labels);
        series.set(value);
        self.add(series);
    }

    /// The same of a metric that only grows.
    pub fn set_counter(&self, metric: &Metric, labels: &[&str], value: f64) {
        let series = metric.float_counter(labels);
        series.inc_by(value.max(0.0));
        self.add(series);
    }

    /// The text, families by name.
    pub fn render(&self) -> String {
        let families = self.0.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| format!("# the metrics can't be written: {error}\n"))
    }
}
