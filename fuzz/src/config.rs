//! Any text of settings: all its mistakes, each with a place and words, or settings that keep what
//! their types promise.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use callvault::config::{Errors, HOOK_SECRETS_MAX, Settings, StoreSettings, parse};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // No directory, so that no relative path leads anywhere.
    match parse(&text, Path::new("/nonexistent/callvault.toml"), None) {
        Ok(settings) => keeps_its_promises(&settings),
        Err(Errors::Check { mistakes, .. }) => {
            assert!(!mistakes.is_empty());
            let lines = text.split('\n').count();
            for mistake in mistakes {
                assert!(!mistake.what.is_empty());
                let is_inside = |line| (1..=lines).contains(&line);
                assert!(mistake.line.is_none_or(is_inside), "{mistake:?}");
            }
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn keeps_its_promises(settings: &Settings) {
    let names: BTreeSet<_> = settings.pbxs.iter().map(|pbx| &pbx.name).collect();
    assert!(names.len() == settings.pbxs.len() && !names.is_empty());
    for pbx in &settings.pbxs {
        assert!(pbx.timezone.iana_name().is_some());
        assert!((1..=HOOK_SECRETS_MAX).contains(&pbx.hook_secrets.len()));
        assert!(pbx.concurrency >= 1);
    }
    let listen = &settings.listen;
    if listen.tls.is_none() && !listen.allow_plain_http {
        let is_local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        assert!(is_local(listen.hook) && is_local(listen.admin));
    }
    if let StoreSettings::S3(s3) = &settings.store {
        assert!(s3.prefix.is_empty() || s3.prefix.ends_with('/'));
    }
    assert!(settings.archive.workers >= 1);
}
