//! The imports of the contract: every one is a question of the running pass.

use reprieve_core::{
    evidence::{Answer, Question},
    time::Millis,
};
use wasmtime::Result;

use crate::{
    MAX_NOTE_BYTES, PolicyFailure,
    contract::{heartbeat, memory, probe, restarts, subject, surroundings, types},
    store::State,
    words,
};

impl State {
    fn ask(&mut self, question: Question) -> Result<&Answer> {
        Ok(self.running_pass()?.ask(question))
    }
}

/// Takes the one kind of answer that [`crate::pass::Pass::ask`] gives to the
/// question; it lets no other through.
macro_rules! answered {
    ($state:ident, $question:expr, $kind:ident) => {
        match $state.ask($question)? {
            Answer::$kind(answer) => answer,
            other => return Err(wasmtime::format_err!("{other:?} answers another question")),
        }
    };
}

impl types::Host for State {}

impl subject::Host for State {
    fn describe(&mut self) -> Result<subject::Workspace> {
        Ok(words::subject(answered!(self, Question::Subject, Subject)))
    }
}

impl probe::Host for State {
    fn look(&mut self) -> Result<Result<probe::Sighting, probe::Fault>> {
        let seen = *answered!(self, Question::Look, Look);
        Ok(seen.map(words::sighting).map_err(words::probe_fault))
    }
}

impl heartbeat::Host for State {
    fn newest(&mut self) -> Result<Result<Option<heartbeat::Beat>, heartbeat::Fault>> {
        Ok(words::newest(*answered!(self, Question::NewestBeat, NewestBeat)))
    }

    fn intervals(&mut self, limit: u32) -> Result<Result<Vec<u64>, heartbeat::Fault>> {
        let intervals = answered!(self, Question::Intervals { limit }, Intervals);
        Ok(match intervals {
            Ok(all) => Ok(all.iter().copied().map(words::millis).collect()),
            Err(fault) => Err(words::heartbeat_fault(*fault)),
        })
    }

    fn newest_contact(&mut self) -> Result<Result<Option<heartbeat::Beat>, heartbeat::Fault>> {
        Ok(words::newest(*answered!(self, Question::NewestContact, NewestContact)))
    }
}

impl restarts::Host for State {
    fn current(&mut self) -> Result<Result<restarts::Life, restarts::Fault>> {
        let life = *answered!(self, Question::CurrentLife, CurrentLife);
        Ok(life.map(words::life).map_err(words::restarts_fault))
    }

    fn count(&mut self, within: u64) -> Result<Result<u32, restarts::Fault>> {
        let question = Question::RestartCount { within: Millis(within) };
        let count = *answered!(self, question, RestartCount);
        Ok(count.map_err(words::restarts_fault))
    }
}

impl memory::Host for State {
    fn read(&mut self) -> Result<Result<Option<memory::Note>, memory::Fault>> {
        Ok(match answered!(self, Question::Memory, Memory) {
            Ok(note) => Ok(note.clone().map(words::note)),
            Err(fault) => Err(words::memory_fault(*fault)),
        })
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let pass = self.running_pass()?;
        if bytes.len() > MAX_NOTE_BYTES {
            let failure = PolicyFailure::NoteTooLarge { bytes: bytes.len(), limit: MAX_NOTE_BYTES };
            return Err(self.stop(failure));
        }
        pass.write(bytes);
        Ok(())
    }
}

impl surroundings::Host for State {
    fn eyesight_between(&mut self, since: u64, until: u64) -> Result<surroundings::Eyesight> {
        let question = Question::Eyesight { since: Millis(since), until: Millis(until) };
        Ok(words::eyesight(*answered!(self, question, Eyesight)))
    }

    fn tenant_fleet(&mut self, within: u64) -> Result<surroundings::Fleet> {
        let question = Question::Fleet { within: Millis(within) };
        Ok(words::fleet(*answered!(self, question, Fleet)))
    }
}
