//! Where what decided can be had: the program itself, the state folder, the
//! configuration.

use std::{fs, path::Path, path::PathBuf};

use reprieve_core::{
    ids::Digest,
    settings::{self, AppliedLayer, Layer, Layers, Settings, Source as From},
};
use reprieve_lab::replay::Source;
use reprieve_runtime::{MAX_COMPONENT_BYTES, Who};

use crate::{
    cli::{connection::StateArgs, output::UsageError},
    config::policy::BUILT_IN,
    settings::files::{FileSettings, FolderCache},
    store::{AllApplied, DecisionReader},
};

/// Changes of settings whose outcome is looked through, the newest.
const MAX_CHANGES: usize = 1_000;

/// What is kept.
pub(super) struct Kept {
    /// Of components.
    folder: Option<PathBuf>,
    /// The newest first.
    layers: Vec<Layers>,
}

impl Kept {
    /// `folder`: the state folder that the log is in.
    pub(super) fn of(state: &StateArgs, folder: Option<&Path>) -> Result<Self, UsageError> {
        let config = state.configuration_or_none().map_err(UsageError::of)?;
        let folder = match folder {
            Some(folder) => Some(folder.to_owned()),
            None => state.folder_of(&config).ok(),
        };
        let files =
            FileSettings::read(&config, &mut FolderCache::default()).map_err(UsageError::of)?;
        let written = Layers::default().with(From::File, files.book);
        let mut layers = vec![written.clone()];
        // Without a store nothing was applied.
        let reader = folder.as_deref().and_then(|folder| DecisionReader::open(folder).ok());
        let changes = match &reader {
            Some(reader) => reader.settings_changes().map_err(UsageError::of)?,
            None => Vec::new(),
        };
        let (mut applied, mut now) = (AllApplied::new(), written);
        for change in changes {
            let known: &mut AppliedLayer = applied.entry(change.layer.clone()).or_default();
            *known = known.after(&change);
            now.set(From::Applied, &change.layer, known.settings().into());
            layers.push(now.clone());
        }
        layers.reverse();
        layers.truncate(MAX_CHANGES + 1);
        Ok(Self { folder: folder.map(|folder| folder.join("policies")), layers })
    }
}

impl Source for Kept {
    fn component(&mut self, component: Digest) -> Option<Vec<u8>> {
        let built_in = BUILT_IN.iter().find(|(_, bytes)| Digest::of(bytes) == component);
        if let Some((_, bytes)) = built_in {
            return Some(bytes.to_vec());
        }
        let file = self.folder.as_ref()?.join(format!("{component}.wasm"));
        let size = fs::metadata(&file).ok()?.len();
        (size <= MAX_COMPONENT_BYTES as u64).then(|| fs::read(file).ok()).flatten()
    }

    fn settings(&mut self, who: &Who, wanted: Digest) -> Option<Settings> {
        let of = Layer::of_workspace(&who.tenant, &who.workspace);
        let mut sets = self.layers.iter().map(|layers| layers.effective(&of));
        sets.find(|settings| settings::digest(settings) == wanted)
    }
}
