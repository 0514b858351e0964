//! What a runtime reported of a workspace unasked, and whether it was looked into.
//!
//! A report is a reason to judge and says nothing twice: a container turns unhealthy
//! once. Some judgements cannot look into it. In a settle window the runtime is not
//! asked, and one that was under way already may have looked before it happened. So
//! what was reported stays owed until a judgement that began later has looked: the one
//! under way is followed by another, and no ALIVE that looked at nothing takes back the
//! time at which a BUSY said that it is judged again.

use crate::ids::LifeId;

/// The reports on one workspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reports {
    /// How many there were, of all lives.
    told: u64,
    /// So many of them, the oldest, need no look any more.
    looked_into: u64,
    /// The newest one's.
    life: LifeId,
}

impl Reports {
    /// One more, of this life. What an earlier life owed is owed no more.
    pub fn tell(&mut self, life: LifeId) {
        if life != self.life {
            (self.looked_into, self.life) = (self.told, life);
        }
        self.told += 1;
    }

    /// How many there are as a judgement begins: what its look is about.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// A judgement has looked that began when so many had been told.
    pub fn look_into(&mut self, told: u64) {
        self.looked_into = self.looked_into.max(told);
    }

    /// It is dead: whatever was reported of it says no more.
    pub fn close(&mut self) {
        self.looked_into = self.told;
    }

    /// Something was reported of this life that nobody has looked into since.
    pub fn are_owed(&self, life: LifeId) -> bool {
        self.life == life && self.told > self.looked_into
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: LifeId = LifeId(3);

    #[test]
    fn a_report_is_owed_until_a_look_that_began_after_it() {
        let mut reports = Reports::default();
        assert!(!reports.are_owed(LifeId::default()), "none was told");
        let before = reports.told();
        reports.tell(LIFE);
        reports.look_into(before);
        assert!(reports.are_owed(LIFE), "the look may have been before it");
        let after = reports.told();
        reports.tell(LIFE);
        reports.look_into(after);
        assert!(reports.are_owed(LIFE), "the second one");
        reports.look_into(reports.told());
        assert!(!reports.are_owed(LIFE));
        reports.look_into(before);
        assert!(!reports.are_owed(LIFE), "a look that ends late takes nothing back");
        reports.tell(LIFE);
        reports.close();
        assert!(!reports.are_owed(LIFE), "it is dead");
    }

    #[test]
    fn another_life_owes_nothing_for_an_earlier_one() {
        let mut reports = Reports::default();
        reports.tell(LIFE);
        assert!(!reports.are_owed(LIFE.next()));
        reports.tell(LIFE.next());
        assert!(!reports.are_owed(LIFE));
        reports.look_into(reports.told());
        assert!(!reports.are_owed(LIFE.next()));
    }
}
