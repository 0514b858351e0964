//! A policy's settings: declared once, with their units, ranges, defaults and
//! sentences.
//!
//! From one [`settings!`](crate::settings!) come the type, its defaults, the
//! reader of the JSON that `open` takes, the problems that it reports, and the
//! JSON Schema that `describe` gives.
//!
//! A value carries its unit, in the value or in the key's name: lengths of time
//! are `"500ms"`, `"1.5s"`, `"10min"` (or `"10m"`), `"1h"`, shares are `"50%"`,
//! and only counts are bare numbers. A bare number for a length would be read as
//! seconds by one person and as milliseconds by the next.

mod json;
mod read;
mod schema;
mod units;

use alloc::{string::String, vec::Vec};

pub use self::units::{Percent, Unit};
#[doc(hidden)]
pub use self::{
    read::{AtMost, Setting, defaults, read},
    schema::{Described, schema},
    units::Kind,
};

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key. Empty for the settings as a whole.
    pub path: String,
    /// What, with the value and the range that is allowed.
    pub message: String,
}

#[doc(hidden)]
pub type Problems = Vec<Problem>;

/// A value that is made of settings. Written by [`settings!`](crate::settings!).
pub trait FromSettings: Sized + 'static {
    /// JSON Schema (2020-12) of what [`open`](Self::open) takes, with units,
    /// ranges and defaults.
    const SCHEMA: &'static str;

    /// Takes the settings as a JSON object; absent keys have their defaults.
    /// Fails with every problem that there is, not only the first.
    fn open(json: &str) -> Result<Self, Vec<Problem>>;
}

/// Declares the settings of a policy: a struct whose fields are the settings.
///
/// A field is a [`Millis`](crate::Millis), a [`Percent`], a `u32` or a `bool`. Its
/// default and its range, both ends included, stand as operators write them; a
/// `bool` has no range. Its doc comment is the sentence that operators read.
/// After the struct, `where` names settings of which one may not be more than
/// the other.
///
/// What makes no sense does not compile: a default that is out of its range, a
/// length without its unit, defaults that contradict `where`.
///
/// ```
/// use reprieve_policy::{FromSettings as _, Millis, Percent};
///
/// reprieve_policy::settings! {
///     /// Settings of the example.
///     pub struct Example {
///         /// The first wait.
///         pub backoff: Millis = "10s" in "100ms"..="1h",
///         /// The longest wait.
///         pub backoff_max: Millis = "5min" in "100ms"..="1h",
///         /// So much of a fleet may be restarting at once.
///         pub share: Percent = "10%" in "1%"..="100%",
///         /// So many restarts are admitted.
///         pub budget: u32 = 5 in 1..=1000,
///         /// Whether a reported exit is believed.
///         pub trust: bool = true,
///     }
///     where backoff <= backoff_max
/// }
///
/// let example = Example::open(r#"{"backoff": "1.5s", "budget": 7}"#).unwrap();
/// assert_eq!(example, Example { backoff: Millis(1_500), budget: 7, ..Example::default() });
///
/// let problems = Example::open(r#"{"backoff": "2h", "budget": 1.5}"#).unwrap_err();
/// assert_eq!(problems[0].path, "backoff");
/// assert_eq!(problems[0].message, "\"2h\" is out of range; allowed is 100ms to 1h");
/// assert_eq!(problems[1].message, "1.5 is not a whole number; allowed is 1 to 1000");
/// ```
///
/// ```compile_fail
/// reprieve_policy::settings! {
///     /// Settings whose default is out of range.
///     pub struct Example {
///         /// The first wait.
///         pub backoff: reprieve_policy::Millis = "2h" in "100ms"..="1h",
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $sentence:literal])+
                $field_visibility:vis $field:ident: $type:ty =
                    $default:literal $(in $least:literal..=$most:literal)?
            ),* $(,)?
        }
        $(where $($lower:ident <= $upper:ident),+ $(,)?)?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        $visibility struct $name {
            $($(#[doc = $sentence])+ $field_visibility $field: $type),*
        }

        const _: () = {
            use $crate::settings::{
                AtMost, Described, Problems, Setting, defaults, read, schema,
            };

            const SETTINGS: &[Setting] = &[$(Setting::new(
                stringify!($field),
                <$type as $crate::settings::Unit>::KIND,
                concat!($default),
                [
                    concat!($($least)?),
                    concat!($($most)?),
                    concat!($($least, " to ", $most)?),
                ],
            )),*];
            const AT_MOST: &[AtMost] = &[
                $($(AtMost::new(SETTINGS, stringify!($lower), stringify!($upper))),+)?
            ];
            const DEFAULTS: [u64; SETTINGS.len()] = defaults(SETTINGS);
            const ABOUT: &str = concat!($($about),+);
            const DESCRIBED: &[Described] = &[$(Described {
                about: concat!($($sentence),+),
                least: concat!($($least)?),
                most: concat!($($most)?),
            }),*];
            const SCHEMA_BYTES: usize = schema::<0>(ABOUT, SETTINGS, DESCRIBED).len;

            impl $crate::FromSettings for $name {
                const SCHEMA: &'static str =
                    const { &schema::<SCHEMA_BYTES>(ABOUT, SETTINGS, DESCRIBED) }.as_str();

                fn open(json: &str) -> Result<Self, Problems> {
                    let mut raw = DEFAULTS;
                    let problems = read(json, SETTINGS, AT_MOST, &mut raw);
                    if !problems.is_empty() {
                        return Err(problems);
                    }
                    let [$($field),*] = raw;
                    Ok(Self { $($field: $crate::settings::Unit::from_raw($field)),* })
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    let [$($field),*] = DEFAULTS;
                    Self { $($field: $crate::settings::Unit::from_raw($field)),* }
                }
            }
        };
    };
}

#[cfg(test)]
mod tests;
