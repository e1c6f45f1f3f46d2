//! A systemd of a test's own: process 1 of its own namespaces, which runs the project's units as
//! they are. Of the host it sees all files but units and what lies in `/run`, `/tmp` and `/var/lib`;
//! what it writes to `/etc` stays its own. The network is the host's.
//!
//! Never here: what the units are to do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::wait::wait_for;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const BINARY: &str = env!("CARGO_BIN_EXE_callvault");
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const UNSHARE: [&str; 8] = [
    "unshare",
    "--pid",
    "--fork",
    "--mount",
    "--mount-proc",
    "--cgroup",
    "--uts",
    "--ipc",
];
const BOOTED_WITHIN: Duration = Duration::from_secs(30);
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Of the directory `$1`: `units` are drop-ins, `callvault` becomes `/etc/callvault`, `lib` is
/// `/var/lib`. The kernel's settings are the host's, so nobody may write them.
const BOOT: &str = r#"
set -eu
dir=$1 project=$2 binary=$3
mount --make-rprivate /
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs own "$dir/own"
mkdir "$dir/own/etc" "$dir/own/work" "$dir/own/bin"
touch "$dir/own/bin/callvault"
mount -t overlay own -o "lowerdir=/etc,upperdir=$dir/own/etc,workdir=$dir/own/work" /etc
mount -t overlay own -o "lowerdir=$dir/own/bin:/usr/bin" /usr/bin
mount --bind "$binary" /usr/bin/callvault
mount --bind "$dir/lib" /var/lib
systemd-sysusers "$project/systemd/callvault.sysusers"
cp -r "$dir/callvault" /etc/callvault
mount -t tmpfs own /usr/lib/systemd/system
mkdir -p /etc/systemd/system
mount -t tmpfs own /etc/systemd/system
for target in sysinit basic shutdown default; do
    printf '[Unit]\nDefaultDependencies=no\n' >"/usr/lib/systemd/system/$target.target"
done
cp "$project"/systemd/*.service "$project"/systemd/*.socket /usr/lib/systemd/system
cp -r "$dir/units/." /etc/systemd/system
umount -R /sys/fs/cgroup
mount -t cgroup2 own /sys/fs/cgroup
mount -t tmpfs own /run
mount -t tmpfs own /tmp
# As at a boot: what is mounted for a service, its credentials, reaches it.
mount --make-rshared /
exec env -i container=test PATH="$PATH" "$4" --system --log-target=console --show-status=no
"#;

pub struct Machine {
    dir: TempDir,
    cgroup: PathBuf,
    unshare: Child,
}

/// Where the machine's own branch of the control groups may grow; none where there is no cgroup2.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let is_v2 = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
    let mount = mounts.lines().find(is_v2)?.split(' ').nth(1)?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}

/// Whether this process may have one; it says so where it may not.
pub fn is_possible() -> bool {
    let mut command = Command::new(UNSHARE[0]);
    let unshared = command.args(&UNSHARE[1..]).arg("true").output();
    let is_allowed = Path::new(SYSTEMD).exists()
        && cgroups().is_some()
        && unshared.is_ok_and(|output| output.status.success());
    if !is_allowed {
        eprintln!("not tried: it takes root, its namespaces, cgroup2 and an installed systemd");
    }
    is_allowed
}

impl Machine {
    /// With these files: a path below the directory, and a text.
    pub fn boot(files: &[(&str, &str)]) -> Machine {
        let dir = tempfile::Builder::new().prefix("callvault-").tempdir();
        let dir = dir.expect("a temporary directory");
        for sub in ["own", "lib", "units", "callvault"] {
            fs::create_dir(dir.path().join(sub)).expect(sub);
        }
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let name = dir.path().file_name().expect("a name");
        let cgroup = cgroups().expect("cgroup2").join(name);
        fs::create_dir(&cgroup).expect("a control group");
        let log = || {
            File::options()
                .create(true)
                .append(true)
                .open(dir.path().join("log"))
        };
        let unshare = Command::new("sh")
            .args(["-c", "echo $$ >\"$0/cgroup.procs\"; exec \"$@\""])
            .arg(&cgroup)
            .args(UNSHARE)
            .args(["--kill-child", "sh", "-c", BOOT, "boot"])
            .arg(dir.path())
            .args([PROJECT, BINARY, SYSTEMD])
            .stdin(Stdio::null())
            .stdout(log().expect("a log"))
            .stderr(log().expect("a log"))
            .spawn();
        let machine = Machine {
            dir,
            cgroup,
            unshare: unshare.expect("start systemd"),
        };
        wait_for("systemd is up", BOOTED_WITHIN, || {
            let active = machine.run(&["systemctl", "is-active", "default.target"]);
            active.is_some_and(|output| output.status.success())
        });
        machine
    }

    /// Runs a command in there; none before there is a process 1.
    fn run(&self, command: &[&str]) -> Option<Output> {
        let unshare = self.unshare.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let first = fs::read_to_string(children).ok()?;
        let first = first.split_whitespace().next()?;
        let output = Command::new("nsenter")
            .args(["-t", first, "-a"])
            .args(command)
            .output();
        Some(output.expect("run nsenter"))
    }

    /// What a command prints that succeeds.
    pub fn does(&self, command: &[&str]) -> String {
        let output = self.run(command).expect("a process 1");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        String::from_utf8(output.stdout).expect("a text")
    }

    /// A property of the unit `callvault.service`.
    pub fn property(&self, name: &str) -> String {
        let shown = self.does(&[
            "systemctl",
            "show",
            "--value",
            "-p",
            name,
            "callvault.service",
        ]);
        shown.trim_end().to_owned()
    }

    /// What is `/var/lib` in there.
    pub fn lib(&self) -> PathBuf {
        self.dir.path().join("lib")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let status = self.run(&["systemctl", "status", "--no-pager", "callvault*"]);
            let status = status.map(|output| output.stdout).unwrap_or_default();
            let status = String::from_utf8_lossy(&status);
            eprintln!("systemd said:\n{}\n{status}", self.log());
        }
        // Its process 1 is killed with it, and everybody else with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let deadline = Instant::now() + GONE_WITHIN;
        while remove_groups(&self.cgroup).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A control group is a directory that cannot be emptied, only its branches removed.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_groups(&path)?;
        }
    }
    fs::remove_dir(group)
}
