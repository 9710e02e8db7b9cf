//! A recorder that adds up the metrics.

use std::collections::BTreeMap;

use metrics::{LocalRecorderGuard, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// The metrics of this thread so far: counters and gauges with their values, and histograms with
/// the number of their values. The recording ends when the guard is dropped.
pub(crate) struct Metered {
    snapshotter: Snapshotter,
    totals: BTreeMap<String, f64>,
    units: BTreeMap<String, (Option<Unit>, bool)>,
}

/// The recorder must outlive the guard that installs it for the thread.
pub(crate) fn recorder() -> DebuggingRecorder {
    DebuggingRecorder::new()
}

impl Metered {
    pub(crate) fn begin(recorder: &DebuggingRecorder) -> (Self, LocalRecorderGuard<'_>) {
        let snapshotter = recorder.snapshotter();
        let this = Self { snapshotter, totals: BTreeMap::new(), units: BTreeMap::new() };
        (this, metrics::set_default_local_recorder(recorder))
    }

    /// A metric by name and labels, such as `name{a=1,b=2}`. 0 if there is no such metric.
    pub(crate) fn value(&mut self, metric: &str) -> f64 {
        self.read();
        self.totals.get(metric).copied().unwrap_or_default()
    }

    /// The sum over all labels of a name.
    pub(crate) fn sum(&mut self, name: &str) -> f64 {
        self.of(name).values().sum()
    }

    /// All metrics with a name, by their labels.
    pub(crate) fn of(&mut self, name: &str) -> BTreeMap<String, f64> {
        self.read();
        let labels = |metric: &str| metric.strip_prefix(name)?.strip_prefix('{').map(str::to_owned);
        self.totals.iter().filter_map(|(metric, value)| Some((labels(metric)?, *value))).collect()
    }

    /// The unit of every name, and whether it has a description.
    pub(crate) fn described(&mut self) -> &BTreeMap<String, (Option<Unit>, bool)> {
        self.read();
        &self.units
    }

    /// All metrics, as text.
    pub(crate) fn text(&mut self) -> String {
        self.read();
        format!("{:#?}", self.totals)
    }

    /// Adds up the metrics. A snapshot resets the recorder's values.
    fn read(&mut self) {
        for (key, unit, description, value) in self.snapshotter.snapshot().into_vec() {
            let key = key.key();
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let metric = format!("{}{{{}}}", key.name(), labels.join(","));
            *self.totals.entry(metric).or_default() += match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => {
                    assert!(values.iter().all(|value| (0.0..60.0).contains(&value.into_inner())));
                    values.len() as f64
                }
            };
            self.units.insert(key.name().to_owned(), (unit, description.is_some()));
        }
    }
}
