//! How the host makes sure of whom it speaks to over https.

use std::sync::LazyLock;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{ClientConfig, RootCertStore};

/// Trusts whom the machine trusts. The machine's certificates take long to read,
/// and do not change.
pub(crate) fn config() -> ClientConfig {
    static CONFIG: LazyLock<ClientConfig> = LazyLock::new(read);
    CONFIG.clone()
}

/// Without any certificates on the machine, https addresses fail one by one and
/// http ones work.
fn read() -> ClientConfig {
    match ClientConfig::builder().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no root certificates found; nobody can be reached over https");
            ClientConfig::builder()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    }
}
