//! TLS: how the host makes sure of whom it speaks to, and how it shows who it is.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    #[error("{} holds no {what} in PEM that can be read", file.display())]
    Unreadable { what: &'static str, file: PathBuf, source: pem::Error },
    #[error("{} holds no certificate in PEM", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} and {} do not belong together, or cannot be used", cert.display(), key.display())]
    NotUsable { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("a certificate in {} cannot be used as a root", file.display())]
    NoRoot { file: PathBuf, source: rustls::Error },
}

/// Speaks TLS 1.3 as who is named in that certificate. Both files are PEM.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsFailure> {
    let certificates = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsFailure::Unreadable {
        what: "private key",
        file: key.to_owned(),
        source,
    })?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(|source| TlsFailure::NotUsable {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Trusts those certificates, and nobody else.
pub(crate) fn trusting(file: &Path) -> Result<ClientConfig, TlsFailure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|source| TlsFailure::NoRoot { file: file.to_owned(), source })?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    let unreadable =
        |source| TlsFailure::Unreadable { what: "certificate", file: file.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(file).map_err(unreadable)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    match certificates.is_empty() {
        true => Err(TlsFailure::NoCertificate { file: file.to_owned() }),
        false => Ok(certificates),
    }
}

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
