//! Times in which something happened, and to whom.
//!
//! A day has hours in which nothing happens, and a fleet workspaces to which nothing
//! does. They are left out, so that what happens within seconds can be seen. A fleet in
//! which some verdict falls all the time still has its episodes: those in which
//! somebody was down, ruled dead or restarted, or could not be seen.

use reprieve_core::time::{Millis, UnixMillis};
use reprieve_lab::Truth;

use super::{
    Mark, Span, Timeline,
    gather::{Lane, truth_name},
};

/// A quiet time of so long parts two episodes.
const QUIET: Millis = Millis::from_secs(120);
/// Episodes that are drawn, those in which most happened.
pub(super) const MAX_EPISODES: usize = 10;
/// Lanes of one that are drawn, those in which most happened.
pub(super) const MAX_LANES: usize = 20;
/// Marks of one lane that are drawn: deaths and restarts before verdicts before beats.
pub(super) const MAX_MARKS: usize = 150;
/// Spans of one lane that are drawn, the first.
const MAX_SPANS: usize = 100;
/// What is seen before and after, of the whole, and at least.
const MARGIN: u64 = 20;
const MIN_MARGIN: Millis = Millis::from_secs(15);
/// What has this weight makes an episode, if anything has.
const GRAVE: u64 = 10;

/// What one picture shows.
#[derive(Debug)]
pub(super) struct Episode {
    pub(super) from: UnixMillis,
    pub(super) until: UnixMillis,
    /// What befell hosts: who, and what.
    pub(super) around: Vec<(String, Vec<Span>)>,
    pub(super) lanes: Vec<Strip>,
    /// Workspaces to which something happened, and that are not drawn.
    pub(super) lanes_left_out: usize,
    weight: u64,
}

/// A lane within an episode.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) workspace: String,
    pub(super) tenant: Option<String>,
    /// By time.
    pub(super) marks: Vec<Mark>,
    pub(super) marks_left_out: usize,
    /// None: nobody knows.
    pub(super) truths: Option<Vec<(Span, Truth)>>,
    pub(super) troubles: Vec<Span>,
    weight: u64,
}

/// The episodes that are drawn, by time, and how many are not.
pub(super) fn episodes(timeline: &Timeline) -> (Vec<Episode>, usize) {
    let windows = match timeline.between {
        Some(between) => vec![between],
        None => windows(timeline),
    };
    let mut found: Vec<Episode> = windows
        .into_iter()
        .map(|window| Episode::within(timeline, window))
        .filter(|episode| !episode.lanes.is_empty())
        .collect();
    let count = found.len();
    // The same weight: the first.
    found.sort_by_key(|episode| std::cmp::Reverse(episode.weight));
    found.truncate(MAX_EPISODES);
    found.sort_by_key(|episode| episode.from);
    let left_out = count - found.len();
    (found, left_out)
}

/// From one quiet time to the next, with a margin.
fn windows(timeline: &Timeline) -> Vec<(UnixMillis, UnixMillis)> {
    let mut moments = moments(timeline, GRAVE);
    if moments.is_empty() {
        moments = self::moments(timeline, 1);
    }
    moments.sort_unstable();
    let mut windows: Vec<(UnixMillis, UnixMillis)> = Vec::new();
    for (from, until) in moments {
        match windows.last_mut() {
            Some((_, end)) if end.age(from) < QUIET => *end = until.max(*end),
            _ => windows.push((from, until)),
        }
    }
    for (from, until) in &mut windows {
        let margin = Millis(from.age(*until).0 / MARGIN).max(MIN_MARGIN);
        (*from, *until) = (*from - margin, *until + margin);
    }
    windows
}

/// When something of that weight happened.
fn moments(timeline: &Timeline, weight: u64) -> Vec<(UnixMillis, UnixMillis)> {
    let mut moments = Vec::new();
    for lane in timeline.lanes.values() {
        let marks = lane.marks.iter().filter(|mark| mark.kind.weight() >= weight);
        moments.extend(marks.map(|mark| (mark.from, mark.at)));
        let turns = lane.truths.iter().filter(|(_, truth)| weight_of(*truth) >= weight);
        moments.extend(turns.map(|(at, _)| (*at, *at)));
    }
    moments
}

const fn weight_of(truth: Truth) -> u64 {
    match truth {
        Truth::Healthy => 0,
        Truth::Booting | Truth::Slow => 2,
        Truth::Hung | Truth::Dead => 50,
    }
}

impl Episode {
    fn within(timeline: &Timeline, (from, until): (UnixMillis, UnixMillis)) -> Self {
        let known = timeline.is_simulated();
        let mut lanes: Vec<Strip> = timeline
            .lanes
            .iter()
            .map(|(workspace, lane)| Strip::of(workspace, lane, known, (from, until)))
            .filter(|strip| strip.weight > 0)
            .collect();
        let weight = lanes.iter().map(|strip| strip.weight).sum();
        // The same weight: by name, numbers as numbers.
        lanes.sort_by_key(|strip| {
            let name = strip.workspace.clone();
            (std::cmp::Reverse(strip.weight), name.len(), name)
        });
        let lanes_left_out = lanes.len().saturating_sub(MAX_LANES);
        lanes.truncate(MAX_LANES);
        let around = timeline.around.iter().map(|(who, spans)| {
            let within = spans.iter().filter_map(|span| span.cut(from, until));
            (who.clone(), within.take(MAX_SPANS).collect::<Vec<_>>())
        });
        let around = around.filter(|(_, spans)| !spans.is_empty()).collect();
        Self { from, until, around, lanes, lanes_left_out, weight }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.lanes.iter().flat_map(|strip| &strip.marks)
    }
}

impl Strip {
    fn of(
        workspace: &str,
        lane: &Lane,
        known: bool,
        (from, until): (UnixMillis, UnixMillis),
    ) -> Self {
        let is_within = |mark: &&Mark| mark.at >= from && mark.from <= until;
        let mut marks: Vec<Mark> = lane.marks.iter().filter(is_within).cloned().collect();
        let truths = truths(lane, from, until);
        let weight_of_marks: u64 = marks.iter().map(|mark| mark.kind.weight()).sum();
        let weight_of_truths: u64 = truths.iter().map(|(_, truth)| weight_of(*truth)).sum();
        let marks_left_out = marks.len().saturating_sub(MAX_MARKS);
        if marks_left_out > 0 {
            marks.sort_by_key(|mark| (std::cmp::Reverse(mark.kind.weight()), mark.at));
            marks.truncate(MAX_MARKS);
            marks.sort_by_key(|mark| (mark.at, mark.kind));
        }
        let troubles = lane.troubles.iter().filter_map(|span| span.cut(from, until));
        Self {
            workspace: workspace.to_owned(),
            tenant: lane.tenant.clone(),
            marks,
            marks_left_out,
            truths: known.then(|| truths.into_iter().take(MAX_SPANS).collect()),
            troubles: troubles.take(MAX_SPANS).collect(),
            weight: weight_of_marks + weight_of_truths,
        }
    }
}

/// How it was within that time, without a gap.
fn truths(lane: &Lane, from: UnixMillis, until: UnixMillis) -> Vec<(Span, Truth)> {
    let before = lane.truths.partition_point(|(at, _)| *at <= from);
    let mut truth = before.checked_sub(1).map_or(Truth::Healthy, |last| lane.truths[last].1);
    let mut since = from;
    let mut spans = Vec::new();
    let turns = lane.truths[before..].iter().take_while(|(at, _)| *at < until);
    for (at, next) in turns.copied().chain([(until, truth)]) {
        let told = truth_name(truth).to_owned();
        spans.push((Span { from: since, until: at, told }, truth));
        (since, truth) = (at, next);
    }
    spans
}

impl Span {
    /// None: it was at another time.
    fn cut(&self, from: UnixMillis, until: UnixMillis) -> Option<Self> {
        let is_within = self.until > from && self.from < until;
        is_within.then(|| Self {
            from: self.from.max(from),
            until: self.until.min(until),
            told: self.told.clone(),
        })
    }
}
