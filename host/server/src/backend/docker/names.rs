//! Names of containers, checked where they enter: the client puts them into paths
//! as they are, and `../../info` would reach something else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Docker sets no limit of its own; a path of the kernel does.
const MAX_NAME_BYTES: usize = 255;

/// A full id is the SHA-256 of something random, in hex.
const ID_DIGITS: usize = 64;

/// How much of an id people read, and Docker uses where it needs a short name.
pub(super) const SHORT_ID_DIGITS: usize = 12;

/// Why a text names no container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {form}")]
pub(super) struct NoName {
    what: &'static str,
    form: &'static str,
    text: String,
}

/// A container's full id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ContainerId(String);

impl ContainerId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn short(&self) -> &str {
        &self.0[..SHORT_ID_DIGITS]
    }
}

impl FromStr for ContainerId {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == ID_DIGITS && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(no_name("container id", "64 hex digits in lower case", text))
        }
    }
}

/// What a person calls a container: its name or its id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ContainerName(String);

impl ContainerName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = NoName;

    /// With or without the slash that Docker puts before a name.
    fn from_str(text: &str) -> Result<Self, NoName> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let valid = name.len() <= MAX_NAME_BYTES
            && name.bytes().all(plain)
            && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(no_name(
                "container name",
                "1 to 255 characters of a-z, A-Z, 0-9, '-', '_' and '.', beginning with a letter or digit",
                text,
            ))
        }
    }
}

fn no_name(what: &'static str, form: &'static str, text: &str) -> NoName {
    NoName { what, form, text: text.chars().take(80).collect() }
}

macro_rules! text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = NoName;

            fn try_from(text: String) -> Result<Self, NoName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

text!(ContainerId);
text!(ContainerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_its_path_is_no_name() {
        let id = "0123456789abcdef".repeat(4);
        for (text, is_id, is_name) in [
            (id.as_str(), true, true),
            ("0123456789ab", false, true),
            ("/ws-1", false, true),
            ("ws_1.a-b", false, true),
            ("", false, false),
            ("/", false, false),
            ("../../info", false, false),
            ("a/b", false, false),
            ("a?b", false, false),
            ("a b", false, false),
            ("-a", false, false),
            ("ü", false, false),
        ] {
            assert_eq!(text.parse::<ContainerId>().is_ok(), is_id, "{text:?} as an id");
            assert_eq!(text.parse::<ContainerName>().is_ok(), is_name, "{text:?} as a name");
        }
    }
}
