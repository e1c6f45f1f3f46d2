use std::path::Path;

use super::*;

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(super) const LEAST: &str = r#"[[pbx]]
name = "hq"
timezone = "Europe/Berlin"
hook_secret = "0123456789abcdef0123456789abcdef"
base_url = "https://pbx.example.com:5001"
[store]
kind = "directory"
path = "/archive"
"#;
pub(super) const S3: &str = "kind = \"s3\"\nbucket = \"calls\"\n";

pub(super) fn settings(text: &str) -> Settings {
    parse(text, Path::new("/etc/callvault/callvault.toml"), None).unwrap()
}

pub(super) fn mistakes(text: &str, directory: &Path, credentials: Option<&Path>) -> Vec<String> {
    match parse(text, &directory.join("callvault.toml"), credentials) {
        Ok(settings) => {
            assert!(!format!("{settings:?}").contains(SECRET));
            Vec::new()
        }
        Err(Errors::Check { mistakes, .. }) => mistakes.iter().map(Mistake::to_string).collect(),
        Err(error) => panic!("{error}"),
    }
}

/// Puts `new` in the place of `old` in [`LEAST`].
pub(super) fn check(old: &str, new: &str, expected: &[&str]) {
    assert!(LEAST.contains(old), "{old}");
    let text = LEAST.replacen(old, new, 1);
    let found = mistakes(&text, Path::new("/etc/callvault"), None);
    assert_eq!(found, expected, "{text}");
}

#[test]
fn top_and_listen() {
    check("", "", &[]);
    check(
        "",
        "data_dir = \"/d\"\n[listen]\nhook = \"[::1]:0\"\nadmin = \"[::1]:0\"\n",
        &[],
    );
    check(
        "",
        "[listen]\nhook = \"0.0.0.0:80\"\nallow_plain_http = true\n",
        &[],
    );
    check("", "[listen]\nhook = \"[::ffff:127.0.0.1]:80\"\n", &[]);
    check(
        "",
        "data_dri = \"/d\"\n[listn]\n[listen]\nhok = 1\ntls_cert = \"x\"\n",
        &[
            "line 1: data_dri: unknown key, did you mean `data_dir`?",
            "line 2: listn: unknown key, did you mean `listen`?",
            "line 4: listen.hok: unknown key, did you mean `hook`?",
            "line 5: listen.tls_cert: unknown key, did you mean `tls_cert_file`?",
        ],
    );
    check(
        "",
        "data_dir = 5\nlisten = false\narchive = \"x\"\n",
        &[
            "line 1: data_dir: found 5, expected a path",
            "line 2: listen: found false, expected a section [listen]",
            "line 3: archive: found \"x\", expected a section [archive]",
        ],
    );
    check(
        "",
        "[listen]\nhook = \"localhost:80\"\nadmin = \"127.0.0.1\"\nallow_plain_http = \"no\"\n",
        &[
            "line 2: listen.hook: found \"localhost:80\", expected an IP address and a port, such as 127.0.0.1:8480",
            "line 3: listen.admin: found \"127.0.0.1\", expected an IP address and a port, such as 127.0.0.1:8480",
            "line 4: listen.allow_plain_http: found \"no\", expected true or false",
        ],
    );
    check(
        "",
        "[listen]\nhook = \"0.0.0.0:8480\"\n",
        &[
            "line 2: listen.hook: 0.0.0.0:8480 is not on loopback, and without TLS everyone on the way reads the hook's secret: set tls_cert_file and tls_key_file, put a proxy that speaks TLS before it, or set allow_plain_http = true",
        ],
    );
    check(
        "",
        "[listen]\nadmin = \"127.0.0.1:8480\"\n",
        &["line 2: listen.admin: found 127.0.0.1:8480, expected another than hook"],
    );
}

#[test]
fn tls() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    for (name, mode) in [("cert.pem", 0o644), ("key.pem", 0o600), ("open.pem", 0o644)] {
        std::fs::write(place.join(name), "").unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(place.join(name), mode).unwrap();
    }
    let shown = place.display();
    let open = format!(
        "line 4: listen.tls_key_file: {shown}/open.pem has mode 0644, expected one closed to others: chmod 640 {shown}/open.pem"
    );
    let none = format!(
        "line 3: listen.tls_cert_file: cannot read {shown}/none.pem: No such file or directory (os error 2)"
    );
    for (files, expected) in [
        (["cert.pem", "key.pem"], ""),
        (["cert.pem", "open.pem"], open.as_str()),
        (["none.pem", "key.pem"], none.as_str()),
        (
            ["cert.pem", ""],
            "line 4: listen.tls_key_file: missing, expected the key of tls_cert_file",
        ),
        (
            ["", "key.pem"],
            "line 3: listen.tls_cert_file: missing, expected the certificate of tls_key_file",
        ),
    ] {
        let [cert, key] = files;
        let listen = format!(
            "[listen]\nhook = \"0.0.0.0:8480\"\ntls_cert_file = \"{cert}\"\ntls_key_file = \"{key}\"\n"
        );
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(
            mistakes(&(listen + LEAST), place, None),
            expected,
            "{files:?}"
        );
    }
}

#[test]
fn pbx() {
    check(
        LEAST,
        "",
        &[
            "pbx: missing, expected at least one section [[pbx]], in double brackets",
            "store.kind: missing, expected \"directory\" or \"s3\"",
        ],
    );
    check(
        "[[pbx]]",
        "[pbx]",
        &[
            "line 1: pbx: found a section, expected at least one section [[pbx]], in double brackets",
        ],
    );
    check(
        "",
        "[[pbx]]\n",
        &[
            "line 1: pbx[#1].name: missing, expected 1 to 64 of a-z, 0-9 and -",
            "line 1: pbx[#1].timezone: missing, expected the IANA name of a time zone, such as Europe/Berlin or UTC",
            "line 1: pbx[#1].hook_secret_file: missing, expected a file that holds at least 32 hex digits or 22 base64url characters, 256 at most (to make one: openssl rand -hex 16)",
            "line 1: pbx[#1].base_url: missing, expected http or https, host and maybe port, nothing else, such as https://pbx.example.com:5001",
        ],
    );
    check(
        "name = \"hq\"",
        "name = \"HQ\"\nobject_lock = \"off\"",
        &[
            "line 2: pbx[#1].name: found \"HQ\", expected 1 to 64 of a-z, 0-9 and -",
            "line 3: pbx[#1].object_lock: unknown key, expected one of allow_from, base_url, basic_password, basic_password_file, basic_user, bearer, bearer_file, ca_file, concurrency, connect_to, hook_secret, hook_secret_file, name, not_recorded, source_keeps, timezone, vendor",
        ],
    );
    check(
        "[store]",
        "[[pbx]]\nname = \"hq\"\ntimezone = \"UTC\"\nhook_secret = \"AZaz09-_AZaz09-_AZaz09\"\nbase_url = \"http://[::1]\"\n[store]",
        &["line 7: pbx[#2].name: found \"hq\" again, expected a name for each PBX"],
    );
    check(
        "Europe/Berlin",
        "Mars/Base",
        &[
            "line 3: pbx[hq].timezone: found \"Mars/Base\", expected the IANA name of a time zone, such as Europe/Berlin or UTC",
        ],
    );
    check(
        "https://pbx.example.com:5001",
        "https://admin:pass@pbx.example.com",
        &[
            "line 5: pbx[hq].base_url: found a text with @ (not shown, it may hold a password), expected http or https, host and maybe port, nothing else, such as https://pbx.example.com:5001",
        ],
    );
    check(
        "[store]",
        "allow_from = [\"192.0.2.10\", \"::1\", \"10.0.0.0/8\"]\nconnect_to = \"::1\"\nsource_keeps = \"10ms\"\n[store]",
        &[],
    );
    check(
        "[store]",
        "vendor = \"other\"\nallow_from = [\n  \"10.0.0.0/8\",\n  \"10.0.0.0/33\",\n  7]\nconnect_to = \"a/b\"\nconcurrency = 0\nsource_keeps = \"0s\"\nca_file = \"none.pem\"\n[store]",
        &[
            "line 6: pbx[hq].vendor: found \"other\", expected \"threecx\"",
            "line 9: pbx[hq].allow_from: found \"10.0.0.0/33\", expected an IP address or network, such as 192.0.2.10 or 10.0.0.0/8",
            "line 10: pbx[hq].allow_from: found 7, expected an IP address or network, such as 192.0.2.10 or 10.0.0.0/8",
            "line 11: pbx[hq].connect_to: found \"a/b\", expected an IP address or host and maybe a port, such as 10.0.0.5:5001",
            "line 12: pbx[hq].concurrency: found 0, expected a whole number from 1 to 1000",
            "line 13: pbx[hq].source_keeps: found \"0s\", expected a duration above 0, such as 500ms, 5s, 2m, 1h or 14d",
            "line 14: pbx[hq].ca_file: cannot read /etc/callvault/none.pem: No such file or directory (os error 2)",
        ],
    );
}

#[test]
fn login() {
    check(
        "[store]",
        "basic_user = \"u\"\nbasic_password = \"p w\"\n[store]",
        &[],
    );
    check("[store]", "bearer = \"t\"\n[store]", &[]);
    check(
        "[store]",
        "basic_user = \"u\"\n[store]",
        &[
            "line 1: pbx[hq].basic_password_file: missing, expected a file with the password of basic_user",
        ],
    );
    check(
        "[store]",
        "basic_password = \"p\"\n[store]",
        &["line 1: pbx[hq].basic_user: missing, expected the user of basic_password"],
    );
    check(
        "[store]",
        "basic_user = \"u\"\nbasic_password = \"p\"\nbearer = \"t\"\n[store]",
        &["line 6: pbx[hq].basic_user: found beside a bearer token, expected only one login"],
    );
    check(
        "[store]",
        "basic_user = \"u:v\"\nbasic_password = 5\nbearer = \"a b\"\n[store]",
        &[
            "line 6: pbx[hq].basic_user: found something else (not shown), expected a user without : and control characters",
            "line 7: pbx[hq].basic_password: found something else (not shown), expected a password without control characters",
            "line 8: pbx[hq].bearer: found something else (not shown), expected printable ASCII characters without spaces",
        ],
    );
}

#[test]
fn store() {
    const DIRECTORY: &str = "kind = \"directory\"\npath = \"/archive\"\n";
    check(DIRECTORY, S3, &[]);
    check(
        DIRECTORY,
        &format!(
            "{S3}access_key = \"a\"\nsecret_key = \"/+s\"\nsse = \"aws:kms\"\nkms_key = \"arn:aws:kms:x:1:key/a-b\"\nprefix = \"calls\"\nendpoint = \"http://127.0.0.1:9000\"\n"
        ),
        &[],
    );
    check(
        "directory",
        "ftp",
        &["line 7: store.kind: found \"ftp\", expected \"directory\" or \"s3\""],
    );
    check(
        "path = \"/archive\"\n",
        "bucket = \"calls\"\nobject_lock = \"off\"\n",
        &[
            "line 6: store.path: missing, expected a path",
            "line 8: store.bucket: has no meaning with kind = \"directory\"",
            "line 9: store.object_lock: has no meaning with kind = \"directory\"",
        ],
    );
    check(
        "directory",
        "s3",
        &[
            "line 6: store.bucket: missing, expected the name of a bucket: 3 to 63 of a-z, 0-9, . and -, with a letter or digit at both ends",
            "line 8: store.path: has no meaning with kind = \"s3\"",
        ],
    );
    check(
        DIRECTORY,
        &format!("{S3}access_key = \"a\"\nkms_key = \"k\"\n"),
        &[
            "line 6: store.secret_key_file: missing, expected it beside the access key",
            "line 10: store.kms_key: found without sse = \"aws:kms\", expected both",
        ],
    );
    check(
        DIRECTORY,
        &format!("{S3}object_lock = \"compliance\"\n"),
        &["line 6: store.lock_for: missing, expected how long, such as \"7y\""],
    );
    check(
        DIRECTORY,
        &format!("{S3}lock_for = \"7y\"\n"),
        &["line 9: store.lock_for: found without object_lock, expected both"],
    );
    check(
        DIRECTORY,
        &format!("{S3}object_lock = \"on\"\nlock_for = \"long\"\n"),
        &[
            "line 9: store.object_lock: found \"on\", expected \"off\", \"governance\" or \"compliance\"",
            "line 10: store.lock_for: found \"long\", expected a duration above 0, such as 500ms, 5s, 2m, 1h or 14d",
        ],
    );
    check(
        DIRECTORY,
        "kind = \"s3\"\nbucket = \"Calls\"\nprefix = \"../x\"\nendpoint = \"s3.example.com\"\nregion = \"\"\npath_style = 1\nsse = \"aes\"\nstorage_class = \"A B\"\n",
        &[
            "line 8: store.bucket: found \"Calls\", expected the name of a bucket: 3 to 63 of a-z, 0-9, . and -, with a letter or digit at both ends",
            "line 9: store.prefix: found \"../x\", expected a relative path of letters, digits and !-_.'()~, such as calls/",
            "line 10: store.endpoint: found \"s3.example.com\", expected http or https, host and maybe port, nothing else, such as https://pbx.example.com:5001",
            "line 11: store.region: missing, expected 1 to 256 letters, digits and -_.:/",
            "line 12: store.path_style: found 1, expected true or false",
            "line 13: store.sse: found \"aes\", expected \"AES256\" or \"aws:kms\"",
            "line 14: store.storage_class: found \"A B\", expected 1 to 256 letters, digits and -_.:/",
        ],
    );
}

#[test]
fn archive() {
    check(
        "",
        "[archive]\nretry = [\"1ms\"]\nspool_reserve = \"0B\"\n",
        &[],
    );
    check(
        "",
        "[archive]\nkey = \"{recording}.mp3\"\nworkers = -1\nwait_for_late_events = \"soon\"\nretry = []\nrecheck_doubtful = 60\nspool_reserve = \"much\"\n",
        &[
            "line 2: archive.key: found \"{recording}.mp3\", expected a key with {pbx} and {recording}, maybe {yyyy} {mm} {dd}, of letters, digits and !-_.'()~/, that ends in .mp3",
            "line 3: archive.workers: found -1, expected a whole number from 1 to 1000",
            "line 4: archive.wait_for_late_events: found \"soon\", expected a duration above 0, such as 500ms, 5s, 2m, 1h or 14d",
            "line 5: archive.retry: found 0 durations, expected 1 to 100",
            "line 6: archive.recheck_doubtful: found 60, expected a duration above 0, such as 500ms, 5s, 2m, 1h or 14d",
            "line 7: archive.spool_reserve: found \"much\", expected a size, such as 500MiB or 1GiB",
        ],
    );
}

#[test]
fn what_is_no_toml_is_said_without_quoting_it() {
    check(
        "\"hq\"",
        "\"hq\"\nname = \"hq\"",
        &["line 3: name: duplicate key"],
    );
    check(
        &format!("\"{SECRET}\""),
        &format!("\"{SECRET}"),
        &["line 4: invalid basic string, expected `\"`"],
    );
    check(
        &format!("\"{SECRET}\""),
        SECRET,
        &[
            "line 4: unexpected leading zero, expected nothing",
            "line 4: invalid float, expected nothing",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let error = load(Path::new("/nowhere/callvault.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the settings /nowhere/callvault.toml"
    );
    let error = parse("x = 1", Path::new("a.toml"), None).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with("the settings a.toml are not right:\n  "),
        "{shown}"
    );
    assert!(
        shown.contains("\n  line 1: x: unknown key, expected one of access, archive, "),
        "{shown}"
    );
}
