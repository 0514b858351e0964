//! The section `[telemetry]`: where spans go, if anywhere.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use url::Url;

use super::sections::is_plain_http;

/// Headers that the collector may ask for.
const MAX_HEADERS: usize = 32;

/// What the OTLP specification puts behind the collector's URL for spans.
const TRACES_PATH: &str = "/v1/traces";

/// Spans of what happened to a request, for a collector of OpenTelemetry; see
/// `docs/tracing.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// A collector that takes OTLP over HTTP, an http or https URL; `/v1/traces`
    /// is put behind it. Default: no spans are made.
    #[schemars(with = "Option<String>")]
    pub otlp_endpoint: Option<Url>,
    /// A file of headers that the collector asks for, a token for example, relative
    /// to this file: `name: value`, one a line.
    pub otlp_headers_file: Option<PathBuf>,
    /// The share of traces that is sent, 0.0 to 1.0. A request that belongs to a
    /// caller's trace is sent if the caller's is.
    pub sample_ratio: SampleRatio,
    /// What [`TelemetryConfig::otlp_headers_file`] holds.
    #[serde(skip)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl TelemetryConfig {
    /// Where spans are sent. None: nowhere.
    pub fn traces_url(&self) -> Option<String> {
        let endpoint = self.otlp_endpoint.as_ref()?.as_str().trim_end_matches('/');
        Some(format!("{endpoint}{TRACES_PATH}"))
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match &self.otlp_endpoint {
            Some(url) if !is_plain_http(url) => {
                let message = format!(
                    "{}://{} is not valid: must be an http or https URL without a name, a query or a fragment; secrets go into otlp_headers_file",
                    url.scheme(),
                    url.host_str().unwrap_or_default()
                );
                Err(("otlp_endpoint", message))
            }
            None if self.otlp_headers_file.is_some() => Err((
                "otlp_headers_file",
                "there is nobody to show it to: set otlp_endpoint".into(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads the file of headers. The error names the line, and no value.
    pub(super) fn read_headers(&mut self) -> Result<(), String> {
        let Some(file) = &self.otlp_headers_file else { return Ok(()) };
        self.headers = headers_of(file)?;
        Ok(())
    }
}

fn headers_of(file: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {shown}: {error}; name an existing file"))?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let headers: Vec<_> = lines
        .map(|(line, number)| {
            header(line).ok_or_else(|| {
                format!("line {number} of {shown} is no header: write it `name: value`")
            })
        })
        .collect::<Result<_, _>>()?;
    if headers.len() > MAX_HEADERS {
        return Err(format!("{shown} holds {} headers: at most {MAX_HEADERS}", headers.len()));
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

/// A share of traces, 0.0 to 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SampleRatio(f64);

impl SampleRatio {
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for SampleRatio {
    fn default() -> Self {
        Self(1.0)
    }
}

impl<'de> Deserialize<'de> for SampleRatio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ratio = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&ratio) {
            return Ok(Self(ratio));
        }
        Err(D::Error::custom(format_args!("{ratio} is not valid: must be 0.0 to 1.0")))
    }
}

impl JsonSchema for SampleRatio {
    fn schema_name() -> Cow<'static, str> {
        "SampleRatio".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0.0, "maximum": 1.0})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_below_the_endpoint() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("https://otel.example/of/acme/", "https://otel.example/of/acme/v1/traces"),
        ] {
            let otlp_endpoint = Some(endpoint.parse().unwrap());
            let config = TelemetryConfig { otlp_endpoint, ..TelemetryConfig::default() };
            assert_eq!(config.traces_url().as_deref(), Some(expected), "{endpoint}");
        }
        assert_eq!(TelemetryConfig::default().traces_url(), None);
    }

    #[test]
    fn headers_are_lines_and_no_refusal_shows_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, "authorization: Bearer a:b\n\nx-scope: acme\n").unwrap();
        let headers = headers_of(&file).unwrap();
        let shown: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(shown, [("authorization", &b"Bearer a:b"[..]), ("x-scope", b"acme")]);
        assert!(!format!("{headers:?}").contains("a:b"), "it is a secret");

        for (case, text, part) in [
            ("no colon", "x: y\nBearer hidden\n", "line 2 of"),
            ("no name", "hid den: hidden\n", "line 1 of"),
            ("no value of a header", "a: hidden\u{1}\n", "line 1 of"),
            ("too many", &"a: hidden\n".repeat(MAX_HEADERS + 1), "at most 32"),
        ] {
            std::fs::write(&file, text).unwrap();
            let refusal = headers_of(&file).expect_err(case);
            assert!(refusal.contains(part), "{case}: {refusal}");
            assert!(!refusal.contains("hidden"), "{case}: {refusal}");
        }
        assert!(headers_of(&folder.path().join("none")).is_err());
    }
}
