//! Object lock on a store that enforces it: set with the object, committed before, and only ever
//! made longer.

use aws_sdk_s3::types::ObjectLockMode;

use super::{announce, bucket, detail, key, name, row, set_up, wait_until_archived};
use crate::support::pbx::Pbx;
use crate::support::proxy::{Fault, Proxy};
use crate::support::service::Service;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

async fn start() -> (Weed, Proxy, Pbx) {
    let weed = Weed::start();
    weed.create_lock_bucket("calls").await;
    let proxy = Proxy::start(&weed.endpoint());
    (weed, proxy, Pbx::start())
}

fn lines(weed: &Weed, proxy: &Proxy, lock: Option<&str>) -> String {
    let keys = (weed.access_key(), weed.secret_key());
    bucket(&proxy.endpoint(), "calls", keys, lock)
}

/// Both objects have the lock that the index tells of, exactly.
async fn assert_locked(service: &Service, weed: &Weed, name: &str) {
    let row = row(service, name);
    for key in [key(name), key(name).replace(".mp3", ".json")] {
        let (mode, until) = weed.lock("calls", &key).await.expect("a lock");
        assert_eq!(row["lock_mode"], mode, "{key}");
        assert_eq!(row["lock_until"], until, "{key}");
    }
}

#[tokio::test]
async fn every_try_sends_the_lock_that_was_committed_before_the_first() {
    let (weed, proxy, pbx) = start().await;
    for (counter, mode) in [(0, "governance"), (1, "compliance")] {
        let service = set_up(&pbx, &lines(&weed, &proxy, Some(mode))).start();
        let name = name(counter);
        let object = format!("{name}.mp3");
        proxy.plan(move |request| request.is("PUT", &object).then_some(Fault::DropBefore));
        announce(&service, &pbx, &name);
        let committed = format!(
            "SELECT coalesce(max(lock_until_ms), 0) FROM recording WHERE recording = '{name}'"
        );
        wait_for("two tries have failed", super::WITHIN, || {
            service.number(&format!(
                "SELECT count(*) FROM attempts WHERE recording = 'hq/{name}' AND ended_at IS NOT NULL"
            )) >= 2
        });
        let until_ms = service.number(&committed);
        assert!(until_ms > 0 && row(&service, &name)["lock_mode"].is_null());
        // The store has it, and the answer is lost.
        let object = format!("{name}.mp3");
        let met = proxy.requests().len();
        proxy.plan(move |request| {
            (request.is("PUT", &object) && request.nth < met).then_some(Fault::DropAfter)
        });
        wait_for("the store has it", super::WITHIN, || {
            proxy.requests()[met..]
                .iter()
                .any(|request| request.fault == Some(Fault::DropAfter))
        });
        proxy.heal();
        wait_until_archived(&service, &name);
        assert_eq!(service.number(&committed), until_ms);
        assert_locked(&service, &weed, &name).await;
        let until = row(&service, &name)["lock_until"]
            .as_str()
            .unwrap()
            .to_owned();
        let said = format!(", locked: {mode} until {until}, read back");
        assert!(detail(&service, &name, "uploaded").ends_with(&said));
        let shown = service.cli(&["show", &format!("hq/{name}")]).stdout;
        assert!(shown.contains(&format!("{mode} until {until}")), "{shown}");
        let found = service
            .json(&["show", &format!("hq/{name}")])
            .pop()
            .unwrap();
        assert_eq!(
            (&found["lock_mode"], &found["lock_until"]),
            (&mode.into(), &until.into())
        );
    }
}

/// One life of an archive: the lock it wants, for so long; then that which the object has, for so
/// many days, and how that came.
type Life = (
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
    i64,
    &'static str,
);

const LONGER: &str = "lengthened and read back";
const AS_IT_WAS: &str = "read back";

/// Their index is lost each time, and the object stays the first one's.
const LIVES: &[&[Life]] = &[
    &[
        (None, "1d", None, 0, ""),
        (Some("governance"), "1d", Some("governance"), 1, LONGER),
        (Some("governance"), "3d", Some("governance"), 3, LONGER),
        (Some("governance"), "1d", Some("governance"), 3, AS_IT_WAS),
    ],
    &[
        (None, "1d", None, 0, ""),
        (Some("compliance"), "1d", Some("compliance"), 1, LONGER),
        (Some("compliance"), "3d", Some("compliance"), 3, LONGER),
        (Some("compliance"), "1d", Some("compliance"), 3, AS_IT_WAS),
        (Some("governance"), "1d", Some("compliance"), 3, AS_IT_WAS),
    ],
];

/// A store was away for longer than the lock that was promised.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_has_passed_before_the_store_had_it_is_promised_anew() {
    let (weed, proxy, pbx) = start().await;
    let lines = lines(&weed, &proxy, Some("governance")).replace("\"1d\"", "\"2s\"");
    let service = set_up(&pbx, &lines).start();
    let name = name(0);
    let object = format!("{name}.mp3");
    proxy.plan(move |request| request.is("PUT", &object).then_some(Fault::DropBefore));
    announce(&service, &pbx, &name);
    let passed = format!(
        "SELECT count(*) FROM recording WHERE recording = '{name}' \
         AND lock_until_ms < unixepoch('subsec') * 1000"
    );
    wait_for("its lock has passed", super::WITHIN, || {
        service.number(&passed) == 1
    });
    proxy.heal();
    wait_until_archived(&service, &name);
    let anew =
        format!("SELECT lock_until_ms > archived_ms FROM recording WHERE recording = '{name}'");
    assert_eq!(service.number(&anew), 1);
    assert!(weed.lock("calls", &key(&name)).await.is_some());
}

/// It takes nothing that is sent with a lock.
#[tokio::test(flavor = "multi_thread")]
async fn under_governance_a_bucket_without_object_lock_is_archived_to() {
    let (weed, pbx) = (Weed::start(), Pbx::start());
    weed.create_bucket("calls", false).await;
    let keys = (weed.access_key(), weed.secret_key());
    let lines = bucket(&weed.endpoint(), "calls", keys, Some("governance"));
    let service = set_up(&pbx, &lines).start();
    let name = name(0);
    announce(&service, &pbx, &name);
    wait_until_archived(&service, &name);
    assert!(row(&service, &name)["lock_mode"].is_null());
    let uploaded = detail(&service, &name, "uploaded");
    assert!(uploaded.contains("not locked"), "{uploaded}");
}

#[tokio::test]
async fn an_adopted_object_gets_its_lock_and_never_a_lesser_one() {
    let (weed, proxy, pbx) = start().await;
    for (counter, lives) in LIVES.iter().enumerate() {
        let name = name(counter);
        let mut before = None;
        for (wanted, lock_for, mode, days, how) in *lives {
            eprintln!("{wanted:?} for {lock_for}");
            let lines = lines(&weed, &proxy, *wanted);
            let lines = lines.replace("\"1d\"", &format!("\"{lock_for}\""));
            let service = set_up(&pbx, &lines).start();
            announce(&service, &pbx, &name);
            wait_until_archived(&service, &name);
            let lock = weed.lock("calls", &key(&name)).await;
            assert_eq!(lock.is_some(), mode.is_some(), "{lock:?}");
            if let Some(mode) = mode {
                assert_locked(&service, &weed, &name).await;
                assert_eq!(row(&service, &name)["lock_mode"], *mode);
                let left = format!(
                    "SELECT cast((lock_until_ms - archived_ms) / 86400000.0 + 0.5 AS INTEGER) \
                     FROM recording WHERE recording = '{name}'"
                );
                assert_eq!(service.number(&left), *days);
                let adopted = detail(&service, &name, "adopted");
                assert!(adopted.ends_with(&format!(", {how}")), "{adopted}");
            }
            if *how == AS_IT_WAS {
                assert_eq!(lock, before, "it was changed");
            }
            before = lock;
        }
        let versions = weed.versions("calls").await;
        let of_key = versions.iter().filter(|(found, _)| *found == key(&name));
        assert_eq!(of_key.count(), 1, "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_locked_canary_stays_until_its_lock_has_passed() {
    let (weed, proxy, pbx) = start().await;
    let lines = lines(&weed, &proxy, Some("compliance"));
    let mut service = set_up(&pbx, &lines).prepare();
    let (exit, said) = super::check(&service);
    assert_eq!(exit, 0, "{said:#?}");
    assert!(said.iter().all(|line| line.starts_with("ok ")), "{said:#?}");
    let left = weed.versions("calls").await;
    let [(canary, version)] = &left[..] else {
        panic!("more than the locked one is left: {left:?}");
    };
    assert!(canary.ends_with("-lock.part"), "{canary}");
    let client = weed.client();
    let delete = client.delete_object().bucket("calls").key(canary);
    let deleted = delete.version_id(version).send().await;
    assert!(deleted.is_err(), "it is not locked");

    let short = ".callvault-canary-short-lock.part";
    let until = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    let put = client.put_object().bucket("calls").key(short);
    let put = put.object_lock_mode(ObjectLockMode::Compliance);
    let put = put.object_lock_retain_until_date(until.into());
    put.body(b"short".to_vec().into()).send().await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let is_there = |key: &str| {
        let versions = tokio::task::block_in_place(|| runtime.block_on(weed.versions("calls")));
        versions.iter().any(|(found, _)| found == key)
    };
    wait_for("a start sweeps it away", super::WITHIN, || {
        service.restart();
        service.wait_until_store_is_tried();
        service.terminate();
        !is_there(short)
    });
    assert!(is_there(canary), "it is still locked");
}
