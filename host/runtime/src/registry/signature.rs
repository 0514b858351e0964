//! Who vouches for a component: detached signatures in minisign's format, as
//! `minisign -Sm policy.wasm` makes them.

use minisign_verify::{PublicKey, Signature};

/// The longest signature file that is looked at; one has some 300 bytes.
pub const MAX_SIGNATURE_BYTES: usize = 4 << 10;

/// A key that the operator trusts.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    text: String,
    key: PublicKey,
}

/// The text is no public key.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is no public key of minisign; it is the second line of the .pub file, and begins with \"RW\""
)]
pub struct NoKey {
    text: String,
    source: minisign_verify::Error,
}

/// Why a component's origin is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureRefused {
    #[error(
        "it is not signed, and policy.require_signature is on; sign it with `minisign -Sm` and put the .minisig file beside it"
    )]
    Missing,
    #[error("its signature cannot be read; it is the .minisig file that `minisign -Sm` writes")]
    Unreadable { source: minisign_verify::Error },
    #[error(
        "its signature is by none of the {keys} keys in policy.keys, or the component was changed after it was signed"
    )]
    Wrong { keys: usize, source: minisign_verify::Error },
    #[error(
        "policy.require_signature is on and policy.keys names no key; name those that you trust"
    )]
    NoKeys,
}

/// Whose signature a component carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    By {
        key: String,
    },
    Unsigned,
    /// It has a signature, and the operator named no key to check it with.
    Unchecked,
}

impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By { key } => write!(f, "signed by {key}"),
            Self::Unsigned => f.write_str("not signed"),
            Self::Unchecked => f.write_str("signed; policy.keys names no key to check it with"),
        }
    }
}

impl TrustedKey {
    /// Takes the key's line in base64, without the comment.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let text = text.trim().to_owned();
        match PublicKey::from_base64(&text) {
            Ok(key) => Ok(Self { text, key }),
            Err(source) => Err(NoKey { text, source }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A signature that is there must be right, whether one is required or not.
pub fn check_signature(
    bytes: &[u8],
    signature: Option<&str>,
    keys: &[TrustedKey],
    required: bool,
) -> Result<Signed, SignatureRefused> {
    let Some(text) = signature else {
        return if required { Err(SignatureRefused::Missing) } else { Ok(Signed::Unsigned) };
    };
    let signature =
        Signature::decode(text).map_err(|source| SignatureRefused::Unreadable { source })?;
    let mut refused = minisign_verify::Error::UnexpectedKeyId;
    for TrustedKey { text, key } in keys {
        // Signatures of the older kind, which hash nothing, are fine, too: a
        // component is in memory whole.
        match key.verify(bytes, &signature, true) {
            Ok(()) => return Ok(Signed::By { key: text.clone() }),
            // A key's own failure says more than that others are not its.
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(error) => refused = error,
        }
    }
    match (keys.len(), required) {
        (0, true) => Err(SignatureRefused::NoKeys),
        (0, false) => Ok(Signed::Unchecked),
        (keys, _) => Err(SignatureRefused::Wrong { keys, source: refused }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by minisign itself, of the bytes `test`.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";
    /// Another one's key: the same with one byte changed.
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFOA";

    fn keys(texts: &[&str]) -> Vec<TrustedKey> {
        texts.iter().map(|text| TrustedKey::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_signature_that_is_there_must_be_right_and_one_that_is_required_must_be_there() {
        let swapped = SIGNATURE.replace("file:test", "file:best");
        let by = || Ok(Signed::By { key: KEY.to_owned() });
        let wrong = "by none of the";
        for (case, bytes, signature, trusted, required, expected) in [
            ("right", &b"test"[..], Some(SIGNATURE), &[KEY][..], true, by()),
            ("right, of one of two keys", b"test", Some(SIGNATURE), &[OTHER, KEY], true, by()),
            ("right, not required", b"test", Some(SIGNATURE), &[KEY], false, by()),
            ("of other bytes", b"best", Some(SIGNATURE), &[KEY], true, Err(wrong)),
            ("of other bytes, not required", b"best", Some(SIGNATURE), &[KEY], false, Err(wrong)),
            ("by another key", b"test", Some(SIGNATURE), &[OTHER], false, Err(wrong)),
            ("its comment was changed", b"test", Some(&*swapped), &[KEY], true, Err(wrong)),
            ("no signature", b"test", Some("hello"), &[KEY], false, Err("cannot be read")),
            ("missing", b"test", None, &[KEY], true, Err("is not signed")),
            ("missing, not required", b"test", None, &[KEY], false, Ok(Signed::Unsigned)),
            ("nobody is trusted", b"test", Some(SIGNATURE), &[], true, Err("names no key")),
            ("nobody is asked", b"test", Some(SIGNATURE), &[], false, Ok(Signed::Unchecked)),
        ] {
            let got = check_signature(bytes, signature, &keys(trusted), required);
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{case}"),
                (Err(refused), Err(part)) => {
                    assert!(refused.to_string().contains(part), "{case}: {refused}");
                }
                (got, expected) => panic!("{case}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "RWQf", "untrusted comment: minisign public key", SIGNATURE] {
            let refused = TrustedKey::parse(text).unwrap_err().to_string();
            assert!(refused.contains("no public key of minisign"), "{refused}");
        }
    }
}
