//! Makes families of metrics. Their names and labels are constants of this crate.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, core::Collector,
};

/// Before every name of ours.
pub(crate) const PREFIX: &str = "reprieve";

fn named(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

pub(crate) fn counter(name: &str, help: &str) -> IntCounter {
    valid(IntCounter::with_opts(named(name, help)))
}

pub(crate) fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    valid(IntCounterVec::new(named(name, help), labels))
}

/// `bounds`: upper ones, in seconds.
pub(crate) fn histograms(name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::from(named(name, help)).buckets(bounds.to_vec());
    valid(HistogramVec::new(opts, labels))
}

pub(crate) fn gauge(name: &str, help: &str) -> IntGauge {
    valid(IntGauge::with_opts(named(name, help)))
}

pub(crate) fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    valid(IntGaugeVec::new(named(name, help), labels))
}

/// Gauges of parts, where 1 is all.
pub(crate) fn ratios(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    valid(GaugeVec::new(named(name, help), labels))
}

/// A gauge of seconds.
pub(crate) fn seconds(name: &str, help: &str) -> Gauge {
    valid(Gauge::with_opts(named(name, help)))
}

/// The same, under a name that every process's metrics have.
pub(crate) fn of_process(name: &str, help: &str) -> Gauge {
    valid(Gauge::with_opts(Opts::new(name, help)))
}

/// Puts it into the registry, and gives it back to count with.
pub(crate) fn registered<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> C {
    valid(registry.register(Box::new(family.clone())));
    family
}

#[allow(
    clippy::expect_used,
    reason = "names and labels are constants: one that is not valid, or there twice, stops every \
              test before it stops a host"
)]
fn valid<T>(made: prometheus::Result<T>) -> T {
    made.expect("names and labels of metrics are valid, and there once")
}
