//! Spans over OTLP, for those who set `telemetry.otlp_endpoint`.
//!
//! Spans are those of the crate `tracing` with the target [`TARGET`], made by
//! [`spans`] alone. They are a layer beside the host's log, each with its own
//! filter: whatever is logged, spans are sent, and the log shows none of them.
//! Where no endpoint is set no layer wants them, and the places where spans would
//! be made cost a comparison.
//!
//! - [`spans`]: which there are, and their attributes; `docs/tracing.md` names them all
//! - [`context`]: which trace a message belongs to
//! - [`collector`]: how they are sent

mod collector;
pub(crate) mod context;
pub(crate) mod spans;

use std::time::Duration;

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use self::collector::Collector;
use crate::config::TelemetryConfig;

/// Of every span that is sent, and of nothing else.
pub(crate) const TARGET: &str = "reprieve::trace";

/// What the collector calls this program.
const SERVICE: &str = "reprieve";

/// Spans that wait to be sent. More are dropped: requests wait for no collector.
const MAX_WAITING: usize = 8_192;

/// Spans in one message.
const MAX_BATCH: usize = 512;

/// How long spans are gathered for one message.
const GATHER: Duration = Duration::from_secs(1);

/// What sending one message may take, everything in it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What the last messages may take when the host stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans to a collector.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// None: they are switched off. Must be called where Tokio runs.
    pub(crate) fn open(config: &TelemetryConfig) -> Result<Option<Self>, ExporterBuildError> {
        let Some(url) = config.traces_url() else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(&config.headers, SEND_TIMEOUT))
            .with_endpoint(url)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SEND_TIMEOUT)
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_WAITING)
            .with_max_export_batch_size(MAX_BATCH)
            .with_scheduled_delay(GATHER)
            .build();
        let share = Sampler::TraceIdRatioBased(config.sample_ratio.get());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(
                BatchSpanProcessor::builder(exporter).with_batch_config(batches).build(),
            )
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_resource(
                Resource::builder_empty()
                    .with_service_name(SERVICE)
                    .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                    .build(),
            )
            .build();
        Ok(Some(Self(provider)))
    }

    /// To be put beside the log.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET))
    }

    /// Sends what waits, for [`FLUSH_TIMEOUT`] at most.
    pub(crate) async fn finish(self) {
        // It waits for a thread of its own.
        let flush =
            tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_TIMEOUT));
        match flush.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::error!(%error, "the last spans were not sent"),
        }
    }
}
