//! Everything at once.

use std::time::Duration;

use super::{announce, assert_all_there, bucket, name};
use crate::support::pbx::Pbx;
use crate::support::proxy::{
    ABSENT, CLOCK_SKEW, DENIED, EXISTS, FAILED, Fault, Proxy, RACE_LOST, Request, SLOW_DOWN, seeded,
};
use crate::support::service::Setup;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

const RECORDINGS: usize = 300;
const PERCENT: u64 = 30;
const SEED: u64 = 1;
const WITHIN: Duration = Duration::from_secs(75);

const OF_A_PUT: &[Fault] = &[
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::Cut,
    Fault::FlipThere,
    Fault::Pretend,
    FAILED,
    SLOW_DOWN,
    RACE_LOST,
    EXISTS,
    CLOCK_SKEW,
    DENIED,
];
/// Most of them without a checksum, so that much is read back.
const OF_A_HEAD: &[Fault] = &[
    Fault::DropBefore,
    Fault::Cut,
    FAILED,
    SLOW_DOWN,
    ABSENT,
    Fault::OtherChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
];
const OF_A_GET: &[Fault] = &[
    Fault::DropBefore,
    Fault::Cut,
    Fault::FlipBack,
    FAILED,
    ABSENT,
    DENIED,
];

fn faults(request: &Request) -> &'static [Fault] {
    match request.method.as_str() {
        // Not of the bucket, but of what lies in it.
        _ if !request.path.starts_with("/calls/hq/") => &[],
        "PUT" => OF_A_PUT,
        "HEAD" => OF_A_HEAD,
        _ => OF_A_GET,
    }
}

#[tokio::test]
async fn three_hundred_uploads_survive_a_bad_store() {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    proxy.plan(seeded(SEED, PERCENT, faults));
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
    let faulty = requests.iter().filter(|request| request.fault.is_some());
    let share = faulty.count() * 100 / requests.len();
    assert!((25..35).contains(&share), "{share} % of {}", requests.len());
    for fault in [OF_A_PUT, OF_A_HEAD, OF_A_GET].concat() {
        let met = requests.iter().any(|request| request.fault == Some(fault));
        assert!(met, "never met: {fault:?}");
    }
    assert_all_there(&service, &weed, RECORDINGS).await;
}
