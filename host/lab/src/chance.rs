//! Seeded chance. What is drawn depends on the seed, the stream and the number of
//! the draw, never on the order in which streams are used: so a world can be asked
//! for its millionth heartbeat without being asked for those before.
//!
//! The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast
//! splittable pseudorandom number generators, OOPSLA 2014).

/// What a run is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// One stream of draws, each had by its number.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

/// 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Chance {
    pub const fn new(seed: Seed) -> Self {
        Self(mix(seed.0.wrapping_add(STEP)))
    }

    /// A stream of its own for each name.
    #[must_use]
    pub const fn stream(self, name: u64) -> Self {
        Self(mix(self.0 ^ mix(name.wrapping_add(STEP))))
    }

    pub const fn bits(self, nth: u64) -> u64 {
        mix(self.0.wrapping_add(nth.wrapping_mul(STEP)))
    }

    /// From 0 to just below 1.
    pub fn unit(self, nth: u64) -> f64 {
        // 53 bits: as many as a float holds.
        (self.bits(nth) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to just below `bound`; 0 if that is 0.
    pub fn below(self, nth: u64, bound: u64) -> u64 {
        let wide = u128::from(self.bits(nth)) * u128::from(bound);
        // The upper half of the product: below the bound.
        (wide >> 64) as u64
    }

    pub fn happens(self, nth: u64, share: f64) -> bool {
        share > 0.0 && self.unit(nth) < share
    }

    /// Waits between independent events are distributed like this.
    pub fn exponential(self, nth: u64, mean: f64) -> f64 {
        -mean * (1.0 - self.unit(nth)).ln()
    }

    /// The same, drawn one after the other.
    pub const fn draws(self) -> Draws {
        Draws { chance: self, next: 0 }
    }
}

/// Draws from one stream, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    chance: Chance,
    next: u64,
}

impl Draws {
    const fn nth(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn unit(&mut self) -> f64 {
        let nth = self.nth();
        self.chance.unit(nth)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        let nth = self.nth();
        self.chance.below(nth, bound)
    }

    pub fn happens(&mut self, share: f64) -> bool {
        let nth = self.nth();
        self.chance.happens(nth, share)
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        let nth = self.nth();
        self.chance.exponential(nth, mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly_and_streams_differ() {
        let chance = Chance::new(Seed(7));
        let mut counts = [0_u32; 10];
        for nth in 0..100_000 {
            counts[chance.below(nth, 10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        let (one, other) = (chance.stream(1), chance.stream(2));
        assert!((0..1_000).all(|nth| one.bits(nth) != other.bits(nth)));
    }

    #[test]
    fn waits_have_the_mean_that_they_should() {
        let mut draws = Chance::new(Seed(3)).draws();
        let mean = (0..100_000).map(|_| draws.exponential(50.0)).sum::<f64>() / 100_000.0;
        assert!((49.0..51.0).contains(&mean), "{mean}");
    }
}
