//! A store that honours everything, behind a proxy that makes it lie about one promise at a time.

use callvault::model::digest::Digest;

use super::{
    announce, bucket, check, detail, key, name, row, set_up, wait_until_archived,
    wait_until_failing,
};
use crate::support::hook;
use crate::support::pbx::Pbx;
use crate::support::proxy::{DENIED, Fault, NOT_IMPLEMENTED, Proxy, Request};
use crate::support::service::Service;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

const ANYBODY: (&str, &str) = ("key-of-anybody", "secret-of-anybody");
const BY_HEAD: &str = "by the store's own SHA-256";
const BY_ANSWER: &str = "by the store's own SHA-256, in its answer";
const BY_READING: &str = "read back and hashed";

type Lie = fn(&Request) -> Option<Fault>;

struct Case {
    lie: Lie,
    promise: &'static str,
    holds: &'static str,
    /// What `check --online` says of it, first the word; and its exit code.
    says: &'static str,
    exit: i32,
    /// How a recording is proved, or the code it waits under.
    then: Result<&'static str, &'static str>,
}

fn puts(request: &Request) -> bool {
    request.method == "PUT" && !request.query.contains("retention")
}

/// The object lock's canary: written, then its lock made longer, shorter, weaker.
fn nth_of_lock_canary(request: &Request, method: &str, nth: usize) -> bool {
    request.is(method, "-lock.part") && request.nth == nth
}

const CASES: &[Case] = &[
    Case {
        lie: |_| None,
        promise: "refuses_wrong_sha256",
        holds: "yes",
        says: "ok      store s3://calls: refuses a wrong SHA-256",
        exit: 0,
        then: Ok(BY_HEAD),
    },
    Case {
        lie: |request| (puts(request) || request.method == "HEAD").then_some(Fault::Echo),
        promise: "refuses_wrong_sha256",
        holds: "no",
        says: "warning store s3://calls: takes a body with a wrong SHA-256",
        exit: 0,
        then: Ok(BY_READING),
    },
    // What it echoes is right, and what it holds is not.
    Case {
        lie: |request| match (puts(request), request.path.ends_with(".mp3")) {
            (true, true) => Some(Fault::EchoFlipped),
            (true, false) => Some(Fault::Echo),
            _ => (request.method == "HEAD").then_some(Fault::Echo),
        },
        promise: "refuses_wrong_sha256",
        holds: "no",
        says: "warning store s3://calls: takes a body with a wrong SHA-256",
        exit: 0,
        then: Err("conflict"),
    },
    Case {
        lie: |request| (request.method == "HEAD").then_some(Fault::NoChecksum),
        promise: "returns_sha256",
        holds: "no",
        says: "warning store s3://calls: returns no SHA-256 to trust",
        exit: 0,
        then: Ok(BY_READING),
    },
    Case {
        lie: |request| (request.method == "HEAD").then_some(Fault::OtherChecksum),
        promise: "returns_sha256",
        holds: "no",
        says: "warning store s3://calls: returns no SHA-256 to trust",
        exit: 0,
        then: Ok(BY_READING),
    },
    // A key that may not HEAD.
    Case {
        lie: |request| (request.method == "HEAD").then_some(DENIED),
        promise: "returns_sha256",
        holds: "unknown",
        says: "warning store s3://calls: may be one that returns an object's SHA-256",
        exit: 0,
        then: Ok(BY_READING),
    },
    Case {
        lie: |request| puts(request).then_some(Fault::Unconditional),
        promise: "lets_one_writer_win",
        holds: "no",
        says: "warning store s3://calls: heeds no If-None-Match",
        exit: 0,
        then: Ok(BY_HEAD),
    },
    Case {
        lie: |request| request.is_conditional.then_some(NOT_IMPLEMENTED),
        promise: "lets_one_writer_win",
        holds: "no",
        says: "warning store s3://calls: heeds no If-None-Match",
        exit: 0,
        then: Ok(BY_HEAD),
    },
    // A key that may not delete.
    Case {
        lie: |request| (request.method == "DELETE").then_some(DENIED),
        promise: "lock_refuses_deletion",
        holds: "unknown",
        says: "warning store s3://calls: may be one that refuses to delete what is locked",
        exit: 0,
        then: Ok(BY_HEAD),
    },
    Case {
        lie: |request| nth_of_lock_canary(request, "DELETE", 0).then_some(Fault::Pretend),
        promise: "lock_refuses_deletion",
        holds: "no",
        says: "FAILED  store s3://calls: deletes what is locked",
        exit: 1,
        then: Err("lock_not_enforced"),
    },
    Case {
        lie: |request| nth_of_lock_canary(request, "PUT", 2).then_some(Fault::Pretend),
        promise: "lock_refuses_shortening",
        holds: "no",
        says: "FAILED  store s3://calls: lets a lock be shortened",
        exit: 1,
        then: Err("lock_not_enforced"),
    },
    Case {
        lie: |request| nth_of_lock_canary(request, "PUT", 3).then_some(Fault::Pretend),
        promise: "lock_refuses_mode_change",
        holds: "no",
        says: "FAILED  store s3://calls: lets compliance be turned into governance",
        exit: 1,
        then: Err("lock_not_enforced"),
    },
    Case {
        lie: |request| puts(request).then_some(Fault::Pretend),
        promise: "keeps_objects",
        holds: "no",
        says: "FAILED  store s3://calls: failed: .callvault-canary-",
        exit: 1,
        then: Err("lock_not_tried"),
    },
    // Canaries are kept, and recordings are not.
    Case {
        lie: |request| (puts(request) && request.path.ends_with(".mp3")).then_some(Fault::Pretend),
        promise: "keeps_objects",
        holds: "yes",
        says: "ok      store s3://calls: keeps what it acknowledges",
        exit: 0,
        then: Err("not_proved"),
    },
];

#[tokio::test]
async fn each_lie_is_found_and_said_and_nothing_rests_on_it() {
    let weed = Weed::start_open();
    weed.create_lock_bucket("calls").await;
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let lines = bucket(&proxy.endpoint(), "calls", ANYBODY, Some("compliance"));
    for (counter, case) in CASES.iter().enumerate() {
        eprintln!("{counter}: {} {}", case.promise, case.holds);
        proxy.plan(case.lie);
        let (service, name) = (set_up(&pbx, &lines).start(), name(counter));
        let (exit, said) = check(&service);
        let line = said.iter().find(|line| line.starts_with(case.says));
        let found = line.is_some();
        assert!(found, "{}: {said:#?}", case.says);
        assert_eq!(exit, case.exit, "{said:#?}");

        service.wait_until_store_is_tried();
        assert_eq!(service.promise(case.promise), case.holds);
        let status = service.cli(&["status"]).stdout;
        let told = case.says.split(": ").nth(1).unwrap();
        let is_told = status.contains(&format!("the store {told}"));
        assert_eq!(is_told, case.holds != "yes" && told != "failed", "{status}");

        announce(&service, &pbx, &name);
        match case.then {
            Ok(how) => {
                wait_until_archived(&service, &name);
                assert_eq!(detail(&service, &name, "proved"), how);
                is_as_the_index_says(&service, &weed, &name).await;
            }
            Err(code) => {
                match code {
                    // Found again, it is another's: a person must look.
                    "conflict" => wait_for("it is given up", super::WITHIN, || {
                        row(&service, &name)["code"] == code
                    }),
                    code => wait_until_failing(&service, &name, code),
                }
                let spooled = std::fs::read_dir(service.data_dir().join("spool"));
                assert_eq!(spooled.unwrap().count(), 1, "the local copy stays");
                let acts = detail(&service, &name, "uploaded");
                assert_eq!(acts, "", "nothing is said to be stored");
                if code.starts_with("lock") {
                    let stored = weed.versions("calls").await;
                    let stored = stored.iter().find(|(found, _)| *found == key(&name));
                    assert_eq!(stored, None);
                    let status = service.json(&["status"]).pop().unwrap();
                    assert_eq!(status["act"], true, "{status}");
                }
            }
        }
        let log = service.log();
        assert_eq!(log.contains("WARN the store "), case.holds == "no", "{log}");
    }
}

async fn is_as_the_index_says(service: &Service, weed: &Weed, name: &str) {
    let row = row(service, name);
    let client = weed.client();
    let got = client.get_object().bucket("calls").key(key(name)).send();
    let bytes = got.await.unwrap().body.collect().await.unwrap().to_vec();
    assert_eq!(row["object_sha256"], Digest::of(&bytes).to_string());
    if row["lock_mode"].is_null() {
        return;
    }
    for key in [key(name), key(name).replace(".mp3", ".json")] {
        let (mode, until) = weed.lock("calls", &key).await.expect("a lock");
        assert_eq!(row["lock_mode"], mode, "{key}");
        assert_eq!(row["lock_until"], until, "{key}");
    }
}

/// How a store knows no condition, and which of our PUTs of a key it then does.
const NO_CONDITION: [(Lie, usize); 2] = [
    (|request| puts(request).then_some(Fault::Unconditional), 0),
    (
        |request| request.is_conditional.then_some(NOT_IMPLEMENTED),
        1,
    ),
];

/// Even where the store would let us.
#[tokio::test]
async fn nothing_is_overwritten_where_the_condition_is_ignored_or_refused() {
    for (lie, done) in NO_CONDITION {
        let weed = Weed::start_open();
        weed.create_bucket("calls", true).await;
        let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
        let lines = bucket(&proxy.endpoint(), "calls", ANYBODY, None);
        let (object, manifest) = (name(0), name(1));
        let taken = [key(&object), key(&manifest).replace(".mp3", ".json")];
        for key in &taken {
            let put = weed.client().put_object().bucket("calls").key(key);
            put.body(b"another's".to_vec().into()).send().await.unwrap();
        }
        proxy.plan(lie);
        let service = set_up(&pbx, &lines).start();
        // Not tried yet, or tried: it makes no difference.
        for name in [&object, &manifest] {
            announce(&service, &pbx, name);
            wait_for("it is given up", super::WITHIN, || {
                row(&service, name)["code"] == "conflict"
            });
        }
        service.wait_until_store_is_tried();
        let versions = weed.versions("calls").await;
        for key in &taken {
            let of_key = versions.iter().filter(|(found, _)| found == key);
            assert_eq!(of_key.count(), 1, "{key}: {versions:?}");
        }
        // Our own that is met again is none of another's.
        let (again, sound) = (name(2), key(&name(2)));
        proxy.plan(
            move |request| match request.is("PUT", &sound) && request.nth == done {
                true => Some(Fault::DropAfter),
                false => lie(request),
            },
        );
        announce(&service, &pbx, &again);
        wait_until_archived(&service, &again);
        let versions = weed.versions("calls").await;
        let of_key = versions.iter().filter(|(found, _)| *found == key(&again));
        assert_eq!(of_key.count(), 1, "{versions:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_at_start_is_tried_when_it_is_back() {
    let weed = Weed::start_open();
    weed.create_bucket("calls", false).await;
    let (mut proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    proxy.go_down();
    let lines = bucket(&proxy.endpoint(), "calls", ANYBODY, None);
    let service = set_up(&pbx, &lines).start();
    // Nobody waits for the store but the recordings.
    hook::post(service.hook(), "{}");
    wait_for("that it cannot be tried is said", super::WITHIN, || {
        service.promise("keeps_objects") == "unknown"
    });
    let status = service.cli(&["status"]).stdout;
    assert!(status.contains("cannot be reached"), "{status}");
    proxy.come_back();
    service.wait_until_store_is_tried();
    assert_eq!(service.promise("refuses_wrong_sha256"), "yes");
    assert_eq!(service.promise("keeps_versions"), "no");
    assert_eq!(service.promise("lock_refuses_deletion"), "");
    let name = name(0);
    announce(&service, &pbx, &name);
    wait_until_archived(&service, &name);
    assert_eq!(detail(&service, &name, "proved"), BY_ANSWER);
}

#[tokio::test]
async fn an_answer_that_says_the_digest_is_proof_and_no_other_is() {
    let weed = Weed::start_open();
    weed.create_bucket("calls", true).await;
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let lines = bucket(&proxy.endpoint(), "calls", ANYBODY, None);
    let service = set_up(&pbx, &lines).start();
    service.wait_until_store_is_tried();
    let cases = [
        (None, BY_ANSWER, 0),
        (Some(Fault::NoChecksum), BY_HEAD, 1),
        (Some(Fault::OtherChecksum), BY_HEAD, 1),
    ];
    for (counter, (fault, how, heads)) in cases.into_iter().enumerate() {
        proxy.plan(move |request| fault.filter(|_| request.method == "PUT"));
        let name = name(counter);
        announce(&service, &pbx, &name);
        wait_until_archived(&service, &name);
        assert_eq!(detail(&service, &name, "proved"), how);
        for ending in ["mp3", "json"] {
            let asked = proxy.requests().into_iter();
            let asked = asked.filter(|request| request.is("HEAD", &format!("{name}.{ending}")));
            assert_eq!(asked.count(), heads, "{ending}, {fault:?}");
        }
        is_as_the_index_says(&service, &weed, &name).await;
    }
}
