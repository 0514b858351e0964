//! What stands behind a price: how much of a log says how things ended, and how much a
//! candidate could be asked.

use serde::Serialize;

use super::{Ending, Found, Incident, Judged};

/// Of one part of a log, under one candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Incidents of which the log tells that the workspace lived on.
    pub lived_on: u64,
    /// That it was down.
    pub down: u64,
    /// It does not tell. They count for nothing.
    pub unknown: u64,
    /// Those that the candidate finds, of `down`.
    pub found: u64,
    /// DEAD about who was not down.
    pub falsely: u64,
    /// DEAD where nothing is known.
    pub dead_of_unknown: u64,
    /// Judgements that were asked for.
    pub asked: u64,
    /// Of those, the candidate asks for what nobody was asked then.
    pub missing: u64,
    pub failing: u64,
}

/// 97.5 % of the normal distribution.
const Z: f64 = 1.96;

impl Tally {
    pub(super) fn add(&mut self, incident: &Incident, judged: &Judged) {
        match incident.ending {
            Ending::LivedOn => self.lived_on += 1,
            Ending::DownSince(_) => self.down += 1,
            Ending::Unknown => {
                self.unknown += 1;
                self.dead_of_unknown += u64::from(judged.dead_at.is_some());
            }
        }
        match incident.found(judged.dead_at) {
            Found::After(_) => self.found += 1,
            Found::Falsely => self.falsely += 1,
            Found::Nothing | Found::Never(_) => {}
        }
        self.asked += judged.asked;
        self.missing += judged.missing;
        self.failing += judged.failing;
    }

    /// The share of incidents in which somebody who lived on would have been restarted,
    /// with 95 % confidence: Wilson's interval, which holds for rare and for no cases,
    /// too (*Probable inference*, Journal of the American Statistical Association,
    /// 1927). None: there are none.
    pub fn false_share(&self) -> Option<(f64, f64)> {
        let (hits, of) = (self.falsely as f64, (self.lived_on + self.down) as f64);
        if of == 0.0 {
            return None;
        }
        let (share, z2) = (hits / of, Z * Z);
        let centre = share + z2 / (2.0 * of);
        let half = Z * (share * (1.0 - share) / of + z2 / (4.0 * of * of)).sqrt();
        let bound = |value: f64| (value / (1.0 + z2 / of)).clamp(0.0, 1.0);
        Some((bound(centre - half), bound(centre + half)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the values of Brown, Cai and DasGupta (2001) and by hand.
    #[test]
    fn that_nothing_was_seen_is_no_certainty() {
        let share = |falsely, lived_on| {
            let (low, high) =
                Tally { falsely, lived_on, ..Tally::default() }.false_share().unwrap();
            ((low * 1e3).round(), (high * 1e3).round())
        };
        assert_eq!(share(0, 10), (0.0, 278.0));
        assert_eq!(share(5, 10), (237.0, 763.0));
        assert_eq!(share(1, 100), (2.0, 54.0));
        assert_eq!(Tally::default().false_share(), None);
    }
}
