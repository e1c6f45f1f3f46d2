//! A directory as store: full, read-only, away, and on a file system that tells `HQ` from `hq`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{announce, job, key, name, spooled, state};
use super::{wait_until_archived, wait_until_failing};
use crate::support::hook;
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

/// A small file system of its own, gone when dropped.
struct Mount(PathBuf);

impl Mount {
    /// None, and says so, where that is not permitted.
    fn small(at: PathBuf) -> Option<Mount> {
        fs::create_dir_all(&at).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        match mount(&options, &at) {
            true => Some(Mount(at)),
            false => {
                eprintln!("SKIPPED: a file system cannot be mounted here; run this as root");
                None
            }
        }
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        assert!(mount(&["-o", &options], &self.0), "{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the service may still hold it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let mounted = Command::new("mount").args(arguments).arg(at).status();
    mounted.is_ok_and(|status| status.success())
}

/// Every file below a directory, by its path in it.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// The object and its manifest.
fn both(name: &str) -> [String; 2] {
    [key(name).replace(".mp3", ".json"), key(name)]
}

fn assert_verified(service: &Service) {
    let verified = service.cli(&["verify", "--all"]);
    assert_eq!(verified.status, 0, "{}", verified.stderr);
}

#[test]
fn a_full_and_a_read_only_directory_are_waited_out() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).prepare();
    let archive = service.dir().join("archive");
    let Some(disk) = Mount::small(archive.clone()) else {
        return;
    };
    service.restart();
    // What is just being tried takes room, and gives it back.
    service.wait_until_store_is_tried();

    let filler = archive.join("filler");
    // As much as there is room for.
    let _ = fs::write(&filler, vec![0; 2 << 20]);
    announce(&service, &pbx, &name(0));
    wait_until_failing(&service, &name(0), "store_full");
    assert_eq!(job(&service, &name(0))["code"], "store_full");
    assert_eq!(
        (files(&archive), spooled(&service)),
        (vec!["filler".to_owned()], 1)
    );
    fs::remove_file(filler).unwrap();
    wait_until_archived(&service, &name(0));
    assert_eq!(files(&archive), both(&name(0)));

    disk.remount("ro");
    announce(&service, &pbx, &name(1));
    wait_until_failing(&service, &name(1), "store_permission");
    assert_eq!(job(&service, &name(1))["code"], "store_permission");
    // Also from the start on.
    service.restart();
    assert_eq!(state(&service, &name(1)), "pending");
    disk.remount("rw");
    wait_until_archived(&service, &name(1));
    let expected = [both(&name(0)), both(&name(1))].concat();
    wait_for("nothing else stays there", super::WITHIN, || {
        files(&archive) == expected
    });
    assert_verified(&service);
    drop(service);
}

#[test]
fn a_directory_that_is_away_is_waited_out() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    let (archive, away) = (service.dir().join("archive"), service.dir().join("away"));
    // What is just being tried would be moved away with it, and stay until the next start.
    service.wait_until_store_is_tried();
    fs::rename(&archive, &away).unwrap();
    announce(&service, &pbx, &name(0));
    wait_until_failing(&service, &name(0), "store_disk");
    assert!(
        !archive.exists(),
        "what is not mounted is not written beside the mount"
    );

    // From the start on, and where no directory can be made: events are logged all the same.
    fs::write(&archive, b"no directory").unwrap();
    service.restart();
    hook::post(service.hook(), "{}");
    announce(&service, &pbx, &name(1));
    wait_until_failing(&service, &name(1), "store_disk");
    let checked = service.cli(&["check", "--online"]);
    let said = checked.stdout.lines().last().unwrap_or_default();
    assert_eq!(checked.status, 1, "{said}");
    assert!(
        said.starts_with("FAILED  store") && said.contains("could not write"),
        "{said}"
    );

    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    for name in [name(0), name(1)] {
        wait_until_archived(&service, &name);
    }
    // The store is tried again, and what that leaves goes.
    let expected = [both(&name(0)), both(&name(1))].concat();
    wait_for("nothing else stays there", super::WITHIN, || {
        files(&archive) == expected
    });
    assert_verified(&service);
}

/// The only copies would lie under a mount point, out of sight when the volume is back.
#[test]
fn a_volume_that_is_not_mounted_is_not_filled_beside() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    let (archive, away) = (service.dir().join("archive"), service.dir().join("away"));
    announce(&service, &pbx, &name(0));
    wait_until_archived(&service, &name(0));
    service.wait_until_store_is_tried();
    fs::rename(&archive, &away).unwrap();
    announce(&service, &pbx, &name(1));
    for is_mount_point in [false, true] {
        if is_mount_point {
            fs::create_dir(&archive).unwrap();
        }
        service.restart();
        wait_until_failing(&service, &name(1), "store_disk");
        assert_eq!(service.cli(&["check", "--online"]).status, 1);
        let verified = service.cli(&["verify", "--all"]);
        assert_eq!(verified.status, 1, "{}", verified.stderr);
        assert_eq!(archive.exists(), is_mount_point);
    }
    assert!(files(&archive).is_empty());
    let mismatches = "SELECT count(*) FROM custody WHERE act = 'mismatch'";
    assert_eq!(service.number(mismatches), 0);

    fs::remove_dir(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    wait_until_archived(&service, &name(1));
    assert_verified(&service);
}

/// Where both names are one, the object that is there is as any other that is there.
#[test]
fn a_name_in_other_case_is_another_name() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let archive = service.dir().join("archive");
    let theirs = both(&name(0)).map(|key| key.replace("hq/", "HQ/"));
    for key in &theirs {
        let path = archive.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"another's").unwrap();
    }
    let is_one = archive.join("hq").exists();
    announce(&service, &pbx, &name(0));
    if is_one {
        let what = "it is given up";
        crate::support::wait::wait_for(what, super::WITHIN, || {
            state(&service, &name(0)) == "failed"
        });
        assert_eq!(job(&service, &name(0))["code"], "conflict");
        assert_eq!(spooled(&service), 1);
    } else {
        wait_until_archived(&service, &name(0));
        assert_eq!(files(&archive), [theirs.clone(), both(&name(0))].concat());
        assert_verified(&service);
    }
    for key in &theirs {
        assert_eq!(fs::read(archive.join(key)).unwrap(), b"another's");
    }
}
