//! What only a bucket can do wrong, and what goes over the wire to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use bytes::Bytes;
use callvault::config::{S3Settings, Sse};
use callvault::model::digest::Digest;
use callvault::model::lock::{Lock, LockMode};
use callvault::model::time::UtcMs;
use callvault::objects::{Body, Error, FileRange};

use super::{AUDIO, key, put, s3, settings, settings_of, variant, whole};
use crate::support::port::Port;
use crate::support::weed::Weed;

/// In base64, as its header carries it.
const TAG_AUDIO_SHA256: &str = "3yrKY+58joIuIvF7leIHRWiZgay5VgL7MGgeLipszA4=";

#[tokio::test]
async fn what_a_bucket_refuses_is_told_apart() {
    let weed = Weed::start();
    weed.create_bucket("calls", false).await;
    let sound = settings_of(&weed);

    let with_secret = |secret: &str| settings(weed.endpoint(), weed.access_key(), secret);
    let read_only = settings(
        weed.endpoint(),
        &weed.read_only_access_key(),
        weed.secret_key(),
    );
    let elsewhere = S3Settings {
        bucket: "no-such-bucket".to_owned(),
        ..sound
    };
    let silent = Port::reserve();
    let nowhere = format!("http://{}", silent.address());

    let all_fail = [
        (with_secret("wrong"), "Refused"),
        (settings(weed.endpoint(), "unknown", "x"), "Refused"),
        (elsewhere, "NoBucket"),
        (settings(nowhere, "any", "any"), "Unreachable"),
    ];
    for (settings, expected) in all_fail {
        let (store, key) = (s3(settings).await, key("hq/a.mp3"));
        let error = store.put_new(whole(&key, b"a call")).await.unwrap_err();
        assert_eq!(variant(&error), expected, "{error:?}");
        let error = store.head(&key).await.unwrap_err();
        assert_eq!(variant(&error), expected, "{error:?}");
        let error = store.get(&key).await.unwrap_err();
        assert_eq!(variant(&error), expected, "{error:?}");
    }

    let (store, key) = (s3(read_only).await, key("hq/a.mp3"));
    let error = store.put_new(whole(&key, b"a call")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(store.head(&key).await.unwrap(), None);
}

#[tokio::test]
async fn hostile_metadata_is_stored_escaped() {
    let weed = Weed::start();
    weed.create_bucket("calls", false).await;
    let store = s3(settings_of(&weed)).await;
    let key = key("hq/a.mp3");
    let mut put = whole(&key, b"a call");
    put.metadata = vec![
        (
            "caller",
            " J\u{fc}rgen  \r\nx-amz-acl: public-read".to_owned(),
        ),
        ("long", "x".repeat(5000)),
    ];
    store.put_new(put).await.unwrap();

    let client = weed.client();
    let head = client.head_object().bucket("calls");
    let head = head.key("archive/one/hq/a.mp3").send().await.unwrap();
    assert_eq!(head.content_type(), Some(AUDIO));
    let metadata = head.metadata().unwrap();
    assert_eq!(
        metadata["caller"],
        "%20J%C3%BCrgen %20%0D%0Ax-amz-acl: public-read"
    );
    assert_eq!(metadata["sha256"], Digest::of(b"a call").to_string());
    assert_eq!(metadata.get("long"), None);
}

/// A server that gives everybody the same answer, and hands on the heads of what was asked.
fn always(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (asked, heads) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let body_bytes = header(&head, "content-length").map_or(0, |n| n.parse().unwrap());
            stream.read_exact(&mut vec![0; body_bytes]).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let _ = asked.send(head);
        }
    });
    (endpoint, heads)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value)
}

#[tokio::test]
async fn a_put_carries_its_condition_its_checksum_and_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording");
    std::fs::write(&path, b"audio").unwrap();
    let in_memory = Body::from(Bytes::from_static(b"tag|audio"));
    let streamed = Body {
        head: Bytes::from_static(b"tag|"),
        tail: Some(FileRange {
            path,
            from: 0,
            bytes: 5,
        }),
    };
    let sha256 = Digest::of(b"tag|audio");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (endpoint, heads) = always(answer);
    let settings = S3Settings {
        sse: Some(Sse::AwsKms),
        kms_key: Some("key-1".to_owned()),
        storage_class: Some("STANDARD_IA".to_owned()),
        ..settings(endpoint, "any", "any")
    };
    let (store, key) = (s3(settings).await, key("hq/a.mp3"));
    for (body, payload) in [
        (in_memory, sha256.to_string()),
        (streamed, "UNSIGNED-PAYLOAD".to_owned()),
    ] {
        let mut put = put(&key, body, sha256);
        // Ends on a whole second, and not before it was to.
        put.lock = Some(Lock::new(LockMode::Compliance, UtcMs(1_931_012_345_001)));
        store.put_new(put).await.unwrap();
        let head = heads.recv().unwrap();
        assert!(
            head.starts_with("PUT /calls/archive/one/hq/a.mp3"),
            "{head}"
        );
        let expected = [
            ("if-none-match", Some("*")),
            ("content-length", Some("9")),
            ("content-type", Some(AUDIO)),
            ("x-amz-checksum-sha256", Some(TAG_AUDIO_SHA256)),
            ("x-amz-content-sha256", Some(payload.as_str())),
            ("x-amz-meta-recording", Some("hq/230307142318_40-2-1")),
            ("x-amz-server-side-encryption", Some("aws:kms")),
            ("x-amz-server-side-encryption-aws-kms-key-id", Some("key-1")),
            ("x-amz-storage-class", Some("STANDARD_IA")),
            ("x-amz-object-lock-mode", Some("COMPLIANCE")),
            (
                "x-amz-object-lock-retain-until-date",
                Some("2031-03-11T16:19:06Z"),
            ),
            ("x-amz-bypass-governance-retention", None),
            ("transfer-encoding", None),
            ("content-encoding", None),
            ("content-md5", None),
            ("x-amz-trailer", None),
            ("x-amz-checksum-crc32", None),
        ];
        for (name, value) in expected {
            assert_eq!(header(&head, name), value, "{name} in\n{head}");
        }
        // Signed with the rest, so that a body swapped on the way cannot bring its own.
        let signed = header(&head, "authorization").unwrap();
        assert!(signed.contains("x-amz-checksum-sha256"), "{signed}");
    }
}

#[tokio::test]
async fn an_object_cut_short_is_no_object() {
    let (endpoint, _) = always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    let store = s3(settings(endpoint, "any", "any")).await;
    let mut reader = store.get(&key("hq/a.mp3")).await.unwrap().unwrap();
    let error = loop {
        match reader.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a whole object"),
            Err(error) => break error,
        }
    };
    let cut = matches!(
        error,
        Error::Cut {
            read_bytes: 5,
            bytes: 10,
            ..
        }
    );
    assert!(cut, "{error:?}");
}

#[tokio::test]
async fn only_a_store_can_say_that_an_object_is_absent() {
    let cases = [
        ("404 Not Found", "NoBucket", "Unexpected"),
        ("403 Forbidden", "Refused", "Refused"),
        ("500 Oops", "Server", "Server"),
        ("503 Slow Down", "Busy", "Busy"),
        ("302 Found", "Unexpected", "Unexpected"),
    ];
    for (status, of_head, of_get) in cases {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let (endpoint, _) = always(answer.leak());
        let store = s3(settings(endpoint, "any", "any")).await;
        let error = store.head(&key("hq/a.mp3")).await.unwrap_err();
        assert_eq!(variant(&error), of_head, "{status}: {error:?}");
        let error = store.get(&key("hq/a.mp3")).await.unwrap_err();
        assert_eq!(variant(&error), of_get, "{status}: {error:?}");
    }
    let (endpoint, _) = always("not HTTP at all\r\n\r\n");
    let store = s3(settings(endpoint, "any", "any")).await;
    let error = store.head(&key("hq/a.mp3")).await.unwrap_err();
    assert_eq!(variant(&error), "Unreachable", "{error:?}");
}

/// Runs itself again with proxies in its environment, where nothing listens.
#[tokio::test]
async fn the_environments_proxies_are_not_used() {
    const INNER: &str = "CALLVAULT_TEST_BEHIND_PROXIES";
    if std::env::var_os(INNER).is_some() {
        let (endpoint, _) = always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        let store = s3(settings(endpoint, "any", "any")).await;
        assert!(store.head(&key("hq/a.mp3")).await.unwrap().is_some());
        return;
    }
    let name = "objects::bucket::the_environments_proxies_are_not_used";
    let proxy = "http://127.0.0.1:9";
    let inner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INNER, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .envs(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|of| (of, proxy)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(
        inner.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
async fn a_bucket_describes_itself() {
    let sound = || settings("http://127.0.0.1:9".to_owned(), "any", "any");
    let described = s3(sound()).await.describe();
    assert_eq!(described, "s3://calls/archive/one");
    let bare = s3(S3Settings {
        prefix: String::new(),
        ..sound()
    })
    .await
    .describe();
    assert_eq!(bare, "s3://calls");
}
