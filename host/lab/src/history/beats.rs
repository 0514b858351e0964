//! Heartbeats as somebody's own fleet sent them.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read,
};

use reprieve_core::time::Millis;

use super::{
    Problem, Refused, TimeUnit,
    table::{Column, Row, Table},
};

/// The most beats of one file: 80 MB of memory.
pub const MAX_BEATS: usize = 5_000_000;
/// The most workspaces of one file.
pub const MAX_SENDERS: usize = 10_000;
/// The longest that a beat is under way: what takes longer has another unit.
const LONGEST_WAY: Millis = Millis(86_400_000);
/// The most beats that are lost one after the other.
const MOST_LOST: u64 = 10_000_000;

/// A file of heartbeats. Times count from what the file's count from.
#[derive(Clone, PartialEq, Eq)]
pub struct BeatTrace {
    /// In the order in which the file names them first.
    pub(crate) senders: Vec<Sender>,
    /// One interval after the last beat: a trace that is played on begins anew then.
    pub(crate) ends: Millis,
    pub(crate) ignored: Vec<String>,
}

/// Who sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sender {
    pub(crate) name: String,
    /// Those that arrived, in the order of sending.
    pub(crate) beats: Vec<RecordedBeat>,
    /// Its numbers begin anew here: a run ended, and another began.
    pub(crate) births: Vec<Birth>,
    pub(crate) lost: u64,
    /// The longest that one was under way.
    pub(crate) slowest: Millis,
    /// Beats carry numbers, so that a run can be told from the next.
    pub(crate) is_numbered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RecordedBeat {
    pub(crate) sent: Millis,
    /// How long it was under way.
    pub(crate) way: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Birth {
    /// The last beat of the run before was sent.
    pub(crate) last: Millis,
    /// The first one of the new run.
    pub(crate) first: Millis,
}

/// It may be millions of rows long: what tells two apart is a checksum.
impl std::fmt::Debug for BeatTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sum = DefaultHasher::new();
        self.senders.hash(&mut sum);
        f.debug_struct("BeatTrace")
            .field("senders", &self.senders.len())
            .field("beats", &self.arrived())
            .field("sum", &sum.finish())
            .finish()
    }
}

/// What is known of a sender while its rows are read.
#[derive(Default)]
struct Begun {
    sender: Sender,
    newest: Option<Millis>,
    number: Option<u64>,
}

struct Columns {
    sequence: Option<Column>,
    send: Column,
    receive: Column,
    workspace: Option<Column>,
}

impl BeatTrace {
    /// Reads CSV with a header. `unit`: of times whose column says none.
    pub fn read(from: impl Read, unit: Option<TimeUnit>) -> Result<Self, Refused> {
        let mut table = Table::open(from, unit)?;
        let columns = Columns {
            sequence: table.column(&["sequence", "seq", "number"]),
            send: table.required(&["send", "sent", "send_time", "sent_at"])?,
            receive: table.required(&["receive", "received", "receive_time", "received_at"])?,
            workspace: table.column(&["workspace", "target"]),
        };
        let taken = [
            columns.sequence.as_ref(),
            Some(&columns.send),
            Some(&columns.receive),
            columns.workspace.as_ref(),
        ];
        let ignored = table.ignored(&taken);
        let mut reading = Reading::default();
        let mut refused = Refused::default();
        while let Some(row) = table.next()? {
            for column in [&columns.send, &columns.receive] {
                if let Some(problem) = row.unit_missing(column) {
                    return Err(Refused::at_once(problem));
                }
            }
            if reading.beats == MAX_BEATS {
                let detail = format!("more than {MAX_BEATS} beats; import a shorter time");
                return Err(Refused::at_once(Problem::new(row.line, "file", detail)));
            }
            if let Err(problem) = reading.add(&row, &columns) {
                refused.add(problem);
            }
        }
        if refused.problems.is_empty() && reading.beats == 0 {
            refused.add(Problem::new(2, "file", "no beat arrived: there is nothing to play"));
        }
        let senders: Vec<Sender> = reading.begun.into_iter().map(|begun| begun.sender).collect();
        let ends = senders.iter().filter_map(Sender::ends).max().unwrap_or_default();
        refused.or(Self { senders, ends, ignored })
    }

    pub fn arrived(&self) -> usize {
        self.senders.iter().map(|sender| sender.beats.len()).sum()
    }

    pub(crate) fn begins(&self) -> Option<Millis> {
        self.senders.iter().filter_map(|sender| sender.beats.first()).map(|beat| beat.sent).min()
    }
}

#[derive(Default)]
struct Reading {
    begun: Vec<Begun>,
    places: HashMap<String, usize>,
    beats: usize,
}

impl Reading {
    fn add(&mut self, row: &Row<'_>, columns: &Columns) -> Result<(), Problem> {
        row.whole()?;
        let name = columns.workspace.as_ref().map_or(Ok("workspace"), |column| row.name(column))?;
        let number = columns.sequence.as_ref().map(|column| row.count(column)).transpose()?;
        let Some(sent) = row.time(&columns.send)? else {
            let detail = "is empty; a beat that was lost has its time of sending, or no row";
            return Err(row.problem(&columns.send, detail));
        };
        let way = match row.time(&columns.receive)? {
            None => None,
            Some(received) => Some(way(row, &columns.receive, sent, received)?),
        };
        let begun = self.sender(row, columns, name)?;
        if begun.newest.is_some_and(|newest| sent < newest) {
            let detail = format!(
                "is {} before the row above it of {name}; sort the rows by it",
                Millis(begun.newest.unwrap_or_default().0 - sent.0)
            );
            return Err(row.problem(&columns.send, detail));
        }
        if let (Some(number), Some(column)) = (number, &columns.sequence) {
            begun.numbered(row, column, number, sent)?;
        }
        begun.newest = Some(sent);
        match way {
            None => begun.sender.lost += 1,
            Some(way) => {
                begun.sender.beats.push(RecordedBeat { sent, way });
                begun.sender.slowest = begun.sender.slowest.max(way);
                self.beats += 1;
            }
        }
        Ok(())
    }

    fn sender(
        &mut self,
        row: &Row<'_>,
        columns: &Columns,
        name: &str,
    ) -> Result<&mut Begun, Problem> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.begun.len() == MAX_SENDERS => {
                let detail = format!("more than {MAX_SENDERS} workspaces; import some of them");
                let column = columns.workspace.as_ref().unwrap_or(&columns.send);
                return Err(row.problem(column, detail));
            }
            None => {
                self.places.insert(name.to_owned(), self.begun.len());
                let is_numbered = columns.sequence.is_some();
                let sender = Sender { name: name.to_owned(), is_numbered, ..Sender::default() };
                self.begun.push(Begun { sender, ..Begun::default() });
                self.begun.len() - 1
            }
        };
        Ok(&mut self.begun[place])
    }
}

fn way(row: &Row<'_>, column: &Column, sent: Millis, received: Millis) -> Result<Millis, Problem> {
    let Some(way) = received.0.checked_sub(sent.0).map(Millis) else {
        let detail = format!(
            "lies {} before the beat was sent; if two clocks differ, add the difference to one \
             column",
            Millis(sent.0 - received.0)
        );
        return Err(row.problem(column, detail));
    };
    if way > LONGEST_WAY {
        let detail = format!("lies {way} after the beat was sent: are both columns' units right?");
        return Err(row.problem(column, detail));
    }
    Ok(way)
}

impl Begun {
    /// Its numbers go up by one from beat to beat; 0 or 1 after a higher one is a new
    /// run that counts anew.
    fn numbered(
        &mut self,
        row: &Row<'_>,
        column: &Column,
        number: u64,
        sent: Millis,
    ) -> Result<(), Problem> {
        const FIRST: u64 = 1;
        let name = &self.sender.name;
        match self.number {
            None => {}
            Some(before) if number == before => {
                let detail = format!("{number} stands twice for {name}; each beat has one row");
                return Err(row.problem(column, detail));
            }
            Some(before) if number > before => {
                let lost = number - before - 1;
                if lost > MOST_LOST {
                    let detail =
                        format!("jumps from {before} to {number}; is it a number of beats?");
                    return Err(row.problem(column, detail));
                }
                self.sender.lost += lost;
            }
            Some(_) if number <= FIRST => {
                let last = self.sender.beats.last().map(|beat| beat.sent);
                if let Some(last) = last {
                    self.sender.births.push(Birth { last, first: sent });
                }
            }
            Some(before) => {
                let detail = format!(
                    "{number} stands after {before} for {name}; numbers go up, and a new run \
                     begins with 0 or 1"
                );
                return Err(row.problem(column, detail));
            }
        }
        self.number = Some(number);
        Ok(())
    }
}

impl Sender {
    /// The median between one beat and the next. None: fewer than two arrived.
    pub(crate) fn interval(&self) -> Option<Millis> {
        let gaps = self.beats.windows(2).map(|two| two[1].sent.0 - two[0].sent.0);
        median(gaps.collect()).map(Millis)
    }

    /// None: nothing arrived.
    fn ends(&self) -> Option<Millis> {
        let every = self.interval().unwrap_or_default().max(Millis(1));
        Some(self.beats.last()?.sent.saturating_add(every))
    }

    /// That share of all beats was under way for no longer.
    pub(crate) fn way(&self, share: f64) -> Option<Millis> {
        let mut ways: Vec<u64> = self.beats.iter().map(|beat| beat.way.0).collect();
        ways.sort_unstable();
        let rank = (share * ways.len() as f64).ceil() as usize;
        ways.get(rank.saturating_sub(1)).copied().map(Millis)
    }

    /// The longest time between two that were sent and arrived.
    pub(crate) fn longest_silence(&self) -> Option<Millis> {
        self.beats.windows(2).map(|two| Millis(two[1].sent.0 - two[0].sent.0)).max()
    }

    /// The first that was sent at `at` or later.
    pub(crate) fn first_from(&self, at: Millis) -> usize {
        self.beats.partition_point(|beat| beat.sent < at)
    }
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}
