//! Sources that change: the configured file, and the folder of components. A
//! change is checked, and comes into force if the operator wants that of changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use reprieve_core::ids::Digest;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Actor, How, Policies, PoliciesFailure, blocking, boot, sources, wishes::Origin};
use crate::config::{Watch, policy::PolicySource};

/// How often sources are looked at without being told: not every file system
/// tells.
const POLL_EVERY: Duration = Duration::from_secs(30);
/// A file that is being written is left alone until it has been quiet for so long,
/// but for no more than [`MAX_BURSTS`] of them.
const QUIET: Duration = Duration::from_millis(250);
const MAX_BURSTS: u32 = 40;

const IN_FOLDER: &str = "folder";

impl Policies {
    /// Watches until told to stop. Returns at once if nothing is to be watched.
    pub async fn watch(self, watch: Watch, stop: CancellationToken) {
        if watch == Watch::Off || self.watched().is_empty() {
            return;
        }
        // One event that waits stands for all that follow it.
        let (changed, mut changes) = mpsc::channel(1);
        let _watcher = self.listen(changed);
        let mut poll = interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let woken = async {
                tokio::select! {
                    _ = poll.tick() => {}
                    Some(()) = changes.recv() => until_quiet(&mut changes).await,
                }
            };
            if stop.run_until_cancelled(woken).await.is_none() {
                return;
            }
            self.look_at_sources(watch).await;
        }
    }

    /// Looks at every source once, and does what the operator wants of changes.
    pub async fn look_at_sources(&self, watch: Watch) {
        let policies = self.clone();
        let sources = blocking(move || policies.changed_sources()).await.unwrap_or_default();
        for (name, source) in sources {
            self.follow(watch, &name, &source).await;
        }
    }

    /// Those that may hold something new, by the name that the record knows them
    /// under.
    fn changed_sources(&self) -> Vec<(String, PolicySource)> {
        let mut sources = Vec::new();
        if let PolicySource::File(_) = &self.0.configured {
            sources.push((boot::CONFIGURED.to_owned(), self.0.configured.clone()));
        }
        if let Some(folder) = &self.0.folder {
            match sources::newest_in(folder) {
                Ok(Some(newest)) => {
                    sources.push((IN_FOLDER.to_owned(), PolicySource::File(newest)));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "cannot look into policy.folder");
                }
            }
        }
        sources
    }

    async fn follow(&self, watch: Watch, name: &str, source: &PolicySource) {
        let fetch = {
            let source = source.clone();
            move || source.fetch().map(|candidate| (Digest::of(&candidate.bytes), candidate))
        };
        let (component, candidate) = match blocking(fetch).await.flatten() {
            Ok(fetched) => fetched,
            Err(refused) => {
                tracing::warn!(source = source.name(), %refused, "cannot read a watched policy");
                return;
            }
        };
        let revision = {
            let record = &self.0.state.lock().record;
            if record.seen.get(name) == Some(&component) {
                return;
            }
            record.revision
        };
        let actor = Actor { by: "watch".to_owned(), why: format!("{} changed", source.name()) };
        let loaded = self.bring(candidate, &actor, Origin::Configured).await;
        self.saw(name, component).await;
        if loaded.is_ok() && watch == Watch::Activate {
            self.put_watched_in_force(component, &actor, revision).await;
        }
    }

    /// What people do after the change of a source stands, and the change waits:
    /// loaded, as the status tells. `revision`: of the record, before it was checked.
    pub(super) async fn put_watched_in_force(
        &self,
        component: Digest,
        actor: &Actor,
        revision: u64,
    ) {
        match self.put_in_force(component, How::Watched, actor, Some(revision)).await {
            // How either ended is logged already.
            Ok(_) | Err(PoliciesFailure::Refused(_)) => {}
            Err(failure) => tracing::warn!(
                %component, why = actor.why, %failure,
                "a watched policy waits; `reprieve policy activate` puts it in force"
            ),
        }
    }

    /// Only a change of it is acted on again.
    async fn saw(&self, name: &str, component: Digest) {
        let turn = self.0.queues.turn().await;
        let (inner, name) = (Arc::clone(&self.0), name.to_owned());
        let written = blocking(move || {
            let _turn = turn;
            let mut next = inner.state.lock().record.clone();
            next.seen.insert(name, component);
            next.write(&inner.record_path).map(|()| inner.state.lock().record = next)
        });
        match written.await {
            Ok(Ok(())) => {}
            // It is looked at again, and that changes nothing.
            Ok(Err(error)) => {
                let path = self.0.record_path.display();
                tracing::warn!(%path, %error, "cannot write");
            }
            Err(refused) => tracing::warn!(%refused, "a watched policy is not written down"),
        }
    }

    fn watched(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let PolicySource::File(file) = &self.0.configured {
            // The folder, because files are replaced by renaming others over them.
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            folders.push(folder.unwrap_or(Path::new(".")).to_owned());
        }
        folders.extend(self.0.folder.clone());
        folders
    }

    /// None: nobody tells, and polling has to do.
    fn listen(&self, changed: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
        let tell = move |_event| {
            // Full: somebody has been told already.
            let _ = changed.try_send(());
        };
        let watcher = notify::recommended_watcher(tell);
        let mut watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "policies are polled, not watched"))
            .ok()?;
        for folder in self.watched() {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "polled, not watched");
            }
        }
        Some(watcher)
    }
}

async fn until_quiet(changes: &mut mpsc::Receiver<()>) {
    for _ in 0..MAX_BURSTS {
        if timeout(QUIET, changes.recv()).await.is_err() {
            return;
        }
    }
}
