//! On what terms a policy runs: how much it may use, what it may ask, and how
//! far its calls are kept apart. Part of a generation, as the component is.

use std::{collections::BTreeSet, fmt, str::FromStr};

use reprieve_core::trust::TrustLimits;

use crate::Limits;

/// What the operator grants one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub limits: Limits,
    pub grants: Grants,
    pub isolation: Isolation,
    /// What it takes to put it aside for another.
    pub trust: TrustLimits,
}

impl From<Limits> for Terms {
    fn from(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}

/// How far the calls of a policy are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Instances are kept and used again. A policy that keeps state between
    /// calls is found out by judging twice, now and then.
    #[default]
    Warm,
    /// Each call has an instance of its own, which is thrown away: nothing can
    /// be kept. Costs some tens of microseconds a call.
    Fresh,
}

macro_rules! interfaces {
    ($($(#[doc = $doc:literal])* $interface:ident = $name:literal,)+) => {
        /// What a policy may import of the contract, besides its types.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Interface {
            $($(#[doc = $doc])* $interface,)+
        }

        impl Interface {
            pub const ALL: &[Self] = &[$(Self::$interface,)+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$interface => $name,)+
                }
            }

            /// As the contract calls it.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$interface),)+
                    _ => None,
                }
            }
        }
    };
}

interfaces! {
    /// No function, only words: granted to everybody.
    Types = "types",
    Subject = "subject",
    Probe = "probe",
    Heartbeat = "heartbeat",
    Restarts = "restarts",
    Memory = "memory",
    Surroundings = "surroundings",
}

/// There is no such interface in the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no interface {name:?} in the contract; there are {}", listed(Interface::ALL))]
pub struct NoInterface {
    pub name: String,
}

impl FromStr for Interface {
    type Err = NoInterface;

    fn from_str(name: &str) -> Result<Self, NoInterface> {
        Self::named(name).ok_or_else(|| NoInterface { name: name.to_owned() })
    }
}

/// The interfaces that a policy may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants(BTreeSet<Interface>);

impl Default for Grants {
    /// All that the contract offers.
    fn default() -> Self {
        Self(Interface::ALL.iter().copied().collect())
    }
}

impl FromIterator<Interface> for Grants {
    fn from_iter<I: IntoIterator<Item = Interface>>(granted: I) -> Self {
        Self(granted.into_iter().chain([Interface::Types]).collect())
    }
}

impl Grants {
    pub fn allow(&self, interface: Interface) -> bool {
        self.0.contains(&interface)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(&self.0))
    }
}

fn listed<'a>(interfaces: impl IntoIterator<Item = &'a Interface>) -> String {
    let names: Vec<&str> = interfaces.into_iter().map(|interface| interface.as_str()).collect();
    names.join(", ")
}
