//! Reads server-sent events: what `reprieve decisions --follow` is told by a host
//! elsewhere.

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// The longest event that is read.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) data: String,
}

/// A stream of events that is being read.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    read: Lines,
}

impl Events {
    pub(super) fn of(body: Incoming) -> Self {
        Self { body, read: Lines::default() }
    }

    /// None: the host ended the stream.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.read.event() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.context("the stream broke off")?;
            if let Some(bytes) = frame.data_ref() {
                self.read.take(bytes)?;
            }
        }
    }
}

/// Bytes become lines, and lines events.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    event: Event,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let held = self.bytes.len() + self.event.data.len() + bytes.len();
        anyhow::ensure!(held <= MAX_EVENT_BYTES, "an event is longer than {MAX_EVENT_BYTES} bytes");
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is whole.
    fn event(&mut self) -> Option<Event> {
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.kind),
                "data" => self.event.data += value,
                // A comment keeps the connection alive; ids and retries are for
                // browsers.
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "event: decision\nid: 1\ndata: {\"a\":1}\n\n: alive\n\nevent:dropped\r\ndata:{}\r\n\r\n";
        let event = |kind: &str, data: &str| Event { kind: kind.into(), data: data.into() };
        for size in 1..text.len() {
            let (mut lines, mut events) = (Lines::default(), vec![]);
            for piece in text.as_bytes().chunks(size) {
                lines.take(piece).unwrap();
                while let Some(event) = lines.event() {
                    events.push(event);
                }
            }
            let expected = [event("decision", "{\"a\":1}"), event("dropped", "{}")];
            assert_eq!(events, expected, "cut into pieces of {size} bytes");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..8).any(|_| lines.take(&piece).is_err()));
    }
}
