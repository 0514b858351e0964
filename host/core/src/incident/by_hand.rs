//! What people do with a workspace, through the host or through the runtime itself.

use super::{Incident, Phase, Standing, Step, Wish};
use crate::{ids::LifeId, judgement::RestartCause, time::UnixMillis};

impl Incident {
    /// A run began that nobody here ordered, and the store made it the next life.
    /// Whoever started it wants it to run.
    pub fn began_elsewhere(&mut self, life: LifeId, began: UnixMillis) -> Vec<Step> {
        if self.is_in_flight() || self.standing == Standing::Removed {
            return vec![];
        }
        self.life = life;
        self.standing = Standing::Wanted;
        self.phase = Phase::Settling;
        self.offline = true;
        self.unseen_since = Some(began);
        self.doubted = false;
        self.wishes.clear();
        vec![Step::ForgetMemory, Step::AskSettled]
    }

    /// A person ended the run through the runtime itself: nothing starts it until
    /// a person does.
    pub fn ended_by_hand(&mut self) {
        if self.standing == Standing::Wanted && !self.is_in_flight() {
            self.standing = Standing::Paused;
            self.phase = Phase::Resting;
            self.offline = true;
            self.doubted = false;
            self.wishes.clear();
        }
    }

    /// A person pauses, hibernates or removes the workspace: it is stopped, and
    /// nothing restarts it by itself. Refused while a restart is in flight.
    pub fn put_to_rest(&mut self, standing: Standing) -> Result<Vec<Step>, Wish> {
        if self.is_in_flight() {
            return Err(Wish::InFlight);
        }
        if standing == Standing::Wanted || self.standing == Standing::Removed {
            return Err(Wish::NotAllowed(self.standing));
        }
        let to_stop = self.standing == Standing::Wanted && self.restartable && !self.stopping;
        self.standing = standing;
        self.phase = Phase::Resting;
        self.wishes.clear();
        self.doubted = false;
        self.stopping |= to_stop;
        Ok(if to_stop { vec![Step::Stop] } else { vec![] })
    }

    /// The backend ended the run that was put to rest. Who was wanted back
    /// meanwhile is started now.
    pub fn stopped(&mut self, now: UnixMillis) -> Vec<Step> {
        if !std::mem::take(&mut self.stopping) {
            return vec![];
        }
        self.offline = true;
        self.take_up(now)
    }

    /// A person wants a paused or hibernated workspace back.
    pub fn resume(&mut self, now: UnixMillis) -> (Wish, Vec<Step>) {
        match self.standing {
            Standing::Removed => (Wish::NotAllowed(Standing::Removed), vec![]),
            Standing::Wanted => (Wish::Taken, vec![]),
            Standing::Paused | Standing::Hibernated => {
                self.standing = Standing::Wanted;
                if self.restartable {
                    self.wish(RestartCause::Operator, now)
                } else {
                    (Wish::Taken, vec![])
                }
            }
        }
    }
}
