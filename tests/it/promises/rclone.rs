//! A real store that takes conditions, checksums and locks, and heeds none of them.

use callvault::model::digest::Digest;

use super::{
    announce, bucket, check, detail, key, name, row, set_up, wait_until_archived,
    wait_until_failing,
};
use crate::support::pbx::Pbx;
use crate::support::rclone::Rclone;
use crate::support::wait::wait_for;

const BROKEN: [&str; 3] = [
    "takes a body with a wrong SHA-256",
    "heeds no If-None-Match",
    "keeps no versions",
];
const BROKEN_LOCK: [&str; 2] = ["deletes what is locked", "lets a lock be shortened"];
const BROKEN_COMPLIANCE: &str = "lets compliance be turned into governance";

#[test]
fn what_it_breaks_is_said() {
    let (rclone, pbx) = (Rclone::start(&["calls"]), Pbx::start());
    let lines = |lock| bucket(&rclone.endpoint(), "calls", ("any", "any"), lock);
    let cases = [
        (None, 0, "warning", vec![]),
        (Some("governance"), 0, "warning", BROKEN_LOCK.to_vec()),
        (
            Some("compliance"),
            1,
            "FAILED",
            [&BROKEN_LOCK[..], &[BROKEN_COMPLIANCE]].concat(),
        ),
    ];
    for (lock, expected, word, of_lock) in cases {
        let (exit, said) = check(&set_up(&pbx, &lines(lock)).prepare());
        assert_eq!(exit, expected, "{said:#?}");
        let always = BROKEN.iter().map(|text| ("warning", *text));
        let of_lock = of_lock.into_iter().map(|text| (word, text));
        for (word, text) in always.chain(of_lock) {
            let found = |line: &&String| line.starts_with(word) && line.contains(text);
            assert!(said.iter().any(|line| found(&line)), "{text}: {said:#?}");
        }
    }
}

#[test]
fn recordings_are_read_back_and_nothing_is_overwritten() {
    let (rclone, pbx) = (Rclone::start(&["calls"]), Pbx::start());
    let taken = name(0);
    rclone.write("calls", &key(&taken), b"another's");
    for (counter, lock) in [(1, None), (2, Some("governance"))] {
        let lines = bucket(&rclone.endpoint(), "calls", ("any", "any"), lock);
        let service = set_up(&pbx, &lines).start();
        let name = name(counter);
        announce(&service, &pbx, &name);
        wait_until_archived(&service, &name);
        assert_eq!(detail(&service, &name, "proved"), "read back and hashed");
        let row = row(&service, &name);
        let stored = rclone.read("calls", &key(&name)).unwrap();
        assert_eq!(row["object_sha256"], Digest::of(&stored).to_string());
        // Its lock is kept like any other header.
        assert!(row["lock_mode"].is_null(), "{row}");
        let uploaded = detail(&service, &name, "uploaded");
        assert_eq!(
            uploaded.contains("not locked"),
            lock.is_some(),
            "{uploaded}"
        );

        announce(&service, &pbx, &taken);
        wait_for("it is given up", super::WITHIN, || {
            super::row(&service, &taken)["code"] == "conflict"
        });
        let left = rclone.read("calls", &key(&taken)).unwrap();
        assert_eq!(left, b"another's");
    }
}

#[test]
fn compliance_is_refused_and_events_are_still_logged() {
    let (rclone, pbx) = (Rclone::start(&["calls"]), Pbx::start());
    let lines = bucket(
        &rclone.endpoint(),
        "calls",
        ("any", "any"),
        Some("compliance"),
    );
    let service = set_up(&pbx, &lines).start();
    let name = name(0);
    announce(&service, &pbx, &name);
    wait_until_failing(&service, &name, "lock_not_enforced");
    assert_eq!(rclone.read("calls", &key(&name)), None);
    service.wait_until_store_is_tried();
    assert_eq!(service.promise("lock_refuses_deletion"), "no");
    announce(&service, &pbx, &super::name(1));
    service.wait_until_read();
    let jobs = service.json(&["jobs"]);
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    let status = service.json(&["status"]).pop().unwrap();
    let reasons = status["reasons"].to_string();
    assert!(reasons.contains("lock_not_enforced"), "{reasons}");
    assert!(
        reasons.contains("the store deletes what is locked"),
        "{reasons}"
    );
}
