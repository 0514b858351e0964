//! What an author writes: a [`Policy`], and the reasons that it gives.

use crate::{
    evidence::Evidence,
    settings::FromSettings,
    words::{Attempt, Judgement, Millis, RestartCause, Ruling, Trigger},
};

/// What a policy says of itself. Its reasons come from [`Policy::Reason`], the
/// schema of its settings from [`FromSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Kebab-case.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
    /// One sentence: what it is for.
    pub summary: &'static str,
}

/// Why a policy ruled as it did. Made by [`reasons!`](crate::reasons).
pub trait Reason: Copy + 'static {
    /// Code and meaning of every reason, in the order of their indices.
    const ALL: &'static [(&'static str, &'static str)];

    /// Index into [`Self::ALL`].
    fn index(self) -> u16;

    fn code(self) -> &'static str {
        Self::ALL[usize::from(self.index())].0
    }
}

/// A policy: its settings with the rules that they tune. It holds nothing else, so
/// the same evidence gives the same answer.
pub trait Policy: FromSettings {
    type Reason: Reason;

    const DESCRIPTION: Description;

    fn judge(
        &self,
        evidence: &impl Evidence,
        trigger: Trigger,
        attempt: Attempt,
    ) -> Judgement<Self::Reason>;

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Self::Reason>;

    /// After how long a silence the host shall ask by itself, 1 s or more. None:
    /// never.
    fn silence_limit(&self) -> Option<Millis> {
        None
    }
}

/// Declares the reasons of a policy: the doc comment is the meaning, a sentence
/// for a person on call; the string is the code, a label in metrics and logs.
///
/// ```
/// reprieve_policy::reasons! {
///     /// Why the example rules.
///     pub enum Why {
///         /// A restart began less than `settle` ago.
///         SettleWindow = "settle-window",
///     }
/// }
/// # use reprieve_policy::Reason;
/// assert_eq!(Why::ALL, [("settle-window", "A restart began less than `settle` ago.")]);
/// ```
#[macro_export]
macro_rules! reasons {
    (
        $(#[doc = $about:literal])*
        $visibility:vis enum $name:ident {
            $($(#[doc = $meaning:literal])+ $reason:ident = $code:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        $visibility enum $name {
            $($(#[doc = $meaning])+ $reason),+
        }

        impl $crate::Reason for $name {
            const ALL: &'static [(&'static str, &'static str)] =
                &[$(($code, concat!($($meaning),+).trim_ascii())),+];

            fn index(self) -> u16 {
                self as u16
            }
        }
    };
}

/// Exports a policy as the component's guard. Once per component; native builds
/// are left as they are.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::shell::Component<$policy>;
            $crate::shell::bindings::export_component!(
                Component with_types_in $crate::shell::bindings
            );
        };
    };
}
