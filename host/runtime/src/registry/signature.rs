//! Who vouches for a component: detached signatures, by minisign as `minisign -Sm
//! policy.wasm` makes them, or by plain Ed25519 (RFC 8032), as `openssl pkeyutl -sign
//! -rawin` does.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use minisign_verify::{PublicKey, Signature};
use ring::signature::{ED25519, UnparsedPublicKey};

/// The longest signature file that is looked at; minisign's has some 300 bytes.
pub const MAX_SIGNATURE_BYTES: usize = 4 << 10;

/// A plain Ed25519 signature, and nothing else, has so many bytes: RFC 8032.
const ED25519_SIGNATURE_BYTES: usize = 64;
const ED25519_KEY_BYTES: usize = 32;

/// What tells a plain Ed25519 key from one of minisign's.
const ED25519_KEY: &str = "ed25519:";

/// A key that the operator trusts.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    text: String,
    key: Key,
}

#[derive(Clone, Debug)]
enum Key {
    Minisign(PublicKey),
    Ed25519([u8; ED25519_KEY_BYTES]),
}

/// The text is no public key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    #[error(
        "{text:?} is no public key of minisign; it is the second line of the .pub file, and begins with \"RW\""
    )]
    Minisign { text: String, source: minisign_verify::Error },
    #[error(
        "{text:?} is no public key of Ed25519; after \"ed25519:\" it has {ED25519_KEY_BYTES} bytes in base64"
    )]
    Ed25519 { text: String },
}

/// Why a component's origin is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureRefused {
    #[error(
        "it is not signed, and policy.require_signature is on; sign it with `minisign -Sm` or a plain Ed25519 key, and send the signature along (`--signature`, the header reprieve-signature) or put it beside the file as .minisig or .ed25519"
    )]
    Missing,
    #[error(
        "its signature cannot be read; it is the .minisig file that `minisign -Sm` writes, or the {ED25519_SIGNATURE_BYTES} bytes of an Ed25519 signature"
    )]
    Unreadable { source: minisign_verify::Error },
    #[error(
        "its signature is by none of the {keys} keys in policy.keys, or the component was changed after it was signed"
    )]
    Wrong {
        keys: usize,
        /// What a key of minisign says.
        source: Option<minisign_verify::Error>,
    },
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
    /// Takes the line of a minisign key in base64, without the comment; or
    /// `ed25519:` and a plain key in base64.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let text = text.trim().to_owned();
        let key = match text.strip_prefix(ED25519_KEY) {
            Some(base64) => {
                let bytes = BASE64_STANDARD.decode(base64).unwrap_or_default();
                bytes.try_into().map(Key::Ed25519).ok()
            }
            None => match PublicKey::from_base64(&text) {
                Ok(key) => Some(Key::Minisign(key)),
                Err(source) => return Err(NoKey::Minisign { text, source }),
            },
        };
        match key {
            Some(key) => Ok(Self { text, key }),
            None => Err(NoKey::Ed25519 { text }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A signature that is there must be right, whether one is required or not.
/// `signature`: what its file holds.
pub fn check_signature(
    bytes: &[u8],
    signature: Option<&[u8]>,
    keys: &[TrustedKey],
    required: bool,
) -> Result<Signed, SignatureRefused> {
    let Some(signature) = signature else {
        return if required { Err(SignatureRefused::Missing) } else { Ok(Signed::Unsigned) };
    };
    let checked = match signature.len() {
        ED25519_SIGNATURE_BYTES => by_ed25519(bytes, signature, keys).ok_or(None),
        _ => by_minisign(bytes, signature, keys)?,
    };
    match (checked, keys.len(), required) {
        (Ok(key), _, _) => Ok(Signed::By { key: key.text.clone() }),
        (Err(_), 0, true) => Err(SignatureRefused::NoKeys),
        (Err(_), 0, false) => Ok(Signed::Unchecked),
        (Err(source), keys, _) => Err(SignatureRefused::Wrong { keys, source }),
    }
}

fn by_ed25519<'k>(
    bytes: &[u8],
    signature: &[u8],
    keys: &'k [TrustedKey],
) -> Option<&'k TrustedKey> {
    keys.iter().find(|TrustedKey { key, .. }| match key {
        Key::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(bytes, signature).is_ok(),
        Key::Minisign(_) => false,
    })
}

/// The inner error is what a key says to a signature that is its own, and wrong.
fn by_minisign<'k>(
    bytes: &[u8],
    signature: &[u8],
    keys: &'k [TrustedKey],
) -> Result<Result<&'k TrustedKey, Option<minisign_verify::Error>>, SignatureRefused> {
    let signature = Signature::decode(&String::from_utf8_lossy(signature))
        .map_err(|source| SignatureRefused::Unreadable { source })?;
    let mut refused = None;
    for trusted in keys {
        let Key::Minisign(key) = &trusted.key else { continue };
        // Signatures of the older kind, which hash nothing, are fine, too: a
        // component is in memory whole.
        match key.verify(bytes, &signature, true) {
            Ok(()) => return Ok(Ok(trusted)),
            // A key's own failure says more than that others are not its.
            Err(minisign_verify::Error::UnexpectedKeyId) => {}
            Err(error) => refused = Some(error),
        }
    }
    Ok(Err(refused))
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
            let signature = signature.map(str::as_bytes);
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

    /// The third test of RFC 8032, 7.1.
    const RFC_KEY: &str = "ed25519:/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=";
    const RFC_MESSAGE: &[u8] = &[0xaf, 0x82];
    const RFC_SIGNATURE: &str =
        "YpHWV97sJAJIJ+acOr4BowzlSKKEdDpEXjaA19taw6wY/5tTjRbykK5n92CYTcZZSnwV6XFu0o3AJ77O6h7ECg==";

    #[test]
    fn a_plain_ed25519_signature_is_as_good() {
        let right = BASE64_STANDARD.decode(RFC_SIGNATURE).unwrap();
        let mut wrong = right.clone();
        wrong[0] ^= 1;
        for (case, bytes, signature, trusted, expected) in [
            ("right", RFC_MESSAGE, &right, &[KEY, RFC_KEY][..], true),
            ("of other bytes", b"other", &right, &[RFC_KEY], false),
            ("one bit is wrong", RFC_MESSAGE, &wrong, &[RFC_KEY], false),
            ("by nobody who is trusted", RFC_MESSAGE, &right, &[KEY], false),
        ] {
            let got = check_signature(bytes, Some(signature), &keys(trusted), true);
            match got {
                Ok(signed) => {
                    assert!(expected, "{case}");
                    assert_eq!(signed, Signed::By { key: RFC_KEY.to_owned() }, "{case}");
                }
                Err(refused) => {
                    assert!(!expected, "{case}: {refused}");
                    assert!(refused.to_string().contains("by none of the"), "{case}: {refused}");
                }
            }
        }
        let nobody = check_signature(RFC_MESSAGE, Some(&right), &[], false);
        assert_eq!(nobody.unwrap(), Signed::Unchecked);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["ed25519:", "ed25519:AAAA", "ed25519:x", &RFC_KEY[..40]] {
            let refused = TrustedKey::parse(text).unwrap_err().to_string();
            assert!(refused.contains("no public key of Ed25519"), "{refused}");
        }
        for text in ["", "RWQf", "untrusted comment: minisign public key", SIGNATURE] {
            let refused = TrustedKey::parse(text).unwrap_err().to_string();
            assert!(refused.contains("no public key of minisign"), "{refused}");
        }
    }
}
