//! Writes the JSON Schema of declared settings while the policy is compiled, so
//! that a component carries the text and nothing that makes it.

use super::Setting;

/// What the schema says of a setting beside what [`Setting`] holds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The doc comment, its lines one after the other.
    pub about: &'static str,
    pub least: &'static str,
    pub most: &'static str,
}

/// Text of at most `N` bytes. What is longer is counted and not kept, so a first
/// run with 0 tells the length.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    pub bytes: [u8; N],
    pub len: usize,
}

/// The schema (2020-12) of an object with these settings and no others.
#[doc(hidden)]
pub const fn schema<const N: usize>(
    about: &str,
    settings: &[Setting],
    described: &[Described],
) -> Text<N> {
    let mut text = Text { bytes: [0; N], len: 0 };
    text.put(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","description":"#);
    text.put_sentence(about);
    text.put(r#","type":"object","additionalProperties":false,"properties":{"#);
    let mut nth = 0;
    while nth < settings.len() {
        if nth > 0 {
            text.put(",");
        }
        text.put_setting(&settings[nth], &described[nth]);
        nth += 1;
    }
    text.put("}}");
    text
}

impl<const N: usize> Text<N> {
    const fn put_setting(&mut self, setting: &Setting, described: &Described) {
        self.put("\"");
        self.put(setting.key);
        self.put("\":{\"description\":");
        self.put_sentence(described.about);
        self.put(",");
        self.put(setting.kind.schema());
        self.put_value(",\"default\":", setting, setting.default);
        if setting.has_range() {
            if !setting.kind.is_text() {
                self.put_value(",\"minimum\":", setting, described.least);
                self.put_value(",\"maximum\":", setting, described.most);
            }
            // JSON Schema knows no range of texts, so these two are our own.
            self.put_value(",\"x-least\":", setting, described.least);
            self.put_value(",\"x-most\":", setting, described.most);
        }
        self.put("}");
    }

    const fn put_value(&mut self, key: &str, setting: &Setting, value: &str) {
        self.put(key);
        if setting.kind.is_text() {
            self.put_sentence(value);
        } else {
            self.put(value);
        }
    }

    const fn put(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    /// In quotes, with what JSON wants escaped.
    const fn put_sentence(&mut self, text: &str) {
        self.put("\"");
        let text = text.as_bytes().trim_ascii();
        let mut at = 0;
        while at < text.len() {
            if matches!(text[at], b'"' | b'\\') {
                self.put("\\");
            }
            // A line break of a block comment, say: JSON has it escaped alone.
            self.put_bytes(&[if text[at] < b' ' { b' ' } else { text[at] }]);
            at += 1;
        }
        self.put("\"");
    }

    const fn put_bytes(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            if self.len < N {
                self.bytes[self.len] = bytes[at];
            }
            self.len += 1;
            at += 1;
        }
    }

    /// The text, if all of it was kept.
    pub const fn as_str(&self) -> &str {
        assert!(self.len == N, "the text has another length than it was counted to have");
        match core::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            Err(_) => panic!("whole texts were put one after the other"),
        }
    }
}
