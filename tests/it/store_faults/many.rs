//! Everything at once.

use std::time::Duration;

use super::{announce, assert_all_there, bucket, name};
use crate::support::faults::{OF_A_GET, OF_A_HEAD, OF_A_PUT, of_recordings};
use crate::support::pbx::Pbx;
use crate::support::proxy::{Proxy, seeded};
use crate::support::service::Setup;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

const RECORDINGS: usize = 300;
const PERCENT: u64 = 30;
const SEED: u64 = 1;
const WITHIN: Duration = Duration::from_secs(75);

#[tokio::test]
async fn three_hundred_uploads_survive_a_bad_store() {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    proxy.plan(seeded(SEED, PERCENT, of_recordings));
    let lines = bucket(
        &proxy.endpoint(),
        "calls",
        weed.access_key(),
        weed.secret_key(),
    );
    let service = Setup::new()
        .pbx("hq", "Europe/Prague", &pbx.base_url(), "concurrency = 8")
        .store(&lines)
        .archive("workers", "8")
        .archive("retry", r#"["20ms", "50ms", "100ms"]"#)
        .start();
    for counter in 0..RECORDINGS {
        announce(&service, &pbx, &name(counter));
    }
    let archived = "SELECT count(*) FROM recordings WHERE state = 'archived'";
    let failed = "SELECT count(*) FROM recordings WHERE state = 'failed'";
    wait_for("all are archived", WITHIN, || {
        assert_eq!(service.number(failed), 0, "given up");
        service.number(archived) == RECORDINGS as i64
    });
    let requests = proxy.requests();
    proxy.heal();
    let may_fail = requests
        .iter()
        .filter(|request| !of_recordings(request).is_empty());
    let faulty = requests.iter().filter(|request| request.fault.is_some());
    let (of, faulty) = (may_fail.count(), faulty.count());
    let share = faulty * 100 / of;
    assert!((26..=34).contains(&share), "{share} % of {of}");
    for fault in [OF_A_PUT, OF_A_HEAD, OF_A_GET].concat() {
        let met = requests.iter().any(|request| request.fault == Some(fault));
        assert!(met, "never met: {fault:?}");
    }
    assert_all_there(&service, &weed, RECORDINGS).await;
}
