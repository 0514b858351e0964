//! Why a host could not be asked, and what helps: what was called, what came
//! instead of an answer, and the remedy.

use std::error::Error;

use reprieve_core::time::UnixMillis;
use rustls::{CertificateError, pki_types::UnixTime};
use url::Url;

use super::{explain::facts, output};
use crate::cause;

/// Names of a certificate that are told. Others are seldom of use.
const MAX_NAMES: usize = 5;

/// Of an error of the HTTP client.
pub(super) fn why(base: &Url, error: &(dyn Error + 'static)) -> String {
    if let Some(error) = cause::find::<rustls::Error>(error) {
        return of_tls(base, error);
    }
    let is_plain = base.scheme() == "http";
    match cause::find::<hyper::Error>(error) {
        Some(error) if is_plain && (error.is_parse() || error.is_incomplete_message()) => format!(
            "what listens at {base} answers no plain HTTP; if it speaks TLS, write https:// in \
             the place of http://"
        ),
        Some(_) | None => format!("no host answers at {base}; is `reprieve run` running?"),
    }
}

fn of_tls(base: &Url, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(invalid) => of_certificate(base, invalid),
        // The first bytes that came are none of TLS.
        rustls::Error::InvalidMessage(_) => format!(
            "what listens at {base} does not speak TLS; if plain HTTP is meant, write http:// in \
             the place of https://"
        ),
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_) => format!(
            "no TLS connection to {base} came about: the other side refuses; it must speak TLS \
             1.3, and ask for no certificate of ours"
        ),
        _ => format!("no TLS connection to {base} came about; the host's log may say why"),
    }
}

fn of_certificate(base: &Url, invalid: &CertificateError) -> String {
    let date = |time: &UnixTime| facts::date(UnixMillis(time.as_secs().saturating_mul(1_000)));
    let renew = "give the host a new one (admin.tls) and start it anew; if it is right, this \
                 machine's clock is not";
    match invalid {
        // A signature that does not fit is of somebody else with the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate that {base} shows is of no authority that is trusted here; name the \
             file of the right one with --ca, if it is the right host"
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().take(MAX_NAMES).map(|name| output::plain(bare(name)));
            let names: Vec<_> = names.collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            let asked = expected.to_str();
            format!(
                "the certificate that {base} shows is for {names} and not for {asked}; call the \
                 host by a name of its certificate, or give it one for this name"
            )
        }
        CertificateError::NotValidForName => format!(
            "the certificate that {base} shows is for another name; call the host by a name of \
             its certificate, or give it one for this name"
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate that {base} shows expired on {}; {renew}", date(not_after))
        }
        CertificateError::Expired => {
            format!("the certificate that {base} shows has expired; {renew}")
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the certificate that {base} shows is not valid before {}; {renew}",
            date(not_before)
        ),
        CertificateError::NotValidYet => {
            format!("the certificate that {base} shows is not valid yet; {renew}")
        }
        other => format!(
            "the certificate that {base} shows cannot be accepted: {}; give the host another one \
             (admin.tls)",
            output::plain(&other.to_string())
        ),
    }
}

/// Of `DnsName("example.com")` the name.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').map_or(presented, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

#[cfg(test)]
mod tests;
