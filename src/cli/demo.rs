//! `callvault demo`.
use super::Exit;
use clap::Args;
use std::ffi::OsString;
#[derive(Args)]
pub struct Arguments {}
pub async fn run(_: Arguments, _: &OsString) -> anyhow::Result<Exit> {
    Ok(Exit::Failed)
}
