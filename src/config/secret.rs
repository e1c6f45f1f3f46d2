//! Secrets: inline for trials, or from a file that others cannot read.
//!
//! Never here: a message with a secret in it, nor with what may be one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::HOOK_SECRETS_MAX;
use super::kind::Kind;
use super::section::Section;

const SECRET_MAX_BYTES: u64 = 64 * 1024;
const OTHERS_READ_OR_WRITE: u32 = 0o006;

/// The secrets `key`, one or a list, or those in the file that `{key}_file` names, one a line.
pub(super) fn several(
    section: &mut Section<'_, '_>,
    key: &str,
    kind: &Kind<SecretString>,
) -> Option<Vec<SecretString>> {
    let file_key = format!("{key}_file");
    let file = section.if_given(&file_key, &Kind::FILE);
    let inline = section.one_or_more(key, kind);
    let (at, secrets) = match (inline?, file?) {
        (inline, Some(_)) if !inline.is_empty() => return both(section, key),
        (_, Some(name)) => match lines(section, &name, kind) {
            Ok(secrets) => (file_key.as_str(), secrets),
            Err(what) => return section.mistake(&file_key, what),
        },
        (inline, None) => (key, inline),
    };
    match secrets.len() {
        0 => {
            let expected = format!("a file that holds {}", kind.expected);
            section.missing(&file_key, &expected)
        }
        1..=HOOK_SECRETS_MAX => Some(secrets),
        found => section.mistake(
            at,
            format!("found {found} secrets, expected {HOOK_SECRETS_MAX} at most"),
        ),
    }
}

/// The secret `key`, or the one in the file that `{key}_file` names; `Some(None)` without both.
pub(super) fn optional(
    section: &mut Section<'_, '_>,
    key: &str,
    kind: &Kind<SecretString>,
) -> Option<Option<SecretString>> {
    let file = section.optional(&format!("{key}_file"), &Kind::FILE);
    either(section, key, kind, file)
}

fn either(
    section: &mut Section<'_, '_>,
    key: &str,
    kind: &Kind<SecretString>,
    file: Option<Option<String>>,
) -> Option<Option<SecretString>> {
    let file_key = format!("{key}_file");
    let inline = section.if_given(key, kind);
    match (inline?, file?) {
        (Some(_), Some(_)) => both(section, key),
        (inline, None) => Some(inline),
        (None, Some(name)) => match whole(section, &name, kind) {
            Ok(secret) => Some(Some(secret)),
            Err(what) => section.mistake(&file_key, what),
        },
    }
}

fn both<T>(section: &mut Section<'_, '_>, key: &str) -> Option<T> {
    let what = format!("found {key} too, expected only one of them");
    section.mistake(&format!("{key}_file"), what)
}

/// A file with a secret in it that another module reads: found, and closed to others.
pub(super) fn file(section: &mut Section<'_, '_>, key: &str) -> Option<Option<PathBuf>> {
    let Some(name) = section.optional(key, &Kind::FILE)? else {
        return Some(None);
    };
    match read(section, &name) {
        Ok((path, _)) => Some(Some(path)),
        Err(what) => section.mistake(key, what),
    }
}

fn whole(
    section: &Section<'_, '_>,
    name: &str,
    kind: &Kind<SecretString>,
) -> Result<SecretString, String> {
    let (path, text) = read(section, name)?;
    let text = without_mark(&text);
    let secret = (kind.parse)(text.trim_end_matches(['\n', '\r']));
    secret.ok_or_else(|| {
        let shown = path.display();
        format!("{shown} holds something else, expected {}", kind.expected)
    })
}

/// One secret a line; empty lines are nothing.
fn lines(
    section: &Section<'_, '_>,
    name: &str,
    kind: &Kind<SecretString>,
) -> Result<Vec<SecretString>, String> {
    let (path, text) = read(section, name)?;
    let lines = (1..).zip(without_mark(&text).lines());
    let filled = lines.filter(|(_, line)| !line.trim().is_empty());
    let secrets = filled.map(|(number, line)| {
        (kind.parse)(line.trim()).ok_or_else(|| {
            let (shown, expected) = (path.display(), kind.expected);
            format!("line {number} of {shown} holds something else, expected {expected}")
        })
    });
    let secrets: Vec<SecretString> = secrets.collect::<Result<_, _>>()?;
    match secrets.is_empty() {
        true => Err(format!(
            "{} is empty, expected {}",
            path.display(),
            kind.expected
        )),
        false => Ok(secrets),
    }
}

/// Some editors begin a text with a byte order mark, which nobody sees.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// The file that is meant, and its text.
fn read(section: &Section<'_, '_>, name: &str) -> Result<(PathBuf, Zeroizing<String>), String> {
    let (path, looked_in) = find(section, name);
    let about = match fs::metadata(&path) {
        Ok(about) => about,
        // The name is not repeated: a secret may have been put in its place.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("no such file{looked_in}"));
        }
        Err(error) => return Err(format!("cannot look at the file: {error}")),
    };
    let shown = path.display();
    let mode = about.permissions().mode() & 0o7777;
    if !about.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if mode & OTHERS_READ_OR_WRITE != 0 {
        return Err(format!(
            "{shown} has mode {mode:04o}, expected one closed to others: chmod 640 {shown}"
        ));
    }
    if about.len() > SECRET_MAX_BYTES {
        return Err(format!("{shown} is longer than {SECRET_MAX_BYTES} bytes"));
    }
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| format!("cannot read {shown}: {error}"))?;
    Ok((path, Zeroizing::new(text)))
}

/// The file that `name` means, and where it was looked for, in words.
fn find(section: &Section<'_, '_>, name: &str) -> (PathBuf, String) {
    let beside = section.directory().join(name);
    if name.contains('/') {
        return (beside, String::new());
    }
    let Some(credentials) = section.credentials() else {
        return (
            beside,
            " beside the settings, and $CREDENTIALS_DIRECTORY is not set".to_owned(),
        );
    };
    let credential = credentials.join(name);
    let looked_in = format!(" in {} and beside the settings", credentials.display());
    match exists(&credential) {
        true => (credential, looked_in),
        false => (beside, looked_in),
    }
}

/// Also true for what may not be looked at: that is then said, instead of using another file.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LEAST, SECRET, check, mistakes};
    use super::*;

    #[test]
    fn hook_secret_has_128_bits() {
        const WEAK: &str = "line 4: pbx[hq].hook_secret: found something else (not shown), expected at least 32 hex digits or 22 base64url characters, 256 at most (to make one: openssl rand -hex 16)";
        for (secret, fits) in [
            (SECRET, true),
            ("0123456789ABCDEF0123456789abcdef", true),
            ("AZaz09-_AZaz09-_AZaz09", true),
            ("AZaz09-_AZaz09-_AZaz0", false),
            (&SECRET[1..], false),
            ("AZaz09+/AZaz09+/AZaz09", false),
            ("AZaz09-_AZaz09-_AZaz09==", false),
            (&SECRET.repeat(9), false),
        ] {
            check(SECRET, secret, if fits { &[] } else { &[WEAK] });
        }
    }

    #[test]
    fn one_secret_or_a_list() {
        const EXPECTED: &str = "expected at least 32 hex digits or 22 base64url characters, 256 at most (to make one: openssl rand -hex 16)";
        let one = format!("\"{SECRET}\"");
        let list = |items: &[&str]| format!("[{}]", items.join(", "));
        check(&one, &list(&[&one, &one]), &[]);
        for (items, expected) in [
            (
                list(&[&one, "\"short\"", "7"]),
                vec![
                    format!(
                        "line 4: pbx[hq].hook_secret: found something else (not shown), {EXPECTED}"
                    ),
                    format!(
                        "line 4: pbx[hq].hook_secret: found something else (not shown), {EXPECTED}"
                    ),
                ],
            ),
            (
                list(&[one.as_str(); 5]),
                vec!["line 4: pbx[hq].hook_secret: found 5 secrets, expected 4 at most".to_owned()],
            ),
            (
                list(&[]),
                vec![format!(
                    "line 1: pbx[hq].hook_secret_file: missing, expected a file that holds {}",
                    &EXPECTED["expected ".len()..]
                )],
            ),
        ] {
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            check(&one, &items, &expected);
        }
    }

    #[test]
    fn secret_files() {
        let place = tempfile::tempdir().unwrap();
        let credentials = place.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        let place = place.path();
        let put = |path: &str, text: &str, mode: u32| {
            fs::write(place.join(path), text).unwrap();
            fs::set_permissions(place.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("good", &format!("{SECRET}\n"), 0o640);
        put("open", SECRET, 0o644);
        put("writable", SECRET, 0o642);
        put("weak", &format!("{SECRET}\nabc\n"), 0o600);
        put("blank", "\n \n", 0o600);
        put("four", &format!("\n{SECRET}\r\n\n").repeat(4), 0o600);
        put("five", &format!("{SECRET}\n").repeat(5), 0o600);
        put("shadowed", "abc", 0o600);
        put("credentials/shadowed", SECRET, 0o400);
        put("credentials/only", SECRET, 0o400);

        let shown = place.display();
        let long = "at least 32 hex digits or 22 base64url characters, 256 at most (to make one: openssl rand -hex 16)";
        let cases = [
            ("good", String::new()),
            ("./good", String::new()),
            (&format!("{shown}/good"), String::new()),
            ("only", String::new()),
            ("shadowed", String::new()),
            (
                "./shadowed",
                format!("line 1 of {shown}/./shadowed holds something else, expected {long}"),
            ),
            (
                "weak",
                format!("line 2 of {shown}/weak holds something else, expected {long}"),
            ),
            ("blank", format!("{shown}/blank is empty, expected {long}")),
            ("four", String::new()),
            ("five", "found 5 secrets, expected 4 at most".to_owned()),
            (
                "open",
                format!(
                    "{shown}/open has mode 0644, expected one closed to others: chmod 640 {shown}/open"
                ),
            ),
            (
                "writable",
                format!(
                    "{shown}/writable has mode 0642, expected one closed to others: chmod 640 {shown}/writable"
                ),
            ),
            ("./only", "no such file".to_owned()),
            (
                SECRET,
                format!("no such file in {shown}/credentials and beside the settings"),
            ),
            (".", format!("{shown}/credentials/. is not a file")),
        ];
        for (name, expected) in cases {
            let line = format!("hook_secret_file = \"{name}\"");
            let text = LEAST.replace(&format!("hook_secret = \"{SECRET}\""), &line);
            let found = mistakes(&text, place, Some(&credentials));
            let expected = match expected.as_str() {
                "" => Vec::new(),
                what => vec![format!("line 4: pbx[hq].hook_secret_file: {what}")],
            };
            assert_eq!(found, expected, "{name}");
        }

        let both = LEAST.replace("base_url", "hook_secret_file = \"good\"\nbase_url");
        let found = mistakes(&both, place, None);
        let expected =
            "line 5: pbx[hq].hook_secret_file: found hook_secret too, expected only one of them";
        assert_eq!(found, [expected]);
    }
}
