//! The words of `wit/types.wit`, as plain Rust.

/// An age or a length of time in milliseconds. Never a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    pub const ZERO: Self = Self(0);

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Why a forwarded request got no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardFailure {
    Refused,
    Reset,
    ClosedEarly,
    TimedOut,
    Unresolved,
    BadStatus(u16),
}

/// Why the host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    ForwardFailed(ForwardFailure),
    Preflight,
    HeartbeatExpired,
    RuntimeStopped,
    Unhealthy,
    Settling,
    Sweep,
}

/// Which look this is in a chain of rechecks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// 0 for the first judgement.
    pub number: u32,
    /// How long ago the first judgement of the chain was asked for.
    pub since_first: Millis,
}

impl Attempt {
    pub const FIRST: Self = Self { number: 0, since_first: Millis::ZERO };

    /// The look after so many rechecks, 2 s apart.
    pub const fn nth(number: u32) -> Self {
        Self { number, since_first: Millis::from_secs(2 * number as u64) }
    }

    pub const fn is_first(self) -> bool {
        self.number == 0
    }
}

/// What is to be done about the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Alive,
    /// Do not touch; ask again after so long.
    Busy(Millis),
    Dead,
    /// Not decided; look again after so long.
    Recheck(Millis),
}

/// A verdict and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement<R> {
    pub verdict: Verdict,
    pub reason: R,
}

impl<R> Judgement<R> {
    pub const fn alive(reason: R) -> Self {
        Self { verdict: Verdict::Alive, reason }
    }

    pub const fn busy(retry_after: Millis, reason: R) -> Self {
        Self { verdict: Verdict::Busy(retry_after), reason }
    }

    pub const fn dead(reason: R) -> Self {
        Self { verdict: Verdict::Dead, reason }
    }

    pub const fn recheck(after: Millis, reason: R) -> Self {
        Self { verdict: Verdict::Recheck(after), reason }
    }
}

/// Who or what wants a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartCause {
    Operator,
    DeadVerdict,
    SettingsChanged,
    Wake,
    Dependency,
}

/// Whether a restart that is wanted may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admit,
    Drop,
    /// Not yet; ask again after so long.
    Defer(Millis),
}

/// An admission and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling<R> {
    pub admission: Admission,
    pub reason: R,
}

impl<R> Ruling<R> {
    pub const fn admit(reason: R) -> Self {
        Self { admission: Admission::Admit, reason }
    }

    pub const fn drop(reason: R) -> Self {
        Self { admission: Admission::Drop, reason }
    }

    pub const fn defer(after: Millis, reason: R) -> Self {
        Self { admission: Admission::Defer(after), reason }
    }
}
