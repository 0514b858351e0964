//! Made-up evidence, to test rules with.
//!
//! It begins with what is plainly well, and each method tells one thing that is
//! not: `FakeEvidence::seen(Status::Stopped).beat(Millis(700)).restarted(3)`.

use std::cell::RefCell;

use crate::{
    evidence::{
        Beat, Evidence, Eyesight, Fleet, Life, Note, ProbeFault, Sighting, Status, StoreFault,
        Subject,
    },
    words::Millis,
};

/// One import, as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Subject,
    Look,
    NewestBeat,
    Intervals { limit: u32 },
    NewestContact,
    CurrentLife,
    RestartCount { within: Millis },
    Memory,
    Eyesight { since: Millis, until: Millis },
    Fleet { within: Millis },
}

/// Every answer is a field. To start with: a workspace that runs, never beat and
/// was never restarted, alone in its fleet, seen by a host without a fault.
#[derive(Clone, Debug)]
pub struct FakeEvidence {
    pub subject: Subject,
    pub look: Result<Sighting, ProbeFault>,
    pub newest_beat: Result<Option<Beat>, StoreFault>,
    pub intervals: Result<Vec<Millis>, StoreFault>,
    pub newest_contact: Result<Option<Beat>, StoreFault>,
    pub current_life: Result<Life, StoreFault>,
    pub restart_count: Result<u32, StoreFault>,
    pub memory: Result<Option<Note>, StoreFault>,
    /// For every window that `eyesight_windows` does not name.
    pub eyesight: Eyesight,
    /// For the window from `.0` ago until `.1` ago.
    pub eyesight_windows: Vec<(Millis, Millis, Eyesight)>,
    pub fleet: Fleet,
    /// What a policy did with it. Public so that tests can write
    /// `FakeEvidence { look, ..FakeEvidence::default() }`.
    pub trace: Trace,
}

/// What was asked and written; read through [`FakeEvidence`].
#[derive(Clone, Debug, Default)]
pub struct Trace {
    asked: RefCell<Vec<Question>>,
    written: RefCell<Option<Vec<u8>>>,
}

impl Default for FakeEvidence {
    fn default() -> Self {
        Self {
            subject: Subject::default(),
            look: Ok(Sighting::bare(Status::Running)),
            newest_beat: Ok(None),
            intervals: Ok(Vec::new()),
            newest_contact: Ok(None),
            current_life: Ok(Life::default()),
            restart_count: Ok(0),
            memory: Ok(None),
            eyesight: Eyesight::default(),
            eyesight_windows: Vec::new(),
            fleet: Fleet { workspaces: 1, suspected: 0, restarting: 0 },
            trace: Trace::default(),
        }
    }
}

impl FakeEvidence {
    /// Of a workspace whose probe sees this status and nothing else.
    #[must_use]
    pub fn seen(status: Status) -> Self {
        Self { look: Ok(Sighting::bare(status)), ..Self::default() }
    }

    /// Of a workspace that cannot be seen.
    #[must_use]
    pub fn unseen(fault: ProbeFault) -> Self {
        Self { look: Err(fault), ..Self::default() }
    }

    /// The runtime reports that the last run ended so long ago.
    #[must_use]
    pub fn ended(mut self, age: Millis) -> Self {
        if let Ok(sighting) = &mut self.look {
            sighting.ended = Some(age);
        }
        self
    }

    /// The newest beat is of this life, and so old.
    #[must_use]
    pub fn beat(mut self, age: Millis) -> Self {
        self.newest_beat = Ok(Some(Beat { age, this_life: true }));
        self
    }

    /// The newest contact is of this life, and so old.
    #[must_use]
    pub fn contact(mut self, age: Millis) -> Self {
        self.newest_contact = Ok(Some(Beat { age, this_life: true }));
        self
    }

    /// The last restart began so long ago.
    #[must_use]
    pub fn began(mut self, age: Millis) -> Self {
        let life = self.current_life.unwrap_or_default();
        self.current_life = Ok(Life { began: Some(age), ..life });
        self
    }

    /// A restart is being carried out at this moment.
    #[must_use]
    pub fn in_flight(mut self) -> Self {
        let life = self.current_life.unwrap_or_default();
        self.current_life = Ok(Life { in_flight: true, ..life });
        self
    }

    /// So many restarts that no person asked for began, in every window.
    #[must_use]
    pub fn restarted(mut self, times: u32) -> Self {
        self.restart_count = Ok(times);
        self
    }

    /// A judgement that long ago left this note.
    #[must_use]
    pub fn noted(mut self, bytes: &[u8], age: Millis) -> Self {
        self.memory = Ok(Some(Note { bytes: bytes.to_vec(), age }));
        self
    }

    /// No store of the host can be read.
    #[must_use]
    pub fn without_stores(mut self) -> Self {
        self.newest_beat = Err(StoreFault);
        self.newest_contact = Err(StoreFault);
        self.intervals = Err(StoreFault);
        self.current_life = Err(StoreFault);
        self.restart_count = Err(StoreFault);
        self.memory = Err(StoreFault);
        self
    }

    /// How well the host saw, in every window.
    #[must_use]
    pub fn eyesight(mut self, eyesight: Eyesight) -> Self {
        self.eyesight = eyesight;
        self
    }

    /// The tenant's other workspaces.
    #[must_use]
    pub fn fleet(mut self, fleet: Fleet) -> Self {
        self.fleet = fleet;
        self
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<Question> {
        self.trace.asked.borrow().clone()
    }

    /// How often the runtime was asked.
    pub fn looks(&self) -> usize {
        self.trace.asked.borrow().iter().filter(|question| **question == Question::Look).count()
    }

    /// The note that was written last, if one was.
    pub fn written(&self) -> Option<Vec<u8>> {
        self.trace.written.borrow().clone()
    }

    fn ask(&self, question: Question) {
        self.trace.asked.borrow_mut().push(question);
    }
}

impl Evidence for FakeEvidence {
    fn subject(&self) -> Subject {
        self.ask(Question::Subject);
        self.subject.clone()
    }

    fn look(&self) -> Result<Sighting, ProbeFault> {
        self.ask(Question::Look);
        self.look
    }

    fn newest_beat(&self) -> Result<Option<Beat>, StoreFault> {
        self.ask(Question::NewestBeat);
        self.newest_beat
    }

    fn intervals(&self, limit: u32) -> Result<Vec<Millis>, StoreFault> {
        self.ask(Question::Intervals { limit });
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        self.intervals.clone().map(|all| all.into_iter().take(take).collect())
    }

    fn newest_contact(&self) -> Result<Option<Beat>, StoreFault> {
        self.ask(Question::NewestContact);
        self.newest_contact
    }

    fn current_life(&self) -> Result<Life, StoreFault> {
        self.ask(Question::CurrentLife);
        self.current_life
    }

    fn restart_count(&self, within: Millis) -> Result<u32, StoreFault> {
        self.ask(Question::RestartCount { within });
        self.restart_count
    }

    fn note(&self) -> Result<Option<Note>, StoreFault> {
        self.ask(Question::Memory);
        self.memory.clone()
    }

    fn write_note(&self, bytes: &[u8]) {
        *self.trace.written.borrow_mut() = Some(bytes.to_vec());
    }

    fn eyesight_between(&self, since: Millis, until: Millis) -> Eyesight {
        self.ask(Question::Eyesight { since, until });
        let named = |window: &&(Millis, Millis, Eyesight)| (window.0, window.1) == (since, until);
        self.eyesight_windows.iter().find(named).map_or(self.eyesight, |window| window.2)
    }

    fn tenant_fleet(&self, within: Millis) -> Fleet {
        self.ask(Question::Fleet { within });
        self.fleet
    }
}
