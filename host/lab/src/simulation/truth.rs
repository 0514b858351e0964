//! What is so, whatever anybody believes: the runs of workspaces.
//!
//! Beats are not events. Which ones have come is worked out when somebody asks, from
//! the run's own stream of chance, so a workspace that is well costs nothing.

use reprieve_core::time::{Millis, UnixMillis};

use super::{pulse::Pulse, weather::Weather};
use crate::Chance;

/// How a workspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// On its way up.
    Booting,
    Healthy,
    /// It will answer again by itself: slow, or busy with something long.
    Slow,
    /// It runs, and will never answer again.
    Hung,
    Dead,
}

impl Truth {
    /// To restart it is right.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Hung | Self::Dead)
    }
}

/// Beats of one run that are looked through for the newest; a silence that is
/// longer has no beat before it worth finding.
const MAX_SCAN: u32 = 100_000;
/// Spells of one run that are remembered, the newest.
const MAX_SPELLS: usize = 64;

/// A time in which a run is not itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spell {
    pub(super) kind: SpellKind,
    pub(super) from: UnixMillis,
    pub(super) until: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SpellKind {
    /// Neither beats nor answers.
    Hang,
    /// So many requests fail; beats come so much later.
    Slow { share: f64, late: Millis },
    /// Answers, and does not beat.
    Mute,
}

/// How a run ended by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: UnixMillis,
    pub(super) exit_code: i32,
    pub(super) out_of_memory: bool,
    pub(super) removed: bool,
}

/// One run of a workspace.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// The runtime's own mark of it.
    pub(super) number: u64,
    pub(super) began: UnixMillis,
    pub(super) up_at: UnixMillis,
    pub(super) end: Option<End>,
    /// It hangs from then on, for good.
    pub(super) hung: Option<UnixMillis>,
    spells: Vec<Spell>,
    pub(super) chance: Chance,
}

/// Streams of a run, beside those of its pulse.
const ROUTE: u64 = 5;
const CHECKED: u64 = 6;

impl Running {
    pub(super) fn new(number: u64, began: UnixMillis, boot: Millis, of: Chance) -> Self {
        Self {
            number,
            began,
            up_at: began + boot,
            end: None,
            hung: None,
            spells: Vec::new(),
            chance: of.stream(number),
        }
    }

    pub(super) fn truth(&self, now: UnixMillis) -> Truth {
        if self.end.is_some_and(|end| end.at <= now) {
            Truth::Dead
        } else if now < self.up_at {
            Truth::Booting
        } else if self.hung.is_some_and(|hung| hung <= now) {
            Truth::Hung
        } else if self.answering_spell(now).is_some() {
            Truth::Slow
        } else {
            Truth::Healthy
        }
    }

    pub(super) fn begin_spell(&mut self, spell: Spell) {
        if self.spells.len() == MAX_SPELLS {
            self.spells.remove(0);
        }
        self.spells.push(spell);
    }

    /// The spell that keeps it from answering as ever.
    pub(super) fn answering_spell(&self, at: UnixMillis) -> Option<&Spell> {
        let mut newest_first = self.spells.iter().rev();
        newest_first
            .find(|spell| spell.kind != SpellKind::Mute && spell.from <= at && at < spell.until)
    }

    /// It would have answered then.
    pub(super) fn answered(&self, at: UnixMillis) -> bool {
        self.truth(at) == Truth::Healthy
    }

    /// When its newest beats arrived, the newest first, at most `most`.
    pub(super) fn arrivals(
        &self,
        pulse: &Pulse<'_>,
        weather: &Weather,
        now: UnixMillis,
        most: usize,
    ) -> Vec<UnixMillis> {
        let mut found: Vec<UnixMillis> = Vec::with_capacity(most);
        let last = [self.end.map(|end| end.at), self.hung, Some(now)].into_iter().flatten().min();
        let Some(mut nth) = last.and_then(|last| pulse.until(last)) else { return found };
        let (first, slowest) = (pulse.first(), self.slowest(pulse));
        for _ in 0..MAX_SCAN {
            let Some(turn) = pulse.turn(nth) else { break };
            if found.len() == most && found.last().is_some_and(|oldest| turn + slowest < *oldest) {
                break;
            }
            match self.arrival(nth, pulse, weather) {
                Ok(arrived) if arrived <= now => {
                    let place = found.partition_point(|at| *at > arrived);
                    found.insert(place, arrived);
                    found.truncate(most);
                }
                Ok(_) | Err(Unsent::Lost) => {}
                // Nothing was sent since the spell began.
                Err(Unsent::Spell { from }) => match pulse.until(from) {
                    Some(before) => nth = nth.min(before + 1),
                    None => break,
                },
            }
            if nth == first {
                break;
            }
            nth -= 1;
        }
        found
    }

    /// When the next beat arrives, as far as is known now.
    pub(super) fn next_arrival(
        &self,
        pulse: &Pulse<'_>,
        weather: &Weather,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        let ends = [self.end.map(|end| end.at), self.hung].into_iter().flatten().min();
        let earliest = pulse.from(now - self.slowest(pulse));
        let mut soonest: Option<UnixMillis> = None;
        for nth in earliest..earliest + u64::from(MAX_SCAN) {
            let turn = pulse.turn(nth)?;
            if ends.is_some_and(|ends| turn > ends) || soonest.is_some_and(|soonest| turn > soonest)
            {
                break;
            }
            if let Ok(arrived) = self.arrival(nth, pulse, weather)
                && arrived > now
            {
                soonest = Some(soonest.map_or(arrived, |soonest| soonest.min(arrived)));
            }
        }
        soonest
    }

    /// Which host a beat that arrives then came to.
    pub(super) fn host_of_beat(&self, at: UnixMillis, hosts: usize) -> usize {
        self.chance.stream(ROUTE).below(at.0, hosts as u64) as usize
    }

    fn arrival(
        &self,
        nth: u64,
        pulse: &Pulse<'_>,
        weather: &Weather,
    ) -> Result<UnixMillis, Unsent> {
        let (sent, way) = pulse.sent(nth).ok_or(Unsent::Lost)?;
        let stopped = [self.end.map(|end| end.at), self.hung].into_iter().flatten().min();
        if stopped.is_some_and(|stopped| sent >= stopped) {
            return Err(Unsent::Lost);
        }
        let mut extra = Millis::ZERO;
        for spell in self.spells.iter().filter(|spell| spell.from <= sent && sent < spell.until) {
            match spell.kind {
                SpellKind::Hang | SpellKind::Mute => {
                    return Err(Unsent::Spell { from: spell.from });
                }
                SpellKind::Slow { late, .. } => extra = extra.max(late),
            }
        }
        let arrived = sent + way + extra;
        weather.beat_arrives(self.host_of_beat(sent, weather.hosts()), arrived).ok_or(Unsent::Lost)
    }

    fn slowest(&self, pulse: &Pulse<'_>) -> Millis {
        let extra = self.spells.iter().map(|spell| match spell.kind {
            SpellKind::Slow { late, .. } => late,
            SpellKind::Hang | SpellKind::Mute => Millis::ZERO,
        });
        pulse.slowest().saturating_add(extra.max().unwrap_or_default())
    }

    /// Whether the runtime's health check calls it unhealthy: the newest `retries`
    /// checks failed.
    pub(super) fn is_unhealthy(&self, every: Millis, retries: u32, now: UnixMillis) -> bool {
        let newest = self.up_at.age(now).0 / every.0;
        let fails = |nth: u64| {
            let at = self.up_at + Millis(nth * every.0);
            match self.truth(at) {
                Truth::Hung | Truth::Dead => true,
                Truth::Slow => self.answering_spell(at).is_some_and(|spell| match spell.kind {
                    SpellKind::Slow { share, .. } => {
                        self.chance.stream(CHECKED).happens(nth, share)
                    }
                    SpellKind::Hang | SpellKind::Mute => true,
                }),
                Truth::Healthy | Truth::Booting => false,
            }
        };
        let retries = u64::from(retries);
        newest + 1 >= retries && (newest + 1 - retries..=newest).all(fails)
    }
}

/// Why a beat does not arrive.
enum Unsent {
    Lost,
    Spell { from: UnixMillis },
}
