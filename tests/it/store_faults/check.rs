//! `check --online` tells what is wrong with a store, and leaves nothing in it.

use super::bucket;
use crate::support::pbx::Pbx;
use crate::support::proxy::{Fault, Proxy};
use crate::support::service::{Service, Setup};
use crate::support::tls::Authority;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

/// Lets a key write and read, and not delete.
const NO_DELETE: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
    "Principal": "*", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "Resource": "arn:aws:s3:::kept/*"}]}"#;

/// What it says of the store, and its exit code.
fn check(service: &Service) -> (i32, String) {
    let output = service.cli(&["check", "--online"]);
    let lines = output.stdout.lines();
    let store = lines.filter(|line| line.contains("store s3://"));
    (output.status, store.collect())
}

async fn keys(weed: &Weed, bucket: &str) -> Vec<String> {
    let versions = weed.versions(bucket).await;
    versions.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_told_apart() {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    weed.create_bucket("kept", false).await;
    let policy = weed.client().put_bucket_policy().bucket("kept");
    policy.policy(NO_DELETE).send().await.unwrap();
    let (mut proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let (endpoint, secret) = (proxy.endpoint(), weed.secret_key());
    let service = |name: &str, access_key: &str, secret: &str| {
        let lines = bucket(&endpoint, name, access_key, secret);
        Setup::hq(&pbx.base_url()).store(&lines).prepare()
    };
    let (ro, rw) = (weed.read_only_access_key(), weed.writer_access_key());
    let cases = [
        ("calls", weed.access_key(), secret, 0, "ok ", "removed"),
        ("calls", &rw, secret, 0, "ok ", "removed"),
        ("calls", &ro, secret, 1, "FAILED", "could not write"),
        (
            "calls",
            weed.access_key(),
            "wrong",
            1,
            "FAILED",
            "refused our credentials or rights: answered 403 SignatureDoesNotMatch",
        ),
        (
            "calls",
            "unknown",
            secret,
            1,
            "FAILED",
            "refused our credentials or rights: answered 403 InvalidAccessKeyId",
        ),
        (
            "no-such-bucket",
            weed.access_key(),
            secret,
            1,
            "FAILED",
            "there is no such bucket",
        ),
        ("kept", &rw, secret, 0, "warning", "stays: removing"),
    ];
    for (name, access_key, secret, status, word, text) in cases {
        let (found, said) = check(&service(name, access_key, secret));
        eprintln!("{found} {said}");
        assert_eq!(found, status, "{name} {access_key}: {said}");
        assert!(said.starts_with(word) && said.contains(text), "{said}");
    }
    assert_eq!(keys(&weed, "calls").await, [""; 0], "a canary stayed");
    let kept = keys(&weed, "kept").await;
    assert_eq!(kept.len(), 2, "the canaries that may not go: {kept:?}");

    let sound = service("calls", weed.access_key(), secret);
    // What is written reads otherwise.
    proxy.plan(|request| (request.method == "GET").then_some(Fault::FlipBack));
    let (status, said) = check(&sound);
    assert!(
        status == 1 && said.contains("something else than was stored"),
        "{said}"
    );
    proxy.go_down();
    let (status, said) = check(&sound);
    assert!(status == 1 && said.contains("cannot be reached"), "{said}");
    assert_eq!(keys(&weed, "calls").await, [""; 0], "a canary stayed");
}

/// Neither is away; both are on this machine, so the words are what tells them apart.
#[test]
fn a_store_that_is_not_trusted() {
    let (authority, pbx) = (Authority::new(), Pbx::start());
    let (untrusted, no_tls) = (Pbx::start_tls(authority.server("127.0.0.1")), Pbx::start());
    let said_of = |endpoint: &str| {
        let lines = bucket(endpoint, "calls", "nobody", "of-nobody");
        let service = Setup::hq(&pbx.base_url()).store(&lines).prepare();
        let (status, said) = check(&service);
        let begins = said.starts_with("FAILED  store s3://calls");
        assert!(begins && status == 1, "{status}: {said}");
        said
    };
    let said = said_of(&untrusted.base_url());
    assert!(
        said.contains("could not write: ") && said.contains("invalid peer certificate"),
        "{said}"
    );
    assert!(untrusted.requests().is_empty(), "asked without trust");
    let said = said_of(&no_tls.base_url().replace("http:", "https:"));
    let is_away = said.contains("cannot be reached") && !said.contains("certificate");
    assert!(is_away, "{said}");
}

#[tokio::test]
async fn a_canary_that_was_left_is_swept_at_start() {
    let weed = Weed::start();
    weed.create_bucket("calls", false).await;
    let (proxy, pbx) = (Proxy::start(&weed.endpoint()), Pbx::start());
    let lines = bucket(
        &proxy.endpoint(),
        "calls",
        weed.access_key(),
        weed.secret_key(),
    );
    let mut service = Setup::hq(&pbx.base_url()).store(&lines).prepare();
    // As by a kill: it is written, and nothing comes after.
    proxy.plan(|request| match request.method.as_str() {
        "PUT" => Some(Fault::DropAfter),
        _ => Some(Fault::DropBefore),
    });
    let (status, said) = check(&service);
    assert!(status == 1 && said.contains("cannot be reached"), "{said}");
    let left = keys(&weed, "calls").await;
    assert!(
        left.len() == 1 && left[0].starts_with(".callvault-canary-"),
        "{left:?}"
    );

    // A store that is away keeps nobody from starting.
    proxy.plan(|_| Some(Fault::DropBefore));
    service.restart();
    service.terminate();
    assert_eq!(keys(&weed, "calls").await, left);
    proxy.heal();
    service.restart();
    wait_for("the sweep is told", super::WITHIN, || {
        service.log().contains("temporaries=1")
    });
    service.wait_until_store_is_tried();
    let left = keys(&weed, "calls").await;
    assert_eq!(left, [""; 0], "not swept");
}
