//! `reprieve context`: hosts by name, for who runs several. Kept in
//! `contexts.toml` in the user's configuration folder; tokens stand in files of
//! their own.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use url::Url;

use super::output::{self, UsageError};

/// Name hosts, and choose which one is asked.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve context set prod --endpoint https://reprieve.example.com:8485 --token-file ~/prod.token
  reprieve context use prod
  reprieve context list
  reprieve context remove prod

The contexts are in $XDG_CONFIG_HOME/reprieve/contexts.toml, or in
~/.config/reprieve/contexts.toml.")]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    command: ContextCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ContextCommand {
    /// List the contexts; the one in use has a star.
    List,
    /// Ask this host from now on, where no other is named.
    Use {
        /// Its name; `-` for none: the host on this machine.
        #[arg(allow_hyphen_values = true)]
        name: String,
    },
    /// Name a host, or change what is known of it.
    Set(SetArgs),
    /// Forget a host. If it is in use, none is afterwards. The file of its token
    /// stays.
    Remove { name: String },
}

#[derive(Args, Clone, Debug)]
struct SetArgs {
    name: String,
    /// Its operator's listener.
    #[arg(long, value_name = "URL")]
    endpoint: Url,
    /// A file that holds the token to show.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates to trust over https, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Contexts {
    /// The one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) endpoint: Url,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
}

impl Contexts {
    /// Empty if there is no such file.
    pub(super) fn load() -> anyhow::Result<Self> {
        match file() {
            Ok(file) => Self::read(&file),
            // Nobody's home: nobody's contexts.
            Err(_) => Ok(Self::default()),
        }
    }

    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let read =
            toml::from_str(&text).with_context(|| format!("{} is not valid", file.display()));
        Ok(read.map_err(UsageError::of)?)
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = toml::to_string(self)?;
        let written = (|| {
            fs::create_dir_all(file.parent().unwrap_or(Path::new("")))?;
            // Whole or not at all.
            let fresh = file.with_extension("new");
            fs::write(&fresh, text)?;
            fs::rename(&fresh, file)
        })();
        written.with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn get(&self, name: &str) -> Result<&Context, UsageError> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            UsageError(format!("there is no context {name:?}; there are: {known:?}"), None)
        })
    }

    fn remove(&mut self, name: &str) -> Result<(), UsageError> {
        self.get(name)?;
        self.contexts.remove(name);
        self.current.take_if(|current| current == name);
        Ok(())
    }

    /// None: none is.
    pub(super) fn in_use(&self) -> Result<Option<&Context>, UsageError> {
        self.current.as_deref().map(|name| self.get(name)).transpose()
    }
}

pub(crate) fn context(args: &ContextArgs) -> anyhow::Result<u8> {
    let file = file()?;
    let mut contexts = Contexts::read(&file)?;
    match &args.command {
        ContextCommand::List => output::print(&list(&contexts))?,
        ContextCommand::Use { name } => {
            contexts.current = match name.as_str() {
                "-" => None,
                name => contexts.get(name).map(|_| Some(name.to_owned()))?,
            };
            contexts.write(&file)?;
        }
        ContextCommand::Set(set) => {
            // The file is read from wherever the user happens to be.
            let anywhere = |file: &Option<PathBuf>| file.as_ref().map(absolute).transpose();
            let context = Context {
                endpoint: set.endpoint.clone(),
                token_file: anywhere(&set.token_file)?,
                ca_file: anywhere(&set.ca)?,
            };
            contexts.contexts.insert(set.name.clone(), context);
            contexts.write(&file)?;
        }
        ContextCommand::Remove { name } => {
            contexts.remove(name)?;
            contexts.write(&file)?;
        }
    }
    Ok(output::OK)
}

fn list(contexts: &Contexts) -> String {
    let line = |(name, context): (&String, &Context)| {
        let star = if contexts.current.as_ref() == Some(name) { '*' } else { ' ' };
        format!("{star} {name:<16} {}\n", context.endpoint)
    };
    contexts.contexts.iter().map(line).collect()
}

fn file() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")));
    let folder = folder.context("neither $XDG_CONFIG_HOME nor $HOME says where contexts are")?;
    Ok(folder.join("reprieve/contexts.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_survive_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/contexts.toml");
        assert_eq!(Contexts::read(&file).unwrap(), Contexts::default(), "there is none yet");
        let prod = Context {
            endpoint: Url::parse("https://prod.example.com:8485/").unwrap(),
            token_file: Some("/prod.token".into()),
            ca_file: None,
        };
        let mut contexts = Contexts::default();
        contexts.contexts.insert("prod".to_owned(), prod.clone());
        contexts.current = Some("prod".to_owned());
        contexts.write(&file).unwrap();
        let read = Contexts::read(&file).unwrap();
        assert_eq!(read.in_use().unwrap(), Some(&prod));
        assert!(list(&read).starts_with("* prod"), "{}", list(&read));
        assert!(read.get("test").unwrap_err().to_string().contains("[\"prod\"]"));
    }

    #[test]
    fn a_host_that_is_removed_is_not_in_use() {
        let context = |url: &str| Context {
            endpoint: Url::parse(url).unwrap(),
            token_file: None,
            ca_file: None,
        };
        let mut contexts = Contexts::default();
        for name in ["prod", "test"] {
            contexts.contexts.insert(name.to_owned(), context("https://example.com/"));
        }
        contexts.current = Some("prod".to_owned());
        assert!(contexts.remove("staging").unwrap_err().to_string().contains("staging"));
        contexts.remove("test").unwrap();
        assert!(contexts.in_use().unwrap().is_some(), "another one is removed");
        contexts.remove("prod").unwrap();
        assert_eq!(contexts.in_use().unwrap(), None);
        assert!(contexts.get("prod").is_err());
    }
}
