//! Beats and probes of a scenario: made by chance, or played from files beside it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use reprieve_core::time::Millis;
use serde::Deserialize;
use toml::Spanned;

use super::{Place, SHORTEST_INTERVAL, ScenarioRefused, a_moment};
use crate::{
    Between, Length, Share,
    history::{BeatTrace, ProbeTrace, Refused, TimeUnit},
};

/// Opens a file that a scenario names, beside it.
pub type Open<'a> = dyn FnMut(&str) -> io::Result<Box<dyn Read>> + 'a;

/// How workspaces give signs of life.
#[derive(Clone, Debug)]
pub(crate) enum Beats {
    Made(MadeBeats),
    /// The first workspace as the first of the trace, and so on; where there are more
    /// workspaces, the trace begins anew.
    Recorded(Arc<BeatTrace>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeBeats {
    pub(crate) every: Length,
    /// Each is sent up to so much later.
    pub(crate) jitter: Length,
    /// Each is under way for so long.
    pub(crate) late: Between,
    pub(crate) lost: Share,
}

/// How the runtime answers when it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Probes {
    pub(crate) takes: Between,
    /// So many end in a fault of some kind, on an ordinary day.
    pub(crate) fail: Share,
    /// Each takes as long, and ends in the same fault, as the newest on record.
    pub(crate) trace: Option<Arc<ProbeTrace>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBeats {
    trace: Option<Spanned<String>>,
    every: Option<Length>,
    jitter: Option<Length>,
    late: Option<Between>,
    lost: Option<Share>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbes {
    trace: Option<Spanned<String>>,
    takes: Option<Between>,
    fail: Option<Share>,
}

impl RawBeats {
    pub(super) fn check(
        beats: Spanned<Self>,
        place: &Place<'_>,
        lasts: Millis,
        open: &mut Open<'_>,
    ) -> Result<Beats, ScenarioRefused> {
        const FIELD: &str = "workspaces.beats";
        let refused = |detail: String| Err(place.refused(&beats, FIELD, detail));
        let Self { trace, every, jitter, late, lost } = beats.get_ref();
        match (trace, every) {
            (None, None) => refused("say `every`, or `trace`: a file of beats".to_owned()),
            (Some(_), None) if jitter.is_none() && late.is_none() && lost.is_none() => {
                let Self { trace: Some(trace), .. } = beats.into_inner() else {
                    return Err(place.refused(&Spanned::new(0..0, ()), FIELD, "has no trace"));
                };
                let read = |file| BeatTrace::read(file, Some(TimeUnit::Millis));
                let played = trace_of(&trace, place, "workspaces.beats.trace", open, read)?;
                let begins = played.begins().unwrap_or_default();
                if begins >= lasts {
                    let detail = format!(
                        "its first beat is sent {begins} after the beginning, and the scenario \
                         lasts {lasts}; times count from the scenario's beginning, as `reprieve \
                         import` writes them"
                    );
                    return Err(place.refused(&trace, "workspaces.beats.trace", detail));
                }
                Ok(Beats::Recorded(Arc::new(played)))
            }
            (Some(_), _) => {
                refused("a `trace` says all of it: nothing stands beside it".to_owned())
            }
            (None, Some(every)) => {
                let (every, jitter) = (*every, jitter.unwrap_or_default());
                if every.0 < SHORTEST_INTERVAL || jitter > every {
                    return refused(format!(
                        "`every` must be at least \"{}\", and `jitter` no longer than `every`",
                        Length(SHORTEST_INTERVAL)
                    ));
                }
                let (late, lost) = (late.unwrap_or(a_moment()), lost.unwrap_or_default());
                Ok(Beats::Made(MadeBeats { every, jitter, late, lost }))
            }
        }
    }
}

impl RawProbes {
    pub(super) fn check(
        self,
        place: &Place<'_>,
        open: &mut Open<'_>,
    ) -> Result<Probes, ScenarioRefused> {
        let trace = match &self.trace {
            None => None,
            Some(trace) if self.takes.is_some() || self.fail.is_some() => {
                let detail = "a `trace` says all of it: nothing stands beside it";
                return Err(place.refused(trace, "probes.trace", detail));
            }
            Some(trace) => {
                let read = |file| ProbeTrace::read(file, Some(TimeUnit::Millis));
                Some(Arc::new(trace_of(trace, place, "probes.trace", open, read)?))
            }
        };
        Ok(Probes {
            takes: self.takes.unwrap_or(a_moment()),
            fail: self.fail.unwrap_or_default(),
            trace,
        })
    }
}

fn trace_of<T>(
    trace: &Spanned<String>,
    place: &Place<'_>,
    field: &str,
    open: &mut Open<'_>,
    read: impl FnOnce(Box<dyn Read>) -> Result<T, Refused>,
) -> Result<T, ScenarioRefused> {
    let name = trace.get_ref();
    let file = open(name)
        .map_err(|error| place.refused(trace, field, format!("cannot read {name}: {error}")))?;
    read(file).map_err(|refused| place.refused(trace, field, format!("{name}, {refused}")))
}
