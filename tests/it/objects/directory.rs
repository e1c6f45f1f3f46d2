//! What only a directory can do wrong.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use callvault::objects::Stored;

use super::{directory, key, read, variant, whole};

#[tokio::test]
async fn nothing_leads_out_of_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = directory(dir.path()).await;
    std::fs::write(outside.path().join("secret.mp3"), b"secret").unwrap();
    symlink(outside.path(), dir.path().join("hq")).unwrap();
    symlink(outside.path().join("secret.mp3"), dir.path().join("a.mp3")).unwrap();

    for inner in ["hq/secret.mp3", "a.mp3"] {
        let error = store.get(&key(inner)).await.unwrap_err();
        assert_eq!(variant(&error), "Disk", "{error:?}");
    }
    let (planted, taken) = (key("hq/planted.mp3"), key("a.mp3"));
    let error = store.put_new(whole(&planted, b"x")).await.unwrap_err();
    assert_eq!(variant(&error), "Disk", "{error:?}");
    let stored = store.put_new(whole(&taken, b"x")).await.unwrap();
    assert_eq!(stored, Stored::AlreadyThere);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    let secret = std::fs::read(outside.path().join("secret.mp3")).unwrap();
    assert_eq!(secret, b"secret");
}

#[tokio::test]
async fn a_directory_that_is_gone_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = directory(&dir.path().join("archive")).await;
    std::fs::rename(dir.path().join("archive"), dir.path().join("moved")).unwrap();
    let error = store.head(&key("hq/a.mp3")).await.unwrap_err();
    assert_eq!(variant(&error), "Disk", "{error:?}");
}

#[tokio::test]
async fn a_sweep_takes_what_killed_writes_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = directory(dir.path()).await;
    let kept = key("hq/a.mp3");
    store.put_new(whole(&kept, b"a call")).await.unwrap();
    let mode = std::fs::metadata(dir.path().join("hq/a.mp3")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o137, 0, "others may read it");
    for name in [".callvault-a1b2.part", ".callvault-c3.part", "notes.part"] {
        std::fs::write(dir.path().join(name), b"half").unwrap();
    }
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert!(dir.path().join("notes.part").exists());
    assert_eq!(read(&store, &kept).await.unwrap(), b"a call");
}
