//! What a start does before anything new: settles what an earlier life left.
//!
//! Never here: anything that a store or a PBX could keep waiting.

use crate::failpoint::{self, Effect};
use crate::model::id::PbxName;
use crate::pipeline::World;
use crate::pipeline::table::Code;
use crate::store::attempts::Failure;
use crate::store::{away, heartbeat, probe, recordings, transitions};

/// Settles what an earlier life left: leases of the dead, killed writes, files nobody waits for.
pub async fn recover(world: &World) -> anyhow::Result<()> {
    failpoint::before(Effect::LeaseRelease);
    let mark = world.clock.mark();
    let resumed = world.store.write(move |tx| {
        let silence_ms = heartbeat::resume(tx, mark.wall)?;
        heartbeat::skip(tx, silence_ms)?;
        probe::forget(tx)?;
        away::forget_all(tx)?;
        transitions::release_leases(tx)
    });
    let released = resumed.await?;
    world.clock.follow(mark);
    failpoint::after(Effect::LeaseRelease);
    let pbxs: Vec<PbxName> = world.pbxs.keys().cloned().collect();
    let row = Code::PbxNotConfigured.row();
    let failure = Failure {
        stage: "download",
        code: row.code,
        error: row.means.to_owned(),
    };
    failpoint::before(Effect::SetAside);
    world
        .store
        .write(move |tx| transitions::set_aside(tx, &pbxs, &failure))
        .await?;
    failpoint::after(Effect::SetAside);
    let wanted = world
        .store
        .read(|reader| recordings::spooled(reader))
        .await?;
    let spool = world.spool.clone();
    failpoint::before(Effect::SpoolSweep);
    let files =
        tokio::task::spawn_blocking(move || spool.sweep(|id| wanted.contains(id))).await??;
    failpoint::after(Effect::SpoolSweep);
    if released + files > 0 {
        tracing::info!(released, files, "recovered");
    }
    Ok(())
}
