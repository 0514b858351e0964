//! Judgements that depend on every bit that they are told: whatever the host
//! gets wrong shows in the verdict.

use reprieve_policy::{
    Attempt, Beat, Evidence, Judgement, Life, Millis, Note, Sighting, StoreFault,
};

/// Asks everything once and puts a digest of the answers in the note.
pub(crate) fn everything<R>(evidence: &impl Evidence, reason: R) -> Judgement<R> {
    let mut told = Told::default();
    (0..QUESTIONS).for_each(|question| told.ask(evidence, question));
    evidence.write_note(&told.0.to_le_bytes());
    Judgement::busy(Millis(5_000), reason)
}

/// Asks six things; each answer decides which is the next.
pub(crate) fn walk<R>(evidence: &impl Evidence, attempt: Attempt, reason: R) -> Judgement<R> {
    let mut told = Told::default();
    told.number(u64::from(attempt.number));
    told.number(attempt.since_first.0);
    for _ in 0..6 {
        let question = told.0 % QUESTIONS;
        told.ask(evidence, question);
    }
    evidence.write_note(&told.0.to_le_bytes());
    match told.0 % 3 {
        0 => Judgement::alive(reason),
        1 => Judgement::busy(Millis(1_000 + told.0 % 60_000), reason),
        _ => Judgement::dead(reason),
    }
}

const QUESTIONS: u64 = 10;

/// A digest of what was told so far (FNV-1a).
struct Told(u64);

impl Default for Told {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Told {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn number(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }

    fn maybe(&mut self, number: Option<u64>) {
        self.byte(u8::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
    }

    fn ask(&mut self, evidence: &impl Evidence, question: u64) {
        match question {
            0 => {
                let subject = evidence.subject();
                self.text(&subject.id);
                self.text(&subject.tenant);
                self.text(&subject.kind);
                for (key, value) in &subject.labels {
                    self.text(key);
                    self.text(value);
                }
            }
            1 => match evidence.look() {
                Ok(sighting) => self.sighting(&sighting),
                Err(fault) => self.byte(fault as u8),
            },
            2 => self.newest(evidence.newest_beat()),
            3 => self.newest(evidence.newest_contact()),
            4 => match evidence.intervals(5) {
                Ok(intervals) => intervals.iter().for_each(|interval| self.number(interval.0)),
                Err(StoreFault) => self.byte(250),
            },
            5 => match evidence.current_life() {
                Ok(life) => self.life(&life),
                Err(StoreFault) => self.byte(251),
            },
            6 => match evidence.restart_count(Millis(600_000)) {
                Ok(count) => self.number(u64::from(count)),
                Err(StoreFault) => self.byte(252),
            },
            7 => match evidence.note() {
                Ok(note) => self.note(note.as_ref()),
                Err(StoreFault) => self.byte(253),
            },
            8 => {
                let seen = evidence.eyesight_between(Millis(30_000), Millis(1_000));
                self.number(u64::from(seen.probes));
                self.number(u64::from(seen.probe_faults));
                self.number(u64::from(seen.store_faults));
                self.number(seen.loop_lag.0);
            }
            _ => {
                let fleet = evidence.tenant_fleet(Millis(5_000));
                self.number(u64::from(fleet.workspaces));
                self.number(u64::from(fleet.suspected));
                self.number(u64::from(fleet.restarting));
            }
        }
    }

    fn sighting(&mut self, sighting: &Sighting) {
        self.byte(sighting.status as u8);
        self.maybe(sighting.uptime.map(|age| age.0));
        self.maybe(sighting.ended.map(|age| age.0));
        self.maybe(sighting.exit_code.map(|code| u64::from(code.cast_unsigned())));
        self.byte(u8::from(sighting.out_of_memory));
        self.maybe(sighting.health.map(|health| health as u64));
    }

    fn newest(&mut self, newest: Result<Option<Beat>, StoreFault>) {
        match newest {
            Ok(beat) => {
                self.maybe(beat.map(|beat| beat.age.0));
                self.byte(u8::from(beat.is_some_and(|beat| beat.this_life)));
            }
            Err(StoreFault) => self.byte(254),
        }
    }

    fn life(&mut self, life: &Life) {
        self.byte(u8::from(life.in_flight));
        self.maybe(life.began.map(|age| age.0));
        self.maybe(life.cause.map(|cause| cause as u64));
        self.byte(u8::from(life.revision_stale));
    }

    fn note(&mut self, note: Option<&Note>) {
        self.maybe(note.map(|note| note.age.0));
        note.into_iter().flat_map(|note| &note.bytes).for_each(|byte| self.byte(*byte));
    }
}
