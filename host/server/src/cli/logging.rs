//! The host's own log, on standard error.

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{LogConfig, LogFormat},
    telemetry::traces::{self, Traces},
};

/// Starts logging, and makes spans if somebody takes them. The second call in one
/// process does nothing.
pub(crate) fn start(config: &LogConfig, traces: Option<&Traces>) {
    // An unreadable RUST_LOG is no reason not to log.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.level.as_str()));
    // Spans are for the collector alone.
    let filter = filter.and(filter_fn(|metadata| metadata.target() != traces::TARGET));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_ansi(ansi).with_filter(filter).boxed()
        }
        LogFormat::Json => log.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let spans = traces.map(Traces::layer);
    let started = tracing_subscriber::registry().with(log).with(spans).try_init();
    // Only a test harness has one already.
    drop(started);
}
