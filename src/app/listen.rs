//! The two listeners: where they are, who is kept a seat, how many fit, and what a reload changes.
//!
//! Never here: what they serve.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{self, Settings};
use crate::failpoint::{self, Effect};
use crate::http::hook::Door;
use crate::http::listener::{Limits, Listener};
use crate::http::tls::Tls;
use crate::model::id::PbxName;

use super::sockets::Sockets;

const DRAIN_REQUESTS: Duration = Duration::from_secs(2);
const HOOK_MAX: usize = 4096;
const ADMIN_MAX: usize = 1024;
/// Descriptors for the index, the spool, logs and what is kept open to PBXs and the store.
const KEPT: usize = 256;
/// A recording on its way has a socket or two and a file, and one more while it changes hands.
const KEPT_PER_WORKER: usize = 4;

pub(super) struct Listeners {
    pub(super) hook: Listener,
    pub(super) hook_limits: Limits,
    pub(super) admin: Listener,
    pub(super) admin_limits: Limits,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Listeners {
    /// Those that systemd holds, else bound; and written to `listen.json`.
    pub(super) fn open(settings: &Settings, mut sockets: Sockets) -> anyhow::Result<Listeners> {
        let tls = tls(settings)?.map(Arc::new);
        let known = settings.pbxs.iter().map(|pbx| pbx.allow_from.clone());
        let known = known.filter(|nets| !nets.is_empty()).collect();
        let mut open = |name, address| open(&mut sockets, name, address);
        let hook = open("hook", settings.listen.hook)?.with_known(known);
        let admin = open("admin", settings.listen.admin)?;
        write_addresses(&settings.data_dir, hook.local_addr(), admin.local_addr())?;
        let (hook_limits, admin_limits) = limits(files_max(), settings.archive.workers);
        Ok(Listeners {
            hook: hook.with_tls(tls.clone()),
            hook_limits,
            admin: admin.with_tls(tls.clone()),
            admin_limits,
            tls,
        })
    }
}

fn tls(settings: &Settings) -> anyhow::Result<Option<Tls>> {
    let Some(files) = &settings.listen.tls else {
        return Ok(None);
    };
    let loaded = Tls::load(&files.cert, &files.key);
    let loaded = loaded.context("listen.tls_cert_file and listen.tls_key_file")?;
    Ok(Some(loaded))
}

/// What a running service takes from changed settings: certificate and hook secrets, all or, where
/// anything is wrong with them, nothing.
pub(super) fn reload(
    settings: &Settings,
    running: Option<&Tls>,
    doors: &BTreeMap<PbxName, Door>,
) -> anyhow::Result<()> {
    match (running, tls(settings)?) {
        (Some(running), Some(newer)) => running.become_as(newer),
        (None, None) => {}
        _ => anyhow::bail!("TLS is turned on or off by a restart only"),
    }
    for pbx in &settings.pbxs {
        if let Some(door) = doors.get(&pbx.name) {
            door.change_secrets(&pbx.hook_secrets);
        }
    }
    Ok(())
}

pub(super) fn doors(settings: &Settings) -> BTreeMap<PbxName, Door> {
    let door = |pbx: &config::Pbx| Door::new(&pbx.hook_secrets, pbx.allow_from.clone());
    settings
        .pbxs
        .iter()
        .map(|pbx| (pbx.name.clone(), door(pbx)))
        .collect()
}

fn open(sockets: &mut Sockets, name: &str, address: SocketAddr) -> anyhow::Result<Listener> {
    let opened = match sockets.take(name, address)? {
        Some(held) => Listener::adopt(held),
        None => Listener::bind(address),
    };
    opened.with_context(|| format!("listen.{name} = \"{address}\""))
}

/// Written aside and renamed, so that whoever reads it reads it whole.
fn write_addresses(data_dir: &Path, hook: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let (path, aside) = (
        data_dir.join("listen.json"),
        data_dir.join("listen.json.part"),
    );
    let text = serde_json::json!({ "hook": hook, "admin": admin }).to_string();
    failpoint::before(Effect::AddressFile);
    std::fs::write(&aside, text)
        .and_then(|()| std::fs::rename(&aside, &path))
        .with_context(|| format!("write {}", path.display()))?;
    failpoint::after(Effect::AddressFile);
    Ok(())
}

/// How many descriptors the process may have: as many as it may ask for.
fn files_max() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    most.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}

/// Of hook and admin, so that their connections never take the descriptors of the work.
fn limits(files_max: usize, workers: usize) -> (Limits, Limits) {
    let kept = KEPT + KEPT_PER_WORKER * workers;
    // Where so few are allowed, both go on with little, and run out together.
    let left = files_max.saturating_sub(kept).max(files_max / 4);
    let of = |connections: usize| Limits {
        connections: connections.max(1),
        drain: DRAIN_REQUESTS,
        ..Limits::default()
    };
    (of(HOOK_MAX.min(left / 4 * 3)), of(ADMIN_MAX.min(left / 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_work() {
        for (files, workers, hook, admin) in [
            (usize::MAX, 8, 4096, 1024),
            (65_536, 1000, 4096, 1024),
            (1024, 8, 552, 184),
            (256, 8, 48, 16),
            (64, 1000, 12, 4),
        ] {
            let (of_hook, of_admin) = limits(files, workers);
            assert_eq!(
                (of_hook.connections, of_admin.connections),
                (hook, admin),
                "{files} files, {workers} workers"
            );
        }
    }
}
