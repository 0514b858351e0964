//! A policy that misbehaves on demand, for the tests of the host.
//!
//! Its one setting, `do`, names what it does; see [`Deed`]. It is never meant
//! to judge anybody.

#![cfg_attr(target_arch = "wasm32", no_std)]
// It is here to break the rules that others keep.
#![allow(clippy::panic, clippy::infinite_loop)]

extern crate alloc;

use alloc::{borrow::ToOwned as _, string::ToString as _, vec, vec::Vec};

use reprieve_policy::{
    Attempt, Description, Evidence, FromSettings, Judgement, Millis, Policy, Problem, Reason,
    RestartCause, Ruling, Trigger,
};

mod walk;

macro_rules! deeds {
    ($($(#[doc = $doc:literal])* $deed:ident = $name:literal,)+) => {
        /// What it does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Deed {
            $($(#[doc = $doc])* $deed,)+
        }

        impl Deed {
            fn named(settings: &str) -> Option<Self> {
                match settings {
                    "{}" => Some(Self::Nothing),
                    $(concat!("{\"do\":\"", $name, "\"}") => Some(Self::$deed),)+
                    _ => None,
                }
            }
        }
    };
}

deeds! {
    /// Judges ALIVE and asks nothing.
    Nothing = "nothing",
    /// Asks two things and judges ALIVE.
    AskTwo = "ask-two",
    /// Asks the same thing three times.
    AskAgain = "ask-again",
    /// Asks everything once, writes a note, judges BUSY.
    AskEverything = "ask-everything",
    /// Lets the answers lead it from question to question.
    Walk = "walk",
    /// Never comes back.
    Loop = "loop",
    /// Looks again and again until it sees something.
    Insist = "insist",
    Trap = "trap",
    /// Traps where it is told a fault.
    TrapOnFault = "trap-on-fault",
    /// Takes all the memory that there is.
    Grab = "grab",
    /// Loses 256 KiB with each judgement.
    Leak = "leak",
    /// Writes a note of 1025 bytes.
    LongNote = "long-note",
    /// Writes a note, then fails.
    NoteAndTrap = "note-and-trap",
    /// Asks a thousand times.
    Pester = "pester",
    /// Asks for something new whatever it is told.
    Curious = "curious",
    /// Gives a reason that it did not declare.
    NoReason = "no-reason",
    /// Wants 0 ms to pass before the next look.
    Hurry = "hurry",
    /// Wants half a billion years to pass.
    Sleep = "sleep",
    /// Never comes back from reading its settings.
    LoopOnOpen = "loop-on-open",
    TrapOnOpen = "trap-on-open",
    /// Asks for evidence while it reads its settings.
    AskOnOpen = "ask-on-open",
    /// Finds a thousand long problems with its settings.
    Complain = "complain",
    /// Wants to be asked after 10 ms of silence.
    Nervous = "nervous",
}

/// The policy with one set of settings.
#[derive(Debug)]
pub struct Unruly(Deed);

/// An index, declared or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(u16);

const AS_TOLD: Why = Why(0);

impl Reason for Why {
    const ALL: &'static [(&'static str, &'static str)] = &[("as-told", "It was told to.")];

    fn index(self) -> u16 {
        self.0
    }
}

/// By hand, since reading its settings is one of the things that it does badly.
impl FromSettings for Unruly {
    const SCHEMA: &'static str = "{}";

    fn open(settings: &str) -> Result<Self, Vec<Problem>> {
        let problem =
            |message: &str| Problem { path: "do".to_owned(), message: message.to_owned() };
        match Deed::named(settings) {
            None => Err(vec![problem("is not a deed; see policies/unruly")]),
            Some(Deed::LoopOnOpen) => forever(),
            Some(Deed::TrapOnOpen) => panic!("told to"),
            Some(Deed::Complain) => Err(vec![problem(&"no ".repeat(2_000)); 1_000]),
            Some(Deed::AskOnOpen) => {
                look_now();
                Ok(Self(Deed::AskOnOpen))
            }
            Some(deed) => Ok(Self(deed)),
        }
    }
}

impl Policy for Unruly {
    type Reason = Why;

    const DESCRIPTION: Description = Description {
        name: "unruly",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Misbehaves on demand, for the tests of the host.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Why> {
        match self.0 {
            Deed::Nothing
            | Deed::LoopOnOpen
            | Deed::TrapOnOpen
            | Deed::AskOnOpen
            | Deed::Complain
            | Deed::Nervous => {}
            Deed::AskTwo => {
                let _ = (evidence.current_life(), evidence.newest_beat());
            }
            Deed::AskAgain => {
                let _ = (evidence.look(), evidence.look(), evidence.look());
            }
            Deed::AskEverything => return walk::everything(evidence, AS_TOLD),
            Deed::Walk => return walk::walk(evidence, attempt, AS_TOLD),
            Deed::Loop => forever(),
            Deed::Insist => while evidence.look().is_err() {},
            Deed::Trap => panic!("told to"),
            Deed::TrapOnFault => assert!(evidence.look().is_ok(), "told to"),
            Deed::Grab => grab(),
            Deed::Leak => core::mem::forget(vec![1_u8; 256 << 10]),
            Deed::LongNote => evidence.write_note(&[7; 1025]),
            Deed::NoteAndTrap => {
                evidence.write_note(b"seen");
                panic!("told to");
            }
            Deed::Pester => (0..1_000).for_each(|_| {
                let _ = evidence.newest_beat();
            }),
            Deed::Curious => {
                for nth in 0..100 {
                    let _ = evidence.restart_count(Millis(nth));
                }
            }
            Deed::NoReason => return Judgement::alive(Why(1)),
            Deed::Hurry => return Judgement::recheck(Millis::ZERO, AS_TOLD),
            Deed::Sleep => return Judgement::busy(Millis(u64::MAX), AS_TOLD),
        }
        Judgement::alive(AS_TOLD)
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Why> {
        match self.0 {
            Deed::Hurry => Ruling::defer(Millis::ZERO, AS_TOLD),
            Deed::Sleep => Ruling::defer(Millis(u64::MAX), AS_TOLD),
            Deed::NoReason => Ruling::admit(Why(u16::MAX)),
            Deed::Trap => panic!("told to"),
            _ => Ruling::admit(AS_TOLD),
        }
    }

    fn silence_limit(&self) -> Option<Millis> {
        (self.0 == Deed::Nervous).then_some(Millis(10))
    }
}

fn forever() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn grab() {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; 1 << 20].len().to_string());
        taken.push("x".repeat(1 << 20));
    }
}

#[cfg(target_arch = "wasm32")]
fn look_now() {
    let _ = reprieve_policy::shell::bindings::reprieve::policy::probe::look();
}

/// Natively nobody answers while settings are read.
#[cfg(not(target_arch = "wasm32"))]
const fn look_now() {}

#[cfg(target_arch = "wasm32")]
reprieve_policy::export!(Unruly);
