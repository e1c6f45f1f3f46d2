//! Each fault alone: while it lasts the recording waits, and says why; then it goes on by itself.

use super::{announce, assert_all_there, behind, job, name, wait_until_archived};
use super::{bucket, spooled, wait_until_failing};
use crate::support::pbx::Pbx;
use crate::support::proxy::{
    ABSENT, CLOCK_SKEW, DENIED, EXISTS, FAILED, Fault, Proxy, RACE_LOST, SLOW_DOWN,
};
use crate::support::service::Setup;
use crate::support::weed::Weed;

/// What goes wrong with a recording's object or manifest, by method.
type Case = (
    &'static [(&'static str, &'static str, Fault)],
    &'static str,
    bool,
);

/// With the code it waits under, and whether its object may be in the store meanwhile.
const CASES: &[Case] = &[
    (
        &[("PUT", "mp3", Fault::DropBefore)],
        "store_unreachable",
        false,
    ),
    (
        &[("PUT", "mp3", Fault::DropAfter)],
        "store_unreachable",
        true,
    ),
    (&[("PUT", "mp3", Fault::Cut)], "store_unreachable", true),
    (&[("PUT", "mp3", FAILED)], "store_server", false),
    (&[("PUT", "mp3", SLOW_DOWN)], "store_busy", false),
    (&[("PUT", "mp3", RACE_LOST)], "store_busy", false),
    (&[("PUT", "mp3", CLOCK_SKEW)], "store_clock_skew", false),
    (&[("PUT", "mp3", DENIED)], "store_refused", false),
    (
        &[("PUT", "mp3", Fault::FlipThere)],
        "store_bad_digest",
        false,
    ),
    (&[("PUT", "mp3", Fault::Pretend)], "not_proved", false),
    (&[("PUT", "mp3", EXISTS)], "not_proved", false),
    (
        &[("HEAD", "mp3", Fault::DropBefore)],
        "store_unreachable",
        true,
    ),
    (&[("HEAD", "mp3", DENIED)], "store_refused", true),
    (&[("HEAD", "mp3", FAILED)], "store_server", true),
    // A HEAD that lies: it is not there, or it is something else.
    (&[("HEAD", "mp3", ABSENT)], "not_proved", true),
    (&[("HEAD", "mp3", Fault::OtherChecksum)], "not_proved", true),
    // Where HEAD has no checksum, the object is read back.
    (
        &[
            ("HEAD", "mp3", Fault::NoChecksum),
            ("GET", "mp3", Fault::FlipBack),
        ],
        "not_proved",
        true,
    ),
    (
        &[
            ("HEAD", "mp3", Fault::NoChecksum),
            ("GET", "mp3", Fault::Cut),
        ],
        "store_cut",
        true,
    ),
    (
        &[("HEAD", "mp3", Fault::NoChecksum), ("GET", "mp3", ABSENT)],
        "not_proved",
        true,
    ),
    // No recording is archived without its manifest.
    (
        &[("PUT", "json", Fault::DropBefore)],
        "store_unreachable",
        true,
    ),
    (
        &[("PUT", "json", Fault::DropAfter)],
        "store_unreachable",
        true,
    ),
    (&[("PUT", "json", FAILED)], "store_server", true),
    (&[("PUT", "json", Fault::Pretend)], "not_proved", true),
    (&[("PUT", "json", EXISTS)], "not_proved", true),
    (
        &[
            ("HEAD", "json", Fault::NoChecksum),
            ("GET", "json", Fault::FlipBack),
        ],
        "not_proved",
        true,
    ),
];

#[tokio::test]
async fn each_fault_alone_is_waited_out() {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    let (mut proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let service = behind(&proxy, &weed, &pbx).start();
    service.wait_until_store_is_tried();
    for (counter, (faults, code, may_be_there)) in CASES.iter().enumerate() {
        let name = name(counter);
        eprintln!("{faults:?}");
        let object = name.clone();
        proxy.plan(move |request| {
            let is_at = |ending| request.path.ends_with(&format!("{object}.{ending}"));
            let mut there = faults.iter().filter(|(_, ending, _)| is_at(ending));
            let planned = there.clone().find(|(method, ..)| request.method == *method);
            // The store is asked only where its answer to the PUT proves nothing.
            let asked = there.next().filter(|_| request.method == "PUT");
            let asked = asked.map(|_| Fault::NoChecksum);
            planned.map(|(_, _, fault)| *fault).or(asked)
        });
        announce(&service, &pbx, &name);
        wait_until_failing(&service, &name, code);
        let job = job(&service, &name);
        assert_eq!(
            (&job["state"], &job["code"]),
            (&"pending".into(), &(*code).into())
        );
        assert!(job["next_at"].is_string(), "{job}");
        assert_eq!(spooled(&service), 1, "the local copy stays");
        let versions = weed.versions("calls").await;
        let there = versions
            .iter()
            .filter(|(key, _)| key.ends_with(&format!("{name}.mp3")));
        assert_eq!(there.count(), usize::from(*may_be_there), "{faults:?}");
        proxy.heal();
        wait_until_archived(&service, &name);
    }
    let refused = name(CASES.len());
    proxy.go_down();
    announce(&service, &pbx, &refused);
    wait_until_failing(&service, &refused, "store_unreachable");
    proxy.come_back();
    wait_until_archived(&service, &refused);
    assert_all_there(&service, &weed, CASES.len() + 1).await;
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_waited_out() {
    let weed = Weed::start();
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let lines = bucket(&proxy.endpoint(), "calls", weed.access_key(), "wrong");
    let mut service = Setup::hq(&pbx.base_url()).store(&lines).start();
    let name = name(0);
    announce(&service, &pbx, &name);
    wait_until_failing(&service, &name, "store_refused");

    service.terminate();
    let settings = service.settings();
    service.rewrite(&settings.replace("\"wrong\"", &format!("\"{}\"", weed.secret_key())));
    service.restart();
    wait_until_failing(&service, &name, "store_no_bucket");

    weed.create_bucket("calls", true).await;
    wait_until_archived(&service, &name);
    assert_all_there(&service, &weed, 1).await;
}
