//! What was so, as far as a history tells: when runs ended, when nobody answered, and
//! when somebody was only called down.

use std::collections::{BTreeSet, HashMap};

use reprieve_core::time::Millis;

use super::{
    BeatTrace, Outage, Problem, Refused,
    beats::{Birth, Sender},
    problem::shown,
};

/// Everybody at once: nobody could be reached.
const ALL: &str = "*";
/// Who answers probes, if no workspace is called so.
const RUNTIME: &str = "runtime";

/// Something that happened, in the file's own time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Millis,
    /// None: to all.
    pub(super) workspace: Option<usize>,
    pub(super) what: What,
    /// For how long. None: until somebody restarts it.
    pub(super) lasts: Option<Millis>,
    pub(super) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Crash,
    Hang,
    Slow,
    Lie,
    Cut,
    Stall,
}

impl What {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Slow => "slow",
            Self::Lie => "lie",
            Self::Cut => "cut",
            Self::Stall => "stall",
        }
    }
}

/// The truth of a history.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) events: Vec<Event>,
    /// By workspace: the beats after which it would have gone on beating, had somebody
    /// restarted it.
    pub(super) gaps: Vec<BTreeSet<usize>>,
}

/// `end`: of the history. `names`: of the workspaces, in their order.
pub(super) fn ground(
    beats: Option<&BeatTrace>,
    outages: &[Outage],
    names: &[String],
    end: Millis,
) -> Result<Ground, Refused> {
    let places: HashMap<&str, usize> =
        names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut ground = Ground { events: vec![], gaps: vec![BTreeSet::new(); names.len()] };
    let (mut refused, mut explained) = (Refused::default(), BTreeSet::new());
    for outage in outages {
        let lasts = Some(outage.began.age_at(outage.ended.unwrap_or(end)));
        let of_all = match (places.get(outage.target.as_str()), outage.target.as_str()) {
            (Some(place), _) => {
                let sender = beats.map(|beats| &beats.senders[*place]);
                let (event, birth) = of_workspace(outage, *place, sender, end);
                explained.extend(birth.map(|birth| (*place, birth)));
                if let Some(sender) =
                    sender.filter(|_| matches!(event.what, What::Crash | What::Hang))
                {
                    ground.gaps[*place].extend(gaps(sender, event.at, outage.ended.unwrap_or(end)));
                }
                ground.events.push(event);
                continue;
            }
            (None, ALL) => What::Cut,
            (None, RUNTIME) => What::Stall,
            (None, target) => {
                let detail = format!(
                    "{} is nobody whose beats are there; known are {}, \"*\" for all at once and \
                     \"runtime\" for what answers probes",
                    shown(target),
                    shown(&names.join(", "))
                );
                refused.add(Problem::new(outage.line, "target", detail));
                continue;
            }
        };
        let why = format!("line {}: {}", outage.line, said(outage.status_code));
        let at = outage.began;
        ground.events.push(Event { at, workspace: None, what: of_all, lasts, why });
    }
    for (place, sender) in beats.iter().flat_map(|beats| beats.senders.iter().enumerate()) {
        for birth in sender.births.iter().filter(|birth| !explained.contains(&(place, birth.first)))
        {
            ground.gaps[place].extend(gaps(sender, birth.last, birth.first));
            ground.events.push(unexplained(place, *birth));
        }
    }
    ground.events.sort_by_key(|event| event.at);
    refused.or(ground)
}

fn said(status_code: Option<u16>) -> String {
    status_code.map_or_else(|| "nobody answered".to_owned(), |code| format!("status {code}"))
}

/// Its numbers begin anew, and no outage says why.
fn unexplained(place: usize, birth: Birth) -> Event {
    Event {
        at: Millis(birth.last.0 + 1),
        workspace: Some(place),
        what: What::Crash,
        lasts: None,
        why: "its count begins anew after its last beat here: this run ended. If you restarted \
              it, write what = \"restart\""
            .to_owned(),
    }
}

/// What became of the run that was called down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Another run beats afterwards.
    Ended(Birth),
    /// It beat all the while.
    WentOn,
    /// It was silent, and the same run beats again.
    CameBack,
    /// Nothing says so.
    Unknown,
}

/// The first of the birth that it explains, too.
fn of_workspace(
    outage: &Outage,
    place: usize,
    sender: Option<&Sender>,
    end: Millis,
) -> (Event, Option<Millis>) {
    let fate = sender.map_or(Fate::Unknown, |sender| fate(sender, outage, end));
    let (what, told) = what(outage.status_code, fate);
    let mut at = outage.began;
    let birth = match fate {
        Fate::Ended(birth) => {
            // A run that beats has not ended yet.
            at = at.max(Millis(birth.last.0 + 1));
            Some(birth.first)
        }
        Fate::WentOn | Fate::CameBack | Fate::Unknown => None,
    };
    let is_for_good = match what {
        What::Crash => true,
        What::Hang => fate != Fate::CameBack,
        What::Slow | What::Lie | What::Cut | What::Stall => false,
    };
    let lasts = (!is_for_good).then(|| at.age_at(outage.ended.unwrap_or(end)));
    let why = format!("line {}: {}; {told}", outage.line, said(outage.status_code));
    (Event { at, workspace: Some(place), what, lasts, why }, birth)
}

fn fate(sender: &Sender, outage: &Outage, end: Millis) -> Fate {
    let ended = outage.ended.unwrap_or(end);
    let after = sender.beats.get(sender.first_from(ended));
    let until = after.map_or(end, |beat| beat.sent);
    let mut births = sender.births.iter();
    if let Some(birth) = births.find(|birth| birth.first > outage.began && birth.first <= until) {
        return Fate::Ended(*birth);
    }
    let within = sender.first_from(ended) - sender.first_from(outage.began);
    let interval = sender.interval().unwrap_or(Millis(1)).0.max(1);
    let expected = outage.began.age_at(ended).0 / interval;
    // Half of them: some are lost on any day.
    if within > 0 && within as u64 * 2 >= expected {
        return Fate::WentOn;
    }
    match after {
        Some(_) if sender.is_numbered => Fate::CameBack,
        Some(_) | None => Fate::Unknown,
    }
}

/// What a status code means, and what the beats say beside it.
fn what(status_code: Option<u16>, fate: Fate) -> (What, &'static str) {
    let is_silent = match status_code {
        // It answered, and well enough to be understood.
        Some(..=407 | 409..=428 | 430..=499) => {
            return (What::Lie, "it answered, and was called down all the same");
        }
        // It answered that it cannot.
        Some(429 | 500..=501 | 503 | 505..) => false,
        // Nobody answered, or a proxy for it.
        None | Some(408 | 502 | 504) => true,
    };
    let waits = matches!(status_code, Some(408 | 504));
    match fate {
        Fate::Ended(_) if waits => {
            (What::Hang, "its count begins anew afterwards: it was restarted")
        }
        Fate::Ended(_) => (What::Crash, "its count begins anew afterwards: this run ended"),
        Fate::WentOn => (What::Slow, "it beat all the while: it did not answer, and was not down"),
        _ if !is_silent => (What::Slow, "it answered that it could not"),
        Fate::CameBack => (What::Hang, "its count goes on afterwards: the same run came back"),
        Fate::Unknown if waits => (What::Hang, "nothing says that this run came back"),
        Fate::Unknown => (What::Crash, "nothing says that this run came back"),
    }
}

/// The beats after which there is a gap between `at` and `until`.
fn gaps(sender: &Sender, at: Millis, until: Millis) -> Vec<usize> {
    let first = sender.first_from(Millis(at.0 + 1)).saturating_sub(1);
    let last = sender.first_from(until).min(sender.beats.len());
    (first..last).collect()
}

/// How long it is from one to another.
trait AgeAt {
    fn age_at(self, later: Self) -> Self;
}

impl AgeAt for Millis {
    fn age_at(self, later: Self) -> Self {
        Self(later.0.saturating_sub(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats every 10 s from 0 to 100 s, with a number each.
    fn beating(text: &str) -> BeatTrace {
        BeatTrace::read(text.as_bytes(), None).unwrap()
    }

    fn numbered(rows: impl Iterator<Item = (u64, u64)>) -> BeatTrace {
        let rows: Vec<String> =
            rows.map(|(number, at_s)| format!("{number},{at_s},{at_s}.02")).collect();
        beating(&format!("seq,send_s,receive_s\n{}\n", rows.join("\n")))
    }

    fn outage(status_code: Option<u16>) -> Outage {
        Outage {
            target: "workspace".to_owned(),
            began: Millis::from_secs(41),
            ended: Some(Millis::from_secs(69)),
            status_code,
            line: 1,
        }
    }

    fn found(beats: &BeatTrace, status_code: Option<u16>) -> (What, Option<u64>, u64) {
        let names = ["workspace".to_owned()];
        let end = Millis::from_secs(110);
        let ground = ground(Some(beats), &[outage(status_code)], &names, end).unwrap();
        let [event] = &ground.events[..] else { panic!("{:?}", ground.events) };
        (event.what, event.lasts.map(|lasts| lasts.0), event.at.0)
    }

    #[test]
    fn what_an_outage_was_is_told_by_its_status_and_by_the_beats() {
        let steady = numbered((0..10).map(|n| (n, n * 10)));
        let silent = numbered((0..10).filter(|n| !(5..7).contains(n)).map(|n| (n, n * 10)));
        let anew = numbered((0..5).map(|n| (n, n * 10)).chain((0..3).map(|n| (n, 70 + n * 10))));
        let gone = numbered((0..5).map(|n| (n, n * 10)));
        let whole = Some(28_000);
        for (case, beats, status_code, expected) in [
            ("nobody answered, another run", &anew, None, (What::Crash, None)),
            ("a proxy waited, another run", &anew, Some(504), (What::Hang, None)),
            ("the same run came back", &silent, None, (What::Hang, whole)),
            ("it beat all the while", &steady, None, (What::Slow, whole)),
            ("it beat, a proxy waited", &steady, Some(504), (What::Slow, whole)),
            ("it said that it cannot", &silent, Some(503), (What::Slow, whole)),
            ("it said so, and another run", &anew, Some(500), (What::Crash, None)),
            ("it answered", &silent, Some(404), (What::Lie, whole)),
            ("nothing came afterwards", &gone, None, (What::Crash, None)),
            ("nothing came, a proxy waited", &gone, Some(408), (What::Hang, None)),
        ] {
            let (what, lasts, at) = found(beats, status_code);
            assert_eq!((what, lasts), expected, "{case}");
            assert_eq!(at, 41_000, "{case}");
        }
    }

    #[test]
    fn a_run_that_beats_has_not_ended_yet() {
        // The monitor was early, or its clock was: the old run beats at 50 s.
        let anew = numbered((0..6).map(|n| (n, n * 10)).chain((0..3).map(|n| (n, 70 + n * 10))));
        assert_eq!(found(&anew, None), (What::Crash, None, 50_001));
    }

    #[test]
    fn a_count_that_begins_anew_ends_a_run_without_an_outage_too() {
        let anew = numbered((0..5).map(|n| (n, n * 10)).chain((1..3).map(|n| (n, 70 + n * 10))));
        let names = ["workspace".to_owned()];
        let ground = ground(Some(&anew), &[], &names, Millis::from_secs(110)).unwrap();
        let [event] = &ground.events[..] else { panic!("{:?}", ground.events) };
        assert_eq!((event.what, event.at), (What::Crash, Millis(40_001)));
        assert_eq!(ground.gaps[0].iter().copied().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn all_at_once_is_the_network_and_the_runtime_its_own_and_others_are_refused() {
        let steady = numbered((0..10).map(|n| (n, n * 10)));
        let names = ["workspace".to_owned()];
        let of = |target: &str| {
            let outage = Outage { target: target.to_owned(), ..outage(None) };
            ground(Some(&steady), &[outage], &names, Millis::from_secs(110))
        };
        assert_eq!(of("*").unwrap().events[0].what, What::Cut);
        assert_eq!(of("runtime").unwrap().events[0].what, What::Stall);
        let refused = of("billing").unwrap_err().to_string();
        assert!(refused.contains("line 1: target: \"billing\" is nobody"), "{refused}");
    }
}
