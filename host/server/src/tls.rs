//! TLS: how the host makes sure of whom it speaks to, and how it shows who it is.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

/// Why a file does not tell whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthorities {
    #[error("cannot read {}; it must be a readable file of certificates", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is not PEM", file.display())]
    Malformed { file: PathBuf, source: pem::Error },
    #[error(
        "{} holds no certificate: must be PEM, with lines -----BEGIN CERTIFICATE-----",
        file.display()
    )]
    Empty { file: PathBuf },
    /// Counted from 1.
    #[error("certificate {number} in {} is not valid", file.display())]
    Invalid { file: PathBuf, number: usize, source: rustls::Error },
}

/// Why files do not tell who the host is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidIdentity {
    #[error("{} holds no {what} in PEM that can be read", file.display())]
    Unreadable { what: &'static str, file: PathBuf, source: pem::Error },
    #[error("{} and {} do not belong together, or cannot be used", cert.display(), key.display())]
    NotUsable { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// Speaks TLS 1.3 as who is named in that certificate. Both files are PEM.
pub(crate) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, InvalidIdentity> {
    let unreadable = |what, file: &Path| {
        let file = file.to_owned();
        move |source| InvalidIdentity::Unreadable { what, file, source }
    };
    let no_certificate = || unreadable("certificate", cert);
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(no_certificate())?;
    if chain.is_empty() {
        return Err(no_certificate()(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("private key", key))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|source| InvalidIdentity::NotUsable {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
            trusting(RootCertStore::empty())
        }
    }
}

/// Trusts the authorities in a PEM file, and nobody else.
pub(crate) fn config_trusting(file: &Path) -> Result<ClientConfig, InvalidAuthorities> {
    Ok(trusting(authorities(file)?))
}

/// Reads the certificates of authorities from a PEM file; whatever else is in it
/// is passed over.
pub(crate) fn authorities(file: &Path) -> Result<RootCertStore, InvalidAuthorities> {
    let file = || file.to_owned();
    let text = std::fs::read(file())
        .map_err(|source| InvalidAuthorities::Unreadable { file: file(), source })?;
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(&text).enumerate() {
        let certificate =
            certificate.map_err(|source| InvalidAuthorities::Malformed { file: file(), source })?;
        roots.add(certificate).map_err(|source| InvalidAuthorities::Invalid {
            file: file(),
            number: at + 1,
            source,
        })?;
    }
    if roots.is_empty() { Err(InvalidAuthorities::Empty { file: file() }) } else { Ok(roots) }
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
