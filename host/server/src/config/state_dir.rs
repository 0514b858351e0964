//! Where state is kept: the first of `--state-dir`, `state_dir` in the
//! configuration, `$STATE_DIRECTORY` (systemd), `$XDG_STATE_HOME/reprieve` and
//! `$HOME/.local/state/reprieve`.
//!
//! Not the folder that the host happens to run in: started from elsewhere it
//! would lose what it accepted.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{Config, ConfigFailure};

/// Compiled components, in the state folder.
pub const CACHE: &str = "cache";
/// What an operator's client shows, in the state folder.
pub const ADMIN_TOKEN: &str = "admin.token";

/// Chooses the state folder. `variable` reads the environment.
pub fn choose(
    flag: Option<&Path>,
    config: &Config,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, ConfigFailure> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = flag.or(config.state_dir.as_deref()) {
        return Ok(folder.to_owned());
    }
    // systemd may name several folders, divided by colons; the first is ours.
    if let Some(folders) = set("STATE_DIRECTORY") {
        let first = folders.to_string_lossy().split(':').next().map(PathBuf::from);
        return Ok(first.unwrap_or(folders));
    }
    set("XDG_STATE_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("reprieve"))
        .ok_or(ConfigFailure::NoStateDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_for_the_state_folder_wins() {
        let named = Config { state_dir: Some("/from/config".into()), ..Config::default() };
        let unnamed = Config::default();
        for (case, flag, config, variables, expected) in [
            ("flag", Some("/flag"), &named, &[("HOME", "/h")][..], Some("/flag")),
            ("configuration", None, &named, &[("STATE_DIRECTORY", "/s")][..], Some("/from/config")),
            (
                "systemd",
                None,
                &unnamed,
                &[("STATE_DIRECTORY", "/s:/t"), ("HOME", "/h")][..],
                Some("/s"),
            ),
            (
                "XDG",
                None,
                &unnamed,
                &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")][..],
                Some("/x/reprieve"),
            ),
            (
                "a relative XDG path is to be ignored",
                None,
                &unnamed,
                &[("XDG_STATE_HOME", "x"), ("HOME", "/h")][..],
                Some("/h/.local/state/reprieve"),
            ),
            ("nothing", None, &unnamed, &[("HOME", "")][..], None),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
            };
            let chosen = choose(flag.map(Path::new), config, variable).ok();
            assert_eq!(chosen, expected.map(PathBuf::from), "{case}");
        }
    }
}
