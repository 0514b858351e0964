//! What was wanted, by whom, and is not so. What people try does not hide that the
//! configured policy is refused, nor the other way round.

use reprieve_core::ids::Digest;
use reprieve_runtime::{
    LoadFailure,
    registry::{Progress, Refused},
};

use super::{Actor, Inner, Wish, bounded};

/// Whose wishes stand for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The configuration, and the sources that are watched.
    Configured,
    People,
}

/// The newest wish of its origin that was refused. Met by what succeeds of the same
/// origin, and by whatever comes into force.
#[derive(Clone, Debug)]
pub(super) struct Unmet {
    pub(super) wish: Wish,
    pub(super) why: String,
}

/// A component on its way into force.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) origin: Origin,
    pub(super) wish: Wish,
    pub(super) progress: Progress,
}

impl Inner {
    /// A new way into force begins. None: what cannot be read has no digest.
    pub(super) fn begins(
        &self,
        component: Option<Digest>,
        source: &str,
        actor: &Actor,
        origin: Origin,
    ) -> Way {
        let progress = Progress::new(source);
        let (source, by) = (source.to_owned(), bounded(&actor.by));
        let wish = Wish { component, source, by, at: self.now() };
        let mut state = self.state.lock();
        state.newest = Some(progress.clone());
        state.wish = Some(wish.clone());
        Way { origin, wish, progress }
    }

    pub(super) fn refused(&self, way: &Way, refused: &Refused) {
        way.progress.failed(refused);
        let passage = way.progress.passage();
        let why = passage.failed.map(|failed| failed.why).unwrap_or_default();
        let step = refused.step().as_str();
        tracing::warn!(source = passage.source, step, why, "policy refused; what judges stays");
        if is_about_the_component(refused) {
            let unmet = Unmet { wish: way.wish.clone(), why: format!("{step}: {why}") };
            self.state.lock().unmet.insert(way.origin, unmet);
        }
    }
}

/// Else the same may do in a moment.
const fn is_about_the_component(refused: &Refused) -> bool {
    !matches!(
        refused,
        Refused::Compiling | Refused::Aborted | Refused::Load(LoadFailure::TooMany { .. })
    )
}
