//! Files that are cut off or damaged: refused, or as good as they ever were, and
//! never anything in between.
//!
//! A failing run names its seed; `REPRIEVE_SEED` plays it again.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reprieve_core::settings::{Settings, SettingsBook};
use reprieve_runtime::{Engine, Generation, Limits, Owners};

use crate::{
    guest::GOOD,
    world::{engine, judge, neighbour_is_well},
};

/// Prefixes that are tried; the file has some thousand bytes.
const PREFIXES: usize = 200;
/// Damaged files that are tried.
const DAMAGED: usize = 200;

/// Whatever a file is, it is refused or it judges; and it hurts nobody.
async fn survives(engine: &Engine, bytes: &[u8]) -> bool {
    let Ok(policy) = engine.load(bytes, Limits::default()) else { return false };
    let book = SettingsBook { fleet: Settings::new().into(), ..SettingsBook::default() };
    if let Ok(generation) = Generation::new(1, policy, book, &Owners::new()) {
        judge(&generation).await;
    }
    true
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let (engine, whole) = (engine(), GOOD.component());
    let step = (whole.len() / PREFIXES).max(1);
    // The first bytes one by one: there the kinds of files are told apart.
    for length in (0..64).chain((64..whole.len()).step_by(step)) {
        // A component that ends between two sections is whole, and no policy.
        assert!(!survives(&engine, &whole[..length]).await, "cut off after {length} bytes");
    }
    assert!(survives(&engine, &whole).await);
    neighbour_is_well("files that are cut off").await;
}

#[tokio::test]
async fn a_file_with_flipped_bits_does_no_harm() {
    let seed = std::env::var("REPRIEVE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    let mut dice = StdRng::seed_from_u64(seed);
    let (engine, whole) = (engine(), GOOD.component());
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..DAMAGED {
        let mut bytes = whole.clone();
        for _ in 0..dice.random_range(1..=4) {
            let at = dice.random_range(0..bytes.len());
            bytes[at] ^= 1 << dice.random_range(0..8);
        }
        match survives(&engine, &bytes).await {
            true => taken += 1,
            false => refused += 1,
        }
    }
    assert!(refused > DAMAGED / 4, "{taken} taken, {refused} refused; REPRIEVE_SEED={seed}");
    assert_eq!(engine.places().taken, 0, "nothing is left loaded; REPRIEVE_SEED={seed}");
    neighbour_is_well("files with flipped bits").await;
}
