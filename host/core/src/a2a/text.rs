//! Finds a member in the text of a JSON object without writing the text anew.

use std::ops::Range;

/// Where a member's value stands in the object that begins at `at`. Of two
/// members of one name the last counts, as it does to parsers. The text must be
/// valid JSON.
pub(super) fn member(text: &str, at: usize, name: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = None;
    let mut place = skip_space(bytes, at + 1);
    while bytes.get(place) == Some(&b'"') {
        let key_end = skip_value(bytes, place);
        let key: Option<String> = serde_json::from_str(text.get(place..key_end)?).ok();
        let start = skip_space(bytes, skip_space(bytes, key_end) + 1);
        let end = skip_value(bytes, start);
        if key.as_deref() == Some(name) {
            found = Some(start..end);
        }
        place = skip_space(bytes, end);
        if bytes.get(place) == Some(&b',') {
            place = skip_space(bytes, place + 1);
        }
    }
    found
}

pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`.
fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => at = skip_scalar(bytes, at),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn skip_scalar(bytes: &[u8], mut at: usize) -> usize {
    while bytes
        .get(at)
        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
    {
        at += 1;
    }
    at
}

fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}
