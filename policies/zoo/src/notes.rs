//! What is counted within one life: kept in the workspace's note.
//!
//! A note survives swaps of policies, so each begins with a letter of whoever wrote
//! it, and what another wrote counts as none. It is of one life: an older one is not
//! read.

use reprieve_policy::{Evidence, Life, Millis, StoreFault};

/// The notes of one policy: `N` bytes, the first of which is its letter.
#[derive(Clone, Copy, Debug)]
pub struct Notes<const N: usize> {
    letter: u8,
}

impl<const N: usize> Notes<N> {
    pub const fn of(letter: u8) -> Self {
        assert!(N > 0, "the letter takes the first byte");
        Self { letter }
    }

    /// The note of this life and how long ago it was written.
    pub fn read(
        self,
        evidence: &impl Evidence,
        life: Life,
    ) -> Result<Option<([u8; N], Millis)>, StoreFault> {
        let Some(note) = evidence.note()? else { return Ok(None) };
        let of_this_life = life.began.is_none_or(|began| note.age <= began);
        let bytes = <[u8; N]>::try_from(note.bytes.as_slice()).ok();
        Ok(bytes
            .filter(|bytes| of_this_life && bytes[0] == self.letter)
            .map(|bytes| (bytes, note.age)))
    }

    /// Writes the note; its first byte becomes the letter.
    pub fn write(self, evidence: &impl Evidence, mut bytes: [u8; N]) {
        bytes[0] = self.letter;
        evidence.write_note(&bytes);
    }
}

/// Forgets whatever is noted; writes nothing where nothing is.
pub fn forget(evidence: &impl Evidence) {
    if let Ok(Some(_)) = evidence.note() {
        evidence.write_note(b"");
    }
}

/// What those keep that count failed checks, and then wait with the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// So many checks failed in a row.
    Failing(u8),
    /// It was ruled dead. Written once, so that its age is the age of the verdict.
    Dead,
}

/// The marks of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Marks(Notes<2>);

const DEAD: u8 = 0;

impl Marks {
    pub const fn of(letter: u8) -> Self {
        Self(Notes::of(letter))
    }

    /// The mark of this life and its age.
    pub fn read(
        self,
        evidence: &impl Evidence,
        life: Life,
    ) -> Result<Option<(Mark, Millis)>, StoreFault> {
        let mark = |count| if count == DEAD { Mark::Dead } else { Mark::Failing(count) };
        Ok(self.0.read(evidence, life)?.map(|([_, count], age)| (mark(count), age)))
    }

    pub fn failing(self, evidence: &impl Evidence, checks: u8) {
        self.0.write(evidence, [0, checks.max(1)]);
    }

    /// Marks the death, unless it is marked already.
    pub fn dead(self, evidence: &impl Evidence, life: Life) {
        if !matches!(self.read(evidence, life), Ok(Some((Mark::Dead, _)))) {
            self.0.write(evidence, [0, DEAD]);
        }
    }

    /// How long ago it was ruled dead; nothing where that is not known.
    pub fn since_dead(self, evidence: &impl Evidence, life: Life) -> Millis {
        match self.read(evidence, life) {
            Ok(Some((Mark::Dead, age))) => age,
            Ok(Some((Mark::Failing(_), _)) | None) | Err(_) => Millis::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use reprieve_policy::FakeEvidence;

    use super::*;

    const MARKS: Marks = Marks::of(b'k');

    fn read(bytes: &[u8], age: u64, began: Option<u64>) -> Option<Mark> {
        let evidence = FakeEvidence::default().noted(bytes, Millis(age));
        let life = Life { began: began.map(Millis), ..Life::default() };
        MARKS.read(&evidence, life).expect("a store").map(|(mark, _)| mark)
    }

    #[test]
    fn what_another_wrote_or_an_older_life_is_no_mark() {
        for (case, bytes, age, began, expected) in [
            ("failing", &b"k\x02"[..], 5, None, Some(Mark::Failing(2))),
            ("dead", b"k\x00", 5, Some(5), Some(Mark::Dead)),
            ("older than this life", b"k\x02", 6, Some(5), None),
            ("of another policy", b"n\x02", 5, None, None),
            ("longer", b"k\x02\x00", 5, None, None),
            ("empty", b"", 5, None, None),
        ] {
            assert_eq!(read(bytes, age, began), expected, "{case}");
        }
    }

    #[test]
    fn a_death_is_marked_once() {
        let life = Life::default();
        let fresh = FakeEvidence::default();
        MARKS.dead(&fresh, life);
        assert_eq!(fresh.written().as_deref(), Some(&b"k\x00"[..]));
        let marked = FakeEvidence::default().noted(b"k\x00", Millis(700));
        MARKS.dead(&marked, life);
        assert_eq!(marked.written(), None, "its age would be lost");
        assert_eq!(MARKS.since_dead(&marked, life), Millis(700));
    }

    #[test]
    fn only_what_is_noted_is_forgotten() {
        let (fresh, noted) =
            (FakeEvidence::default(), FakeEvidence::default().noted(b"x", Millis(1)));
        forget(&fresh);
        forget(&noted);
        assert_eq!((fresh.written(), noted.written()), (None, Some(vec![])));
    }
}
