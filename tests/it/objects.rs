//! One suite for every object store, then what only one kind of store can do wrong.

mod bucket;
mod directory;

use std::path::Path;

use bytes::Bytes;
use callvault::config::{S3Keys, S3Settings, StoreSettings};
use callvault::model::digest::{Digest, Hasher};
use callvault::model::key::ObjectKey;
use callvault::objects::{Body, Error, FileRange, Head, ObjectStore, Put, Stored};

use crate::support::weed::Weed;

const AUDIO: &str = "audio/mpeg";

/// The name of an error's variant.
fn variant(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split(' ').next().unwrap_or_default().to_owned()
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn put(key: &ObjectKey, body: Body, sha256: Digest) -> Put<'_> {
    Put {
        key,
        body,
        sha256,
        content_type: AUDIO,
        metadata: vec![("recording", "hq/230307142318_40-2-1".to_owned())],
        lock: None,
        or_unconditionally: false,
    }
}

/// A put of bytes in memory, with their true digest.
fn whole<'a>(key: &'a ObjectKey, content: &[u8]) -> Put<'a> {
    let body = Body::from(Bytes::copy_from_slice(content));
    put(key, body, Digest::of(content))
}

async fn read(store: &ObjectStore, key: &ObjectKey) -> Option<Vec<u8>> {
    let mut reader = store.get(key).await.unwrap()?;
    let mut content = Vec::new();
    while let Some(chunk) = reader.chunk().await.unwrap() {
        content.extend_from_slice(&chunk);
    }
    assert_eq!(reader.bytes(), content.len() as u64);
    Some(content)
}

/// Bytes that no two places of have alike, so that a chunk lost or doubled shows.
fn numbers(bytes: usize) -> Vec<u8> {
    (0u64..).flat_map(u64::to_be_bytes).take(bytes).collect()
}

async fn directory(path: &Path) -> ObjectStore {
    let path = path.to_owned();
    let settings = StoreSettings::Directory { path };
    let store = ObjectStore::open(&settings).await;
    store.make_ready(false).await;
    store
}

fn settings(endpoint: String, access_key: &str, secret_key: &str) -> S3Settings {
    S3Settings {
        bucket: "calls".to_owned(),
        prefix: "archive/one/".to_owned(),
        endpoint: Some(endpoint.parse().unwrap()),
        region: "us-east-1".to_owned(),
        path_style: true,
        keys: Some(S3Keys {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
        }),
        sse: None,
        kms_key: None,
        storage_class: None,
        object_lock: None,
    }
}

fn settings_of(weed: &Weed) -> S3Settings {
    settings(weed.endpoint(), weed.access_key(), weed.secret_key())
}

async fn s3(settings: S3Settings) -> ObjectStore {
    ObjectStore::open(&StoreSettings::S3(Box::new(settings))).await
}

#[tokio::test]
async fn a_directory_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = directory(&dir.path().join("made/on/open")).await;
    conforms(&store).await;
    let left = std::fs::read_dir(dir.path().join("made/on/open")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hq"], "temporaries stayed");
}

#[tokio::test]
async fn a_bucket_is_a_store() {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    let store = s3(settings_of(&weed)).await;
    conforms(&store).await;

    let versions = weed.versions("calls").await;
    let mut keys: Vec<&str> = versions.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count, "an object was overwritten: {versions:?}");
    let confined = keys.iter().all(|key| key.starts_with("archive/one/hq/"));
    assert!(confined, "outside the prefix: {keys:?}");
}

async fn conforms(store: &ObjectStore) {
    round_trip(store).await;
    head_and_tail(store).await;
    first_one_stays(store).await;
    one_of_eight_wins(store).await;
    another_digest_is_not_stored(store).await;
    a_large_body_streams(store).await;
    assert_eq!(store.head(&key("hq/absent.mp3")).await.unwrap(), None);
    assert_eq!(read(store, &key("hq/absent.mp3")).await, None);
    assert_eq!(store.head(&key("hq/no/such/day.mp3")).await.unwrap(), None);
    assert_eq!(store.sweep().await.unwrap(), 0);
}

async fn round_trip(store: &ObjectStore) {
    for content in [b"".as_slice(), b"a call"] {
        let key = key(&format!("hq/2023/03/07/of-{}.mp3", content.len()));
        let stored = store.put_new(whole(&key, content)).await.unwrap();
        let Stored::Created { version_id, .. } = stored else {
            panic!("{stored:?}");
        };
        assert_eq!(read(store, &key).await.unwrap(), content);
        let head = store.head(&key).await.unwrap().unwrap();
        let expected = Head {
            bytes: content.len() as u64,
            sha256: head.sha256.and(Some(Digest::of(content))),
            version_id,
            lock: None,
        };
        assert_eq!(head, expected);
        if matches!(store, ObjectStore::S3(_)) {
            assert!(
                head.sha256.is_some() && head.version_id.is_some(),
                "{head:?}"
            );
        }
    }
}

async fn head_and_tail(store: &ObjectStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording");
    std::fs::write(&path, b"old tag|audio|junk").unwrap();
    let body = |path: &Path, from, bytes| Body {
        head: Bytes::from_static(b"new tag|"),
        tail: Some(FileRange {
            path: path.to_owned(),
            from,
            bytes,
        }),
    };
    assert_eq!(body(&path, 8, 5).bytes(), 13);

    let (tagged, expected) = (key("hq/tagged.mp3"), b"new tag|audio");
    let stored = store.put_new(put(&tagged, body(&path, 8, 5), Digest::of(expected)));
    assert!(matches!(stored.await.unwrap(), Stored::Created { .. }));
    assert_eq!(read(store, &tagged).await.unwrap(), expected);

    // Too short, missing, and one that opens but cannot be read (a directory).
    let short = (path, 50);
    let missing = (dir.path().join("missing"), 5);
    let unreadable = (dir.path().to_owned(), 5);
    for (path, bytes) in [short, missing, unreadable] {
        let unsent = key("hq/unsent.mp3");
        let body = body(&path, 8, bytes);
        let refused = store.put_new(put(&unsent, body, Digest::of(expected)));
        let error = refused.await.unwrap_err();
        assert!(matches!(error, Error::Local { .. }), "{error:?}");
        assert_eq!(store.head(&unsent).await.unwrap(), None);
    }
}

async fn first_one_stays(store: &ObjectStore) {
    let key = key("hq/first.mp3");
    store.put_new(whole(&key, b"first")).await.unwrap();
    let second = store.put_new(whole(&key, b"second")).await.unwrap();
    assert_eq!(second, Stored::AlreadyThere);
    assert_eq!(read(store, &key).await.unwrap(), b"first");
}

async fn one_of_eight_wins(store: &ObjectStore) {
    let key = key("hq/races/and/makes/directories.mp3");
    let racers: Vec<Vec<u8>> = (0..8).map(|racer| vec![racer; 10_000]).collect();
    let race = racers
        .iter()
        .map(|content| store.put_new(whole(&key, content)));
    let finished = futures_util::future::join_all(race).await;
    let winners: Vec<usize> = (0..8)
        .filter(|racer| match &finished[*racer] {
            Ok(Stored::Created { .. }) => true,
            Ok(Stored::AlreadyThere) | Err(Error::Busy { .. }) => false,
            Err(error) => panic!("{error:?}"),
        })
        .collect();
    let [winner] = winners[..] else {
        panic!("not one winner: {finished:?}");
    };
    assert_eq!(read(store, &key).await.unwrap(), racers[winner]);
}

async fn another_digest_is_not_stored(store: &ObjectStore) {
    let key = key("hq/swapped.mp3");
    let body = Body::from(Bytes::from_static(b"something else"));
    let swapped = store.put_new(put(&key, body, Digest::of(b"what was meant")));
    let error = swapped.await.unwrap_err();
    assert!(matches!(error, Error::BadDigest { .. }), "{error:?}");
    assert_eq!(store.head(&key).await.unwrap(), None);
}

async fn a_large_body_streams(store: &ObjectStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording");
    let content = numbers(20 << 20);
    std::fs::write(&path, &content).unwrap();
    let body = Body {
        head: Bytes::from_static(b"tag"),
        tail: Some(FileRange {
            path,
            from: 1,
            bytes: content.len() as u64 - 1,
        }),
    };
    let expected = Digest::of(&[b"tag", &content[1..]].concat());
    let key = key("hq/large.mp3");
    store.put_new(put(&key, body, expected)).await.unwrap();

    let mut reader = store.get(&key).await.unwrap().unwrap();
    assert_eq!(reader.bytes(), content.len() as u64 + 2);
    let mut found = Hasher::new();
    while let Some(chunk) = reader.chunk().await.unwrap() {
        assert!(chunk.len() <= 1 << 20, "{} bytes at once", chunk.len());
        found.update(&chunk);
    }
    assert_eq!(found.finish(), expected);
}
