//! Who has been silent for too long: the real watch, told of beats when it would
//! report somebody.

use reprieve_core::{
    judgement::Trigger,
    supervision::{MAX_SILENT_PER_TICK, SILENCE_TICK},
};

use super::{Simulation, agenda::AtHost, host::next_tick};

impl Simulation<'_> {
    /// Tells a host's watch the newest sign of a workspace.
    pub(super) fn feed(&mut self, h: usize, w: usize) {
        let signs = self.signs(w, false);
        let id = &self.workspaces[w].who.workspace;
        let liveness = &mut self.hosts[h].liveness;
        if let Some((at, life)) = signs.beat {
            liveness.beat(id, life, at);
        }
        if let Some((at, life)) = signs.contact {
            liveness.contact(id, life, at);
        }
    }

    /// Plans to ask who is overdue, at the first tick at which somebody may be.
    pub(super) fn plan_silence(&mut self, h: usize) {
        let host = &mut self.hosts[h];
        let Some(deadline) = host.liveness.next_deadline() else { return };
        let at = next_tick(deadline.max(self.now), SILENCE_TICK);
        if host.silence.set_for.is_none_or(|planned| at < planned) {
            let stamp = host.silence.set(at);
            self.plan_at(at, h, AtHost::Silence { stamp });
        }
    }

    pub(super) fn ask_who_is_silent(&mut self, h: usize, stamp: u32) {
        if !self.hosts[h].silence.strike(stamp) {
            return;
        }
        let mut silent = Vec::new();
        // Ends: whoever is reported is silent, or has a later deadline from here on.
        while silent.len() < MAX_SILENT_PER_TICK
            && let Some(id) = self.hosts[h].liveness.expired(self.now, 1).pop()
        {
            let w = place_of(id.as_str());
            let known = self.hosts[h].liveness.signs(&id);
            self.feed(h, w);
            if self.hosts[h].liveness.signs(&id) == known {
                silent.push(w);
            }
        }
        if silent.len() == MAX_SILENT_PER_TICK {
            let at = self.now + SILENCE_TICK;
            let stamp = self.hosts[h].silence.set(at);
            self.plan_at(at, h, AtHost::Silence { stamp });
        }
        for w in silent {
            self.judge(h, w, Trigger::HeartbeatExpired, None);
            // Its next sign begins its watch anew: somebody has to hear it.
            self.workspaces[w].unheard = true;
            self.rouse(w);
        }
        self.plan_silence(h);
    }

    /// A sign of a workspace came that was reported silent, or of a new run.
    pub(super) fn heard(&mut self, w: usize) {
        for h in 0..self.hosts.len() {
            self.feed(h, w);
            self.plan_silence(h);
        }
    }
}

/// `ws-7` is the seventh.
fn place_of(name: &str) -> usize {
    name.strip_prefix("ws-").and_then(|number| number.parse::<usize>().ok()).unwrap_or(1) - 1
}
