//! Of the settings' tests: defaults, and the values that come out.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::tests::{LEAST, S3, SECRET, settings};
use super::*;

#[test]
fn the_example_is_the_defaults() {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("hook_secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let origin = place.path().join("callvault.toml");
    let read = |text: &str| format!("{:?}", parse(text, &origin, None).unwrap());

    let is_set = |line: &&str| line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let least: Vec<&str> = EXAMPLE.lines().filter(is_set).collect();
    let least = least.join("\n");
    let shown: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if is_set(&setting) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let no_s3 = |line: &&str| {
        let key = line.split(" = ").next().unwrap();
        !check::S3_KEYS.contains(&key)
    };
    let shown_directory: Vec<&str> = shown.lines().filter(no_s3).collect();
    assert_eq!(read(EXAMPLE), read(&least));
    assert_eq!(read(&shown_directory.join("\n")), read(&least));

    let to_s3 = |text: &str, bucket: &str| {
        let text = text.replace("kind = \"directory\"\n", "kind = \"s3\"\n");
        text.replace("path = \"/var/lib/callvault/archive\"", bucket)
    };
    let shown_s3 = to_s3(&shown, "").replace("bucket = \"\"", "bucket = \"calls\"");
    assert_eq!(read(&shown_s3), read(&to_s3(&least, "bucket = \"calls\"")));
}

#[test]
fn the_defaults() {
    let all = settings(LEAST);
    assert_eq!(all.data_dir, Path::new("/var/lib/callvault"));
    assert_eq!(all.listen.hook.to_string(), "127.0.0.1:8480");
    assert_eq!(all.listen.admin.to_string(), "127.0.0.1:8481");
    assert!(!all.listen.allow_plain_http);
    let pbx = &all.pbxs[0];
    assert_eq!(pbx.vendor, Vendor::ThreeCx);
    assert_eq!(pbx.timezone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(pbx.hook_secrets[0].expose_secret(), SECRET);
    assert!(pbx.allow_from.is_empty() && pbx.login.is_none());
    assert!(pbx.connect_to.is_none() && pbx.ca_file.is_none());
    assert_eq!(pbx.concurrency, 4);
    assert_eq!(pbx.source_keeps, Duration::from_secs(14 * 24 * 60 * 60));
    let archive = all.archive;
    let key = KeyTemplate::parse("{pbx}/{yyyy}/{mm}/{dd}/{recording}.mp3").unwrap();
    assert_eq!(archive.key, key);
    assert_eq!(archive.workers, 8);
    assert_eq!(archive.wait_for_late_events, Duration::from_secs(5));
    let pauses = [2, 10, 30, 120, 600, 3600].map(Duration::from_secs);
    assert_eq!(Some(archive.retry), Schedule::new(pauses.to_vec()));
    assert_eq!(archive.recheck_doubtful, Duration::from_secs(60));
    assert_eq!(archive.spool_reserve_bytes, 1 << 30);

    let s3 = LEAST.replace("kind = \"directory\"\npath = \"/archive\"\n", S3);
    let StoreSettings::S3(s3) = settings(&s3).store else {
        panic!("not s3");
    };
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("calls", ""));
    assert_eq!((s3.region.as_str(), s3.path_style), ("us-east-1", false));
    assert!(s3.endpoint.is_none() && s3.keys.is_none());
    assert!(s3.sse.is_none() && s3.kms_key.is_none() && s3.storage_class.is_none());
}

#[test]
fn values_take_their_normal_form() {
    let text = LEAST
        .replace("/archive", "archive")
        .replace("[store]", "allow_from = [\"10.0.0.1\", \"::1\"]\n[store]");
    let all = settings(&text);
    let StoreSettings::Directory { path } = &all.store else {
        panic!("not a directory");
    };
    assert_eq!(path, Path::new("/etc/callvault/archive"));
    let allowed: Vec<String> = all.pbxs[0]
        .allow_from
        .iter()
        .map(IpNet::to_string)
        .collect();
    assert_eq!(allowed, ["10.0.0.1/32", "::1/128"]);
    for prefix in ["calls", "calls/"] {
        let s3 = format!("{S3}prefix = \"{prefix}\"\n");
        let text = LEAST.replace("kind = \"directory\"\npath = \"/archive\"\n", &s3);
        let StoreSettings::S3(s3) = settings(&text).store else {
            panic!("not s3");
        };
        assert_eq!(s3.prefix, "calls/");
    }
}
