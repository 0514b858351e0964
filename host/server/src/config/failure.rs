//! Why a configuration was not taken, and where in the file.

use std::{fmt, io, ops::Range, path::PathBuf};

use toml::de::{DeTable, DeValue};

use crate::tls::InvalidAuthorities;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFailure {
    #[error("cannot read the configuration {}; name an existing file with --config", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// The text is no TOML, or a value is not what its key takes.
    #[error("{place}: {message}")]
    Refused { place: Place, message: String },
    #[error("cannot read the token file {} of {owner}", file.display())]
    TokenUnreadable { owner: String, file: PathBuf, source: io::Error },
    #[error("{place}: it does not tell whom to trust")]
    AuthoritiesUnusable { place: Place, source: Box<InvalidAuthorities> },
    #[error(
        "there is no place for the state folder: set state_dir in the configuration, or --state-dir, or the environment variable HOME"
    )]
    NoStateDir,
}

/// A place in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1; 0 where it is not known.
    pub line: usize,
    pub column: usize,
    /// `proxy.listen`; empty where no key is concerned.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if self.key.is_empty() { Ok(()) } else { write!(f, ": {}", self.key) }
    }
}

/// A configuration's text, kept to name places in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub file: String,
    pub text: String,
}

impl Text {
    /// The place of a key, or of the nearest table above it that is in the text.
    pub fn place_of(&self, path: &[&str]) -> Place {
        let mut place = Place { file: self.file.clone(), key: path.join("."), ..Place::default() };
        let Ok(table) = DeTable::parse(&self.text) else { return place };
        let mut within = Some(table.get_ref());
        for name in path {
            let found = within.and_then(|t| t.iter().find(|(key, _)| *key.get_ref() == *name));
            let Some((key, value)) = found else { break };
            (place.line, place.column) = self.line_and_column(key.span().start);
            within = value.get_ref().as_table();
        }
        place
    }

    /// The failure for an error of the TOML parser or of a type's own check.
    pub(crate) fn refuse(&self, error: &toml::de::Error) -> ConfigFailure {
        let mut place = Place { file: self.file.clone(), ..Place::default() };
        if let Some(span) = error.span() {
            (place.line, place.column) = self.line_and_column(span.start);
            place.key = self.key_at(&span).unwrap_or_default();
        }
        let message = match error.message().strip_prefix("unknown field ") {
            Some(rest) => format!("there is no such key: {rest}"),
            None => error.message().replace('\n', "; "),
        };
        ConfigFailure::Refused { place, message }
    }

    fn key_at(&self, span: &Range<usize>) -> Option<String> {
        let table = DeTable::parse(&self.text).ok()?;
        let path = path_to(table.get_ref(), span)?;
        Some(path.join("."))
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// The keys that lead to what stands at `span`. The depth is what the parser
/// lets through: 80.
fn path_to(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    table.iter().find_map(|(key, value)| {
        let deeper = match value.get_ref() {
            DeValue::Table(inner) => path_to(inner, span),
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| item.get_ref().as_table())
                .find_map(|inner| path_to(inner, span)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let here = || (covers(key.span()) || covers(value.span())).then(Vec::new);
        let mut path = deeper.or_else(here)?;
        path.insert(0, key.get_ref().to_string());
        Some(path)
    })
}
