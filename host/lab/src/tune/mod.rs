//! Looks for the settings whose price is lowest: by a stated price of each restart of
//! a living workspace, and of each minute in which a dead one lies unfound.
//!
//! A point is tried on one of two grounds: a scenario, which is run with it by many
//! seeds, or a [`Record`] of decisions, which its settings judge again, group by group.
//! The search is the same: a group takes a seed's place.
//!
//! [`Search`] says what is to be run next and is told what came of it; whoever owns the
//! threads runs it. All points are run with the same seeds, so that the difference
//! between two is not that of their luck. It goes in rounds: those that are plainly
//! dearer than the best are given up (successive halving: Jamieson and Talwalkar,
//! *Non-stochastic best arm identification and hyperparameter optimization*, 2016), the
//! others get twice as many runs; then it looks closer, between the neighbours of the
//! best.

mod knob;
mod price;
mod record;

use std::collections::BTreeMap;

use reprieve_core::settings::{self, Settings};
use serde::Serialize;

pub use self::{
    knob::{Knob, KnobRefused},
    price::{Outcome, Price},
    record::{MAX_DECISIONS, Part, Record, RecordRefused, Tally},
};
use crate::score::Figure;

/// The most points that are looked at at first.
pub const MAX_POINTS: usize = 4_096;
/// Runs of each point in the first round.
const FIRST_RUNS: u64 = 4;
/// So often it looks closer.
const CLOSER: usize = 3;
/// A round keeps at least so many, as long as there are.
const FEWEST_KEPT: usize = 3;

/// How a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub price: Price,
    /// What the first run of each point is drawn from; the next ones from the numbers
    /// after it.
    pub seed: u64,
    /// The most runs of one point: the best have so many at the end.
    pub runs: u64,
}

/// Settings that are tried, and what came of it by seed.
#[derive(Clone, Debug)]
pub struct Point {
    /// Of each knob, in their order.
    places: Vec<f64>,
    pub settings: Settings,
    pub outcomes: BTreeMap<u64, Outcome>,
}

/// A run that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub point: usize,
    pub seed: u64,
}

/// Why there is nothing to search.
#[derive(Debug, thiserror::Error)]
pub enum SearchRefused {
    #[error("there is no parameter to tune; name one, such as settle=10s..2min")]
    Nothing,
    #[error("{0} is named twice")]
    Twice(String),
    #[error(
        "{points} points are too many, {MAX_POINTS} are taken; name fewer parameters or fewer \
         values, such as settle=10s..2min/5"
    )]
    TooMany { points: usize },
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    knobs: Vec<Knob>,
    plan: Plan,
    points: Vec<Point>,
    /// Those that are still in question.
    alive: Vec<usize>,
    runs: u64,
    closer: usize,
}

impl Search {
    pub fn new(knobs: Vec<Knob>, plan: Plan) -> Result<Self, SearchRefused> {
        if knobs.is_empty() {
            return Err(SearchRefused::Nothing);
        }
        for (index, knob) in knobs.iter().enumerate() {
            if knobs[..index].iter().any(|other| other.key == knob.key) {
                return Err(SearchRefused::Twice(knob.key.clone()));
            }
        }
        let values: Vec<Vec<f64>> = knobs.iter().map(Knob::values).collect();
        let points = values.iter().map(Vec::len).fold(1, usize::saturating_mul);
        if points > MAX_POINTS {
            return Err(SearchRefused::TooMany { points });
        }
        let mut search = Self { knobs, plan, points: vec![], alive: vec![], runs: 0, closer: 0 };
        search.add(&values);
        search.runs = FIRST_RUNS.min(plan.runs);
        Ok(search)
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is to be run next, those that are known already left out. Empty: ask
    /// [`next_round`](Self::next_round).
    pub fn wanted(&self) -> Vec<Wanted> {
        let seeds = self.plan.seed..self.plan.seed.saturating_add(self.runs);
        let of_point = |&point: &usize| {
            let known = &self.points[point].outcomes;
            let missing = seeds.clone().filter(|seed| !known.contains_key(seed));
            missing.map(move |seed| Wanted { point, seed })
        };
        self.alive.iter().flat_map(of_point).collect()
    }

    pub fn came(&mut self, run: Wanted, outcome: Outcome) {
        if let Some(point) = self.points.get_mut(run.point) {
            point.outcomes.insert(run.seed, outcome);
        }
    }

    /// Gives up what is plainly dearer than the best. False: the search is over.
    pub fn next_round(&mut self) -> bool {
        let Some(best) = self.best() else { return false };
        let mut ranked: Vec<(f64, bool, usize)> = self
            .alive
            .iter()
            .map(|&point| {
                let dearer = self.dearer(point, best);
                let is_plain = dearer.is_some_and(|dearer| dearer.low > 0.0);
                (self.cost(point), is_plain, point)
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        let half = ranked.len().div_ceil(2).max(FEWEST_KEPT);
        let kept = |(rank, of): &(usize, (f64, bool, usize))| {
            *rank < FEWEST_KEPT || (*rank < half && !of.1)
        };
        let kept = ranked.into_iter().enumerate().filter(kept);
        self.alive = kept.map(|(_, (_, _, point))| point).collect();
        if self.runs < self.plan.runs {
            self.runs = (self.runs * 2).min(self.plan.runs);
            return true;
        }
        self.look_closer(best)
    }

    /// Between the neighbours of the best.
    fn look_closer(&mut self, best: usize) -> bool {
        if self.closer == CLOSER {
            return false;
        }
        self.closer += 1;
        let places = self.points[best].places.clone();
        let near: Vec<Vec<f64>> = self
            .knobs
            .iter()
            .enumerate()
            .map(|(index, knob)| {
                let known: Vec<f64> = self.points.iter().map(|point| point.places[index]).collect();
                knob.between_neighbours(places[index], &known)
            })
            .collect();
        let before = self.points.len();
        self.add(&near);
        self.alive.push(best);
        self.alive.sort_unstable();
        self.alive.dedup();
        self.points.len() > before
    }

    /// Every combination that is not there yet.
    fn add(&mut self, values: &[Vec<f64>]) {
        let mut combinations: Vec<Vec<f64>> = vec![Vec::new()];
        for of_knob in values {
            combinations = combinations
                .iter()
                .flat_map(|begun| of_knob.iter().map(move |value| [&begun[..], &[*value]].concat()))
                .collect();
        }
        for places in combinations {
            let named = self.knobs.iter().zip(&places);
            let settings: Settings =
                named.map(|(knob, place)| (knob.key.clone(), knob.written(*place))).collect();
            let is_known =
                |point: &Point| settings::digest(&point.settings) == settings::digest(&settings);
            if !self.points.iter().any(is_known) && self.points.len() < MAX_POINTS * 2 {
                self.alive.push(self.points.len());
                self.points.push(Point { places, settings, outcomes: BTreeMap::new() });
            }
        }
    }

    /// The cheapest of those that are still in question.
    pub fn best(&self) -> Option<usize> {
        let most = self.alive.iter().map(|&point| self.points[point].outcomes.len()).max()?;
        let full = self.alive.iter().filter(|&&point| self.points[point].outcomes.len() == most);
        full.copied().min_by(|&a, &b| self.cost(a).total_cmp(&self.cost(b)))
    }

    fn cost(&self, point: usize) -> f64 {
        let costs = self.points[point].costs(self.plan.price);
        Figure::of(&costs).map_or(f64::INFINITY, |figure| figure.mean)
    }

    /// By how much `point` is dearer than `other`, a workspace and day: over the seeds
    /// that both have.
    pub fn dearer(&self, point: usize, other: usize) -> Option<Figure> {
        let (a, b) = (&self.points[point].outcomes, &self.points[other].outcomes);
        let both = a.keys().filter(|seed| b.contains_key(seed));
        let price = self.plan.price;
        let (a, b): (Vec<f64>, Vec<f64>) =
            both.map(|seed| (price.of(&a[seed]), price.of(&b[seed]))).unzip();
        Figure::of_pairs(&a, &b)
    }

    /// Points that nobody beats in both: dead ones found sooner, fewer living ones
    /// restarted. The soonest first.
    pub fn front(&self) -> Vec<usize> {
        let both = |point: &Point| {
            let of = |of: &dyn Fn(&Outcome) -> f64| {
                let values: Vec<f64> = point.outcomes.values().map(of).collect();
                Figure::of(&values).map_or(f64::INFINITY, |figure| figure.mean)
            };
            (of(&|outcome| outcome.unfound_min_a_day), of(&|outcome| outcome.false_a_day))
        };
        let measured: Vec<(usize, (f64, f64))> = self.points.iter().map(both).enumerate().collect();
        let is_beaten = |(_, (unfound, false_restarts)): &(usize, (f64, f64))| {
            measured.iter().any(|(_, (other_unfound, other_false))| {
                other_unfound <= unfound
                    && other_false <= false_restarts
                    && (other_unfound < unfound || other_false < false_restarts)
            })
        };
        let mut front: Vec<_> = measured.iter().filter(|of| !is_beaten(of)).collect();
        front.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
        front.into_iter().map(|(point, _)| *point).collect()
    }
}

impl Point {
    /// Of each seed, a workspace and day.
    pub fn costs(&self, price: Price) -> Vec<f64> {
        self.outcomes.values().map(|outcome| price.of(outcome)).collect()
    }

    pub fn figure(&self, of: impl Fn(&Outcome) -> f64) -> Option<Figure> {
        Figure::of(&self.outcomes.values().map(of).collect::<Vec<_>>())
    }
}

/// A point as results tell it.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub settings: Settings,
    pub runs: usize,
    pub false_restarts_a_day: Option<Figure>,
    pub unfound_min_a_day: Option<Figure>,
    pub detect_s: Option<Figure>,
    pub cost: Option<Figure>,
}

impl Told {
    pub fn of(point: &Point, price: Price) -> Self {
        let detect: Vec<f64> =
            point.outcomes.values().filter_map(|outcome| outcome.detect_s).collect();
        Self {
            settings: point.settings.clone(),
            runs: point.outcomes.len(),
            false_restarts_a_day: point.figure(|outcome| outcome.false_a_day),
            unfound_min_a_day: point.figure(|outcome| outcome.unfound_min_a_day),
            detect_s: Figure::of(&detect),
            cost: Figure::of(&point.costs(price)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world in which the price is lowest at 23 s: below it the living are restarted,
    /// above it the dead lie longer. `noise` depends on the seed alone.
    fn outcome(window_s: f64, seed: u64) -> Outcome {
        let noise = f64::from(u32::try_from(seed * 7_919 % 100).unwrap()) / 100.0;
        Outcome {
            false_a_day: (23.0 - window_s).max(0.0) + noise,
            unfound_min_a_day: window_s / 10.0 + noise,
            detect_s: Some(window_s),
        }
    }

    fn searched(knobs: &[&str], runs: u64) -> Search {
        let knobs = knobs.iter().map(|knob| knob.parse().unwrap()).collect();
        let plan = Plan { price: Price::default(), seed: 1, runs };
        let mut search = Search::new(knobs, plan).unwrap();
        loop {
            for run in search.wanted() {
                let window_s = search.points()[run.point].places[0] / 1e3;
                search.came(run, outcome(window_s, run.seed));
            }
            if !search.next_round() {
                return search;
            }
        }
    }

    #[test]
    fn the_best_window_is_found_within_a_tenth() {
        let search = searched(&["recent_heartbeat=5s..60s"], 16);
        let best = &search.points()[search.best().unwrap()];
        let found_s = best.places[0] / 1e3;
        assert!((found_s - 23.0).abs() <= 2.3, "{found_s}");
        assert_eq!(best.outcomes.len(), 16);
        let runs: usize = search.points().iter().map(|point| point.outcomes.len()).sum();
        assert!(runs < search.points().len() * 16, "what is dearer is given up: {runs}");
    }

    #[test]
    fn a_knob_that_does_nothing_does_not_mislead() {
        let search = searched(&["recent_heartbeat=5s..60s/7", "restart_budget=1..9/3"], 8);
        let best = &search.points()[search.best().unwrap()];
        assert!((best.places[0] / 1e3 - 23.0).abs() <= 2.3, "{:?}", best.settings);
    }

    #[test]
    fn the_front_is_what_nobody_beats_in_both() {
        let search = searched(&["recent_heartbeat=5s..60s"], 4);
        let front = search.front();
        assert!(front.len() > 3);
        for point in &front {
            // Beyond the best window nothing is gained by waiting longer.
            assert!(search.points()[*point].places[0] <= 30_000.0);
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let plan = Plan { price: Price::default(), seed: 1, runs: 8 };
        let knob = |text: &str| text.parse::<Knob>().unwrap();
        let refused = |knobs: Vec<Knob>| Search::new(knobs, plan).unwrap_err().to_string();
        assert!(refused(vec![]).contains("name one"));
        assert!(refused(vec![knob("a=1..2"), knob("a=3..4")]).contains("named twice"));
        let many = vec![knob("a=1..999/99"), knob("b=1..999/99")];
        assert!(refused(many).contains("points are too many"));
    }
}
