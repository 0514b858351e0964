//! What is asked about policies. A component is named by its SHA-256 in hex.

use reprieve_core::ids::Digest;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// About an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The component's SHA-256, in hex: refused if other bytes arrive.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) component: Option<Digest>,
    /// Why, for whoever reads the audit log. At most 512 bytes.
    #[serde(default)]
    #[param(required = false, max_length = 512)]
    pub(super) why: String,
}

/// A component to be loaded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LoadPolicy)]
pub(super) struct LoadNamed {
    /// Of a file in `policy.folder`, with or without `.wasm`; or of a built-in
    /// policy, which goes before it.
    pub(super) name: String,
    /// Why, for whoever reads the audit log. At most 512 bytes.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub(super) why: String,
}

/// A component to be put in force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivatePolicy)]
pub(super) struct Activate {
    /// Its SHA-256, in hex.
    #[schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) component: Digest,
    /// Why, for whoever reads the history. At most 512 bytes.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub(super) why: String,
}

/// The policy before is wanted back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollBackPolicy)]
pub(super) struct RollBack {
    /// Why, for whoever reads the history. At most 512 bytes.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub(super) why: String,
}
