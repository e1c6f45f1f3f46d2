//! A runtime of its own for the hook: whatever hangs elsewhere in the service, an event is taken.
//!
//! It has one thread. A second would be woken for what the first has done by then, and the index's
//! writer, which every event goes through, has one of its own. Never here: what runs on it.

use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Handle, Runtime};

pub(super) struct Apart(Option<Runtime>);

impl Apart {
    pub(super) fn new() -> anyhow::Result<Apart> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("hook").enable_all();
        Ok(Apart(Some(
            runtime.build().context("start a runtime for the hook")?,
        )))
    }

    pub(super) fn handle(&self) -> Handle {
        let runtime = self.0.as_ref();
        runtime
            .expect("it is there until it is dropped")
            .handle()
            .clone()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // Within another runtime nothing may wait for the end of this one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether anything that becomes due there is done within this time.
pub(super) async fn answers(there: &Handle, within: Duration) -> bool {
    let asked = there.spawn(async {});
    matches!(tokio::time::timeout(within, asked).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_goes_on_while_this_thread_does_not() {
        let apart = Apart::new().unwrap();
        let (done, is_done) = mpsc::channel();
        let work = apart.handle().spawn(async move { done.send(()).unwrap() });
        is_done.recv_timeout(LONG).unwrap();
        work.await.unwrap();
    }

    #[tokio::test]
    async fn who_hangs_there_is_seen() {
        let apart = Apart::new().unwrap();
        assert!(answers(&apart.handle(), LONG).await);
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let hung = apart
            .handle()
            .spawn(async move { may_go_on.recv().unwrap() });
        assert!(!answers(&apart.handle(), Duration::from_millis(50)).await);
        go_on.send(()).unwrap();
        hung.await.unwrap();
        assert!(answers(&apart.handle(), LONG).await);
    }
}
