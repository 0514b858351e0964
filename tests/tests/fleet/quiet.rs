//! What a fleet costs that is well.

use std::time::Duration;

use tokio::time::sleep;

use crate::stage::Fleet;

const QUIET: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_fleet_that_beats_costs_no_probes() {
    let Some(fleet) = Fleet::set(8, "default", "settle = \"1s\"\n").await else { return };
    let probes = || fleet.host.supervisor.tally().counts().probes;
    let before = probes();
    sleep(QUIET).await;
    assert_eq!(probes(), before);
    fleet.end().await;
}
