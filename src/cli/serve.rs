//! `callvault serve`.

use std::io::IsTerminal;

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Exit;
use crate::app::Service;
use crate::clock::Clock;
use crate::config::Settings;

pub async fn run(settings: &Settings) -> anyhow::Result<Exit> {
    log_to_stderr("info");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut service = Service::start(settings, Clock::system()).await?;
    // Without systemd there is nobody to notify, which is no failure.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        reason = service.died() => {
            bail!("{reason}; what was acknowledged is safe, start again when the cause is mended");
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    service.stop().await;
    Ok(Exit::Done)
}

/// `CALLVAULT_LOG` chooses what is logged, as `info` or `callvault=debug`.
pub fn log_to_stderr(default: &str) {
    let filter =
        EnvFilter::try_from_env("CALLVAULT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // At TRACE warp prints paths, and the hook's path holds its secret.
    let capped = "warp=info".parse().expect("a fixed directive is right");
    let filter = filter.add_directive(capped);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}
