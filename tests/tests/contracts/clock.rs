//! The contract of [`Clock`].

use reprieve_core::{ports::Clock, time::Millis};
use reprieve_server::clock::HostClock;

fn it_never_runs_backwards(clock: &dyn Clock) {
    let mut before = clock.now();
    for _ in 0..10_000 {
        let now = clock.now();
        assert!(now >= before, "{now:?} after {before:?}");
        before = now;
    }
}

#[tokio::test]
async fn no_clock_runs_backwards() {
    it_never_runs_backwards(&HostClock::start());
    it_never_runs_backwards(&*crate::TestClock::new());
}

#[tokio::test(start_paused = true)]
async fn the_hosts_clock_follows_virtual_time() {
    let clock = HostClock::start();
    let began = clock.now();
    tokio::time::advance(Millis::from_secs(3_600).as_duration()).await;
    assert_eq!(began.age(clock.now()), Millis::from_secs(3_600));
}
