//! Reads JSON (RFC 8259) as far as settings need it.
//!
//! Small on purpose: in a component this is 2 kB. serde_json takes 40 kB there,
//! lite-json 25 kB and picojson 14 kB, most of it for numbers and for the text
//! of errors.

use alloc::{string::String, vec::Vec};

/// Lists and objects within each other. No setting has any; the limit keeps what
/// is read from using up the stack.
const MAX_DEPTH: u32 = 32;

/// What stands in the JSON, before anybody knows which setting it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(String),
    /// As it is written.
    Number(&'a str),
    Flag(bool),
    /// No setting looks like this: `null`, `a list`, `an object`.
    Other(&'static str),
}

/// The keys and values of an object in their order, doubles included.
pub(super) type Entries<'a> = Vec<(String, Value<'a>)>;

/// Where reading ended, and what should have stood there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) at_byte: usize,
    pub(super) expected: &'static str,
}

/// Reads a text that is one JSON object and nothing else.
pub(super) fn object(json: &str) -> Result<Entries<'_>, Unreadable> {
    let mut scanner = Scanner { json, at: 0, failure: None };
    scanner.skip_space();
    let entries = scanner.object(MAX_DEPTH);
    scanner.skip_space();
    if scanner.at < json.len() {
        scanner.fail("the end");
    }
    scanner.failure.map_or(Ok(entries), Err)
}

/// Reads on after a failure, as if the text ended there, and keeps the first one:
/// so only who began has to ask for it, and the code is half as large.
struct Scanner<'a> {
    json: &'a str,
    at: usize,
    failure: Option<Unreadable>,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: u32) -> Value<'a> {
        match self.peek() {
            b'"' => Value::Text(self.text()),
            b'{' => {
                self.object(depth);
                Value::Other("an object")
            }
            b'[' => {
                self.list(depth);
                Value::Other("a list")
            }
            b'-' | b'0'..=b'9' => Value::Number(self.number()),
            b't' => self.word("true", Value::Flag(true)),
            b'f' => self.word("false", Value::Flag(false)),
            _ => self.word("null", Value::Other("null")),
        }
    }

    fn object(&mut self, depth: u32) -> Entries<'a> {
        let mut entries = Vec::new();
        self.take(b'{', "an object");
        let mut ended = self.is_too_deep(depth) || self.is_next(b'}');
        while !ended {
            self.skip_space();
            let key = self.text();
            self.skip_space();
            self.take(b':', "a colon");
            self.skip_space();
            entries.push((key, self.value(depth - 1)));
            self.skip_space();
            ended = self.is_next(b'}') || !self.take(b',', "a comma or }");
        }
        entries
    }

    fn list(&mut self, depth: u32) {
        self.take(b'[', "a list");
        let mut ended = self.is_too_deep(depth) || self.is_next(b']');
        while !ended {
            self.skip_space();
            self.value(depth - 1);
            self.skip_space();
            ended = self.is_next(b']') || !self.take(b',', "a comma or ]");
        }
    }

    /// Whether no further level may begin here.
    fn is_too_deep(&mut self, depth: u32) -> bool {
        if depth == 0 {
            self.fail("less nesting");
        }
        self.skip_space();
        depth == 0
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Value<'a> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
        } else {
            self.fail("a value");
        }
        value
    }

    fn number(&mut self) -> &'a str {
        let start = self.at;
        self.is_next(b'-');
        if !self.is_next(b'0') {
            self.digits();
        }
        if self.is_next(b'.') {
            self.digits();
        }
        if self.is_next(b'e') || self.is_next(b'E') {
            let _ = self.is_next(b'+') || self.is_next(b'-');
            self.digits();
        }
        self.since(start)
    }

    /// At least one.
    fn digits(&mut self) {
        if !self.peek().is_ascii_digit() {
            self.fail("a digit");
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        self.take(b'"', "a text in quotes");
        loop {
            let start = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | ..0x20) {
                self.at += 1;
            }
            text.push_str(self.since(start));
            if self.is_next(b'"') || !self.take(b'\\', "a closing quote") {
                return text;
            }
            text.push(self.escaped());
        }
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> char {
        let escape = self.peek();
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 0x8,
            b'f' => 0xc,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => {
                self.fail("an escape that JSON knows");
                return char::REPLACEMENT_CHARACTER;
            }
        };
        self.at += 1;
        char::from(plain)
    }

    /// `u` with four digits; what UTF-16 needs two units for comes as two escapes.
    fn unicode(&mut self) -> char {
        let mut code = self.unit();
        if matches!(code, 0xd800..0xdc00) && self.is_next(b'\\') {
            // Of what is no second half, no character comes of it.
            let low = self.unit().wrapping_sub(0xdc00);
            code = if low < 0x400 { 0x1_0000 + ((code - 0xd800) << 10) + low } else { code };
        }
        char::from_u32(code).unwrap_or_else(|| {
            self.fail("a whole character");
            char::REPLACEMENT_CHARACTER
        })
    }

    fn unit(&mut self) -> u32 {
        self.take(b'u', "a unicode escape");
        let mut unit = 0;
        for _ in 0..4 {
            match char::from(self.peek()).to_digit(16) {
                Some(digit) => unit = unit * 16 + digit,
                None => self.fail("a hexadecimal digit"),
            }
            self.at += 1;
        }
        unit
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// The next byte; 0, which JSON has nowhere, at the end.
    fn peek(&self) -> u8 {
        self.rest().first().copied().unwrap_or_default()
    }

    /// Nothing after a failure.
    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// What was read since then. Ends only ever lie beside ASCII.
    fn since(&self, start: usize) -> &'a str {
        self.json.get(start..self.at).unwrap_or_default()
    }

    /// Takes this byte if it comes next.
    fn is_next(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// The same, where it is a failure if it does not.
    fn take(&mut self, byte: u8, expected: &'static str) -> bool {
        let is_next = self.is_next(byte);
        if !is_next {
            self.fail(expected);
        }
        is_next
    }

    fn fail(&mut self, expected: &'static str) {
        let at_byte = self.at;
        self.failure.get_or_insert(Unreadable { at_byte, expected });
        self.at = self.json.len();
    }
}

#[cfg(test)]
mod tests;
