//! A store that changes while the service runs: what it keeps is asked again, a day later.

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;

use super::{bucket, detail, key, name, row, set_up};
use crate::support::inside::{Inside, START};
use crate::support::pbx::{Answer, Pbx};
use crate::support::proxy::{FAILED, Fault, Proxy, Request};
use crate::support::service::Setup;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEYS: (&str, &str) = ("key-of-anybody", "secret-of-anybody");
const BY_ANSWER: &str = "by the store's own SHA-256, in its answer";
const BY_READING: &str = "read back and hashed";

/// It heeds neither a checksum nor, where several write one key, the condition.
fn lies(request: &Request) -> Option<Fault> {
    let is_put = request.method == "PUT";
    match is_put && request.path.ends_with("-wrong.part") {
        true => Some(Fault::Echo),
        false => is_put.then_some(Fault::Unconditional),
    }
}

fn announce(inside: &Inside, pbx: &Pbx, name: &str, ends: &str) {
    pbx.script(name, [Answer::audio("230307150805_46-1-1")]);
    inside.announce("hq", name);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    wait_for(&format!("{name} is {ends}"), super::WITHIN, || {
        let row = row(&inside.files, name);
        row["state"] == ends || row["code"] == ends
    });
}

fn wait_for_promises(inside: &Inside, holds: &str) {
    for promise in ["refuses_wrong_sha256", "lets_one_writer_win"] {
        wait_for(&format!("{promise}: {holds}"), super::WITHIN, || {
            inside.files.promise(promise) == holds
        });
    }
}

#[test]
fn what_a_store_keeps_is_asked_again_daily_and_believed_anew() {
    let (weed, pbx) = (Weed::start_open(), Pbx::start());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(weed.create_bucket("calls", true));
    let proxy = Proxy::start(&weed.endpoint());
    // No canary can be removed.
    proxy.plan(|request| (request.method == "DELETE").then_some(FAILED));
    let lines = bucket(&proxy.endpoint(), "calls", KEYS, None);
    let inside = Inside::start(set_up(&pbx, &lines));
    let how = |name: &str| detail(&inside.files, name, "proved");
    let versions_of = |part: &str| {
        let versions = runtime.block_on(weed.versions("calls"));
        let of = versions.iter().filter(|(key, _)| key.contains(part));
        of.count()
    };
    wait_for_promises(&inside, "yes");
    announce(&inside, &pbx, &name(0), "archived");
    assert_eq!(how(&name(0)), BY_ANSWER);
    assert!(versions_of("canary") > 0, "they were to be left");

    proxy.plan(lies);
    announce(&inside, &pbx, &name(1), "archived");
    assert_eq!(how(&name(1)), BY_ANSWER, "nobody knows yet");
    inside.turn(DAY);
    wait_for_promises(&inside, "no");
    let status = inside.files.cli(&["status"]).stdout;
    for said in [
        "takes a body with a wrong SHA-256",
        "heeds no If-None-Match",
    ] {
        assert!(status.contains(&format!("the store {said}")), "{status}");
    }
    wait_for("what was left is removed", super::WITHIN, || {
        versions_of("canary") == 0
    });
    announce(&inside, &pbx, &name(2), "archived");
    assert_eq!(how(&name(2)), BY_READING);
    let client = weed.client();
    let put = client.put_object().bucket("calls").key(key(&name(3)));
    let put = put.body(b"another's".to_vec().into()).send();
    runtime.block_on(put).unwrap();
    announce(&inside, &pbx, &name(3), "conflict");
    assert_eq!(versions_of(&key(&name(3))), 1);

    proxy.heal();
    inside.turn(DAY);
    wait_for_promises(&inside, "yes");
    announce(&inside, &pbx, &name(4), "archived");
    assert_eq!(how(&name(4)), BY_ANSWER);
}

#[test]
fn of_a_directory_what_nobody_writes_to_any_more_is_removed_daily() {
    let pbx = Pbx::start();
    let inside = Inside::start(Setup::hq(&pbx.base_url()));
    inside.files.wait_until_store_is_tried();
    let start = UNIX_EPOCH + Duration::from_millis(START.0 as u64);
    let left = |what: &str, written: SystemTime| {
        let path = inside.files.dir().join("archive").join(what);
        let file = File::create(&path).unwrap();
        file.set_modified(written).unwrap();
        path
    };
    let old = left(".callvault-old.part", start);
    let young = left(".callvault-young.part", start + DAY / 2);
    let another = left("old.part", start);
    inside.turn(DAY);
    wait_for("the old one is gone", super::WITHIN, || !old.exists());
    assert!(young.exists() && another.exists());
}
