//! What answers a check where nobody sends one.
//!
//! Probers ask the workspace: HTTP, TCP, a ping. The contract has no such question;
//! what comes nearest is whether the workspace gave a sign by itself of late, a
//! heartbeat or the answer to a forwarded request.

use reprieve_policy::{Beat, Evidence, Millis, StoreFault};

/// The newest sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// This life gave one, so long ago.
    Given(Millis),
    /// Earlier lives did, this one not yet.
    Awaited,
    /// None ever came: there is nothing to check by.
    Never,
}

pub fn newest(evidence: &impl Evidence) -> Result<Sign, StoreFault> {
    let signs = [evidence.newest_beat()?, evidence.newest_contact()?];
    let of_this_life = signs.iter().flatten().filter(|sign| sign.this_life);
    Ok(match of_this_life.map(|Beat { age, .. }| *age).min() {
        Some(age) => Sign::Given(age),
        None if signs.iter().any(Option::is_some) => Sign::Awaited,
        None => Sign::Never,
    })
}

#[cfg(test)]
mod tests {
    use reprieve_policy::FakeEvidence;

    use super::*;

    #[test]
    fn the_younger_of_beat_and_contact_is_the_newest_sign() {
        let earlier = || FakeEvidence {
            newest_beat: Ok(Some(Beat { age: Millis(5), this_life: false })),
            ..FakeEvidence::default()
        };
        for (case, evidence, expected) in [
            ("none", FakeEvidence::default(), Sign::Never),
            ("beat", FakeEvidence::default().beat(Millis(7)), Sign::Given(Millis(7))),
            (
                "contact",
                FakeEvidence::default().beat(Millis(7)).contact(Millis(3)),
                Sign::Given(Millis(3)),
            ),
            ("of an earlier life", earlier(), Sign::Awaited),
            ("a contact after it", earlier().contact(Millis(9)), Sign::Given(Millis(9))),
        ] {
            assert_eq!(newest(&evidence), Ok(expected), "{case}");
        }
        assert_eq!(newest(&FakeEvidence::default().without_stores()), Err(StoreFault));
    }
}
