//! Who may ask what of a host, and for whose workspaces.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::TenantId;

/// What the holder of a token may do. Each role may do all that the ones before
/// it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Restart, pause, resume, drop what is queued.
    Operator,
    /// Change what judges, and who may do what.
    PolicyAdmin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::PolicyAdmin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::PolicyAdmin => "policy-admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; there are viewer, operator and policy-admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == name);
        known.ok_or_else(|| UnknownRole(name.chars().take(40).collect()))
    }
}

/// Whose workspaces a token is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenants {
    /// Everybody's, and what is nobody's own.
    All,
    These(BTreeSet<TenantId>),
}

impl Tenants {
    pub fn contain(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::These(tenants) => tenants.contains(tenant),
        }
    }

    /// Nobody is in `others` who is not in these.
    pub fn contain_all(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::These(_), Self::All) => false,
            (Self::These(tenants), Self::These(others)) => others.is_subset(tenants),
        }
    }
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub role: Role,
    pub tenants: Tenants,
}

impl Grant {
    /// To be given on by whoever holds this one: no more than it is itself.
    pub fn covers(&self, other: &Self) -> bool {
        self.role >= other.role && self.tenants.contain_all(&other.tenants)
    }
}

/// What is kept of a token: its SHA-256. A token is 256 random bits, so nothing
/// slower is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(names: &[&str]) -> Tenants {
        Tenants::These(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn nobody_gives_on_more_than_he_holds() {
        use Role::{Operator, PolicyAdmin, Viewer};
        for (case, held, given, allowed) in [
            ("the same", (Operator, these(&["a"])), (Operator, these(&["a"])), true),
            ("less", (PolicyAdmin, these(&["a", "b"])), (Viewer, these(&["b"])), true),
            ("a higher role", (Operator, Tenants::All), (PolicyAdmin, Tenants::All), false),
            ("another tenant", (Operator, these(&["a"])), (Viewer, these(&["a", "b"])), false),
            ("everybody", (PolicyAdmin, these(&["a"])), (Viewer, Tenants::All), false),
            ("of all, some", (Viewer, Tenants::All), (Viewer, these(&["a"])), true),
        ] {
            let grant = |(role, tenants)| Grant { role, tenants };
            assert_eq!(grant(held).covers(&grant(given)), allowed, "{case}");
        }
    }

    #[test]
    fn a_role_survives_its_name() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
