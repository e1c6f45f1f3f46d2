//! `callvault serve`.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::bail;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Exit, Trouble};
use crate::app::Service;
use crate::app::sockets::{self, Sockets};
use crate::clock::Clock;
use crate::config::Settings;
use crate::http::tls;
use crate::pbx;

pub async fn run(file: &Path) -> anyhow::Result<Exit> {
    let settings = super::settings(file)?;
    log_to_stderr("info");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = signal(SignalKind::hangup())?;
    let mut service = start(file, &settings).await?;
    notify(&[NotifyState::Ready]);
    let watchdog = sd_notify::watchdog_enabled().map(|interval| {
        let feed = || notify(&[NotifyState::Watchdog]);
        tokio::spawn(service.feed_watchdog(interval, feed))
    });
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => take_over(file, &service),
            reason = service.died() => {
                bail!("{reason}; what was acknowledged is safe, start again when the cause is mended");
            }
        }
    }
    tracing::info!("stopping");
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    notify(&[NotifyState::Stopping]);
    service.stop().await;
    Ok(Exit::Done)
}

async fn start(file: &Path, settings: &Settings) -> anyhow::Result<Service> {
    let edit = |error| Trouble::usage(error, format!("edit {}", file.display()));
    let sockets = Sockets::passed().map_err(|error| edit(error.into()))?;
    let started = Service::start(settings, Clock::system(), sockets).await;
    started.map_err(|error| {
        let is_set_wrong = error.is::<tls::Error>()
            || error.is::<sockets::Error>()
            || error.is::<pbx::SetupError>();
        if is_set_wrong { edit(error) } else { error }
    })
}

/// Reads the settings again. What is wrong with them changes nothing, and is said.
fn take_over(file: &Path, service: &Service) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    let reloaded = super::settings(file).and_then(|settings| service.reload(&settings));
    let said = match reloaded {
        Ok(()) => {
            let said = "reloaded: hook secrets and certificate; other settings change by a restart";
            tracing::info!("{said}");
            said.to_owned()
        }
        Err(error) => {
            let said = format!("not reloaded, what was is kept: {error:#}").replace('\n', " ");
            tracing::error!("{said}");
            said
        }
    };
    notify(&[NotifyState::Ready, NotifyState::Status(&said)]);
}

/// Without systemd there is nobody to notify, which is no failure.
fn notify(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}

/// `CALLVAULT_LOG` chooses what is logged, as `info` or `callvault=debug`.
pub fn log_to_stderr(default: &str) {
    let filter =
        EnvFilter::try_from_env("CALLVAULT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // At TRACE warp prints paths, and the hook's path holds its secret; at DEBUG the S3 client
    // prints its access key.
    let filter = ["warp=info", "aws=info"]
        .iter()
        .fold(filter, |filter, capped| {
            filter.add_directive(capped.parse().expect("a fixed directive is right"))
        });
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}
