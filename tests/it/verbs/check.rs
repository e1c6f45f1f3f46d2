//! `callvault check`: the settings, and whether a PBX answers to them.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::ahead::Ahead;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Output, SECRET, Service, Setup};
use crate::support::tls::Authority;
use crate::support::wait::wait_for;

/// Where `check --online` knocks: nothing ever lies there.
const NOTHING: &str = "/webapi/recording/callvault-check.mp3";
const HERE: &str = "127.0.0.1";
const WITHIN: Duration = Duration::from_secs(20);
/// More than a PBX may be silent.
const LONG: Duration = Duration::from_secs(31);

/// All at once, so that a person mends all at once.
const MANY_MISTAKES: &str = r#"data_dri = "/tmp/x"

[listen]
hook = "0.0.0.0:8480"
amdin = "127.0.0.1:0"

[[pbx]]
name = "Head Quarters"
timezone = "Europe/Prag"
hook_secret = "short"
base_url = "ftp://pbx.example.com"
concurency = 3

[[pbx]]
name = "branch"
timezone = "Europe/Prague"
hook_secret = "0123456789abcdef0123456789abcdef"
base_url = "https://pbx.example.com:5001"
source_keeps = "a fortnight"
concurrency = 0

[store]
kind = "directory"
path = "/tmp/archive"
bucket = "calls"

[archive]
key = "{pbx}/{call}.mp3"
retry = ["2s", "soon"]
"#;

/// The line, the key, and a part of what would be right.
const MISTAKES: [(usize, &str, &str); 13] = [
    (1, "data_dri", "did you mean `data_dir`?"),
    (4, "listen.hook", "allow_plain_http = true"),
    (5, "listen.amdin", "did you mean `admin`?"),
    (8, "pbx[#1].name", "a-z"),
    (9, "pbx[#1].timezone", "IANA"),
    (10, "pbx[#1].hook_secret", "32 hex digits"),
    (11, "pbx[#1].base_url", "http or https"),
    (12, "pbx[#1].concurency", "did you mean `concurrency`?"),
    (19, "pbx[branch].source_keeps", "14d"),
    (20, "pbx[branch].concurrency", "a whole number from 1"),
    (
        25,
        "store.bucket",
        "has no meaning with kind = \"directory\"",
    ),
    (28, "archive.key", "{recording}"),
    (29, "archive.retry", "\"soon\", expected"),
];

#[test]
fn all_mistakes_are_told_at_once() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    service.rewrite(MANY_MISTAKES);
    let output = service.cli(&["check"]);
    assert_eq!((output.status, output.stdout.as_str()), (64, ""));
    let told: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("  line "))
        .collect();
    assert_eq!(told.len(), MISTAKES.len(), "{}", output.stderr);
    for (line, key, right) in MISTAKES {
        let begins = format!("  line {line}: {key}: ");
        let found = told.iter().find(|told| told.starts_with(&begins));
        assert!(
            found.is_some_and(|told| told.contains(right)),
            "{key}: {}",
            output.stderr
        );
    }
    let config = service.config();
    let path = config.to_str().unwrap();
    assert!(
        output
            .stderr
            .contains(&format!("the settings {path} are not right"))
    );
    assert!(
        output.stderr.contains(&format!("try: edit {path}")),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("short"), "a secret is never shown");
    // Every other verb says the same.
    let serve = service.cli(&["serve"]);
    assert_eq!((serve.status, serve.stderr), (64, output.stderr));
}

#[test]
fn a_data_dir_that_cannot_be_worked_in_is_told() {
    let setup = Setup::hq("http://127.0.0.1:9").archive("spool_reserve", r#""1EiB""#);
    let service = setup.prepare();
    let big = service.settings();
    service.rewrite(&big.replace("1EiB", "1MiB"));
    let output = service.cli(&["check"]);
    assert_eq!((output.status, output.stdout.lines().count()), (0, 1));
    service.rewrite(&big.replace("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\""));
    let output = service.cli(&["check"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    for warned in ["warning data_dir", "warning listen"] {
        let told = output.stdout.lines().any(|line| line.starts_with(warned));
        assert!(told, "{warned}: {}", output.stdout);
    }
    std::fs::write(service.data_dir(), b"a file").unwrap();
    let output = service.cli(&["check"]);
    assert_eq!(output.status, 1);
    assert!(
        output.stdout.contains("FAILED  data_dir"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("is no directory"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_file_that_is_not_there_or_is_no_toml() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    service.rewrite("[listen\n");
    let output = service.cli(&["check"]);
    assert_eq!(output.status, 64);
    assert!(output.stderr.contains("line 1: "), "{}", output.stderr);
    std::fs::remove_file(service.config()).unwrap();
    let output = service.cli(&["check"]);
    assert_eq!(output.status, 64);
    assert!(output.stderr.contains("No such file"), "{}", output.stderr);
    assert!(
        output.stderr.contains("try: --config FILE"),
        "{}",
        output.stderr
    );
}

#[test]
fn right_settings_are_right_and_nothing_is_made_for_them() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let output = service.cli(&["check"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(
        output.stdout.contains("right; PBX: hq"),
        "{}",
        output.stdout
    );
    assert!(!output.stdout.contains(SECRET));
    assert!(!service.data_dir().exists() && !service.dir().join("archive").exists());
}

fn online(base_url: &str, more: &str) -> Output {
    let setup = Setup::new().pbx("hq", "Europe/Prague", base_url, more);
    setup.prepare().cli(&["check", "--online"])
}

/// What is said of the PBX, a line each; the store is well throughout.
fn of_pbx(output: &Output) -> Vec<&str> {
    assert!(output.stdout.contains("ok      store "), "{output:?}");
    let lines = output.stdout.lines();
    lines.filter(|line| line.contains("pbx hq: ")).collect()
}

const LOGIN: &str = "basic_user = \"archive\"\nbasic_password = \"secret word\"";

#[test]
fn a_pbx_that_is_away() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let output = online(&format!("http://{address}"), "");
    assert_eq!(output.status, 1);
    let [line] = of_pbx(&output)[..] else {
        panic!("{output:?}")
    };
    assert!(line.starts_with("FAILED  "), "{line}");
    assert!(
        line.contains(&address.to_string()) && line.contains("refused"),
        "{line}"
    );
}

#[test]
fn a_pbx_answers() {
    // The first answer is to our login, where there is one; the second to a stranger.
    let cases: [(&str, &[u16], i32, &[&str]); 9] = [
        ("", &[401], 1, &["FAILED  wants a login: HTTP 401"]),
        ("", &[403], 1, &["FAILED  wants a login: HTTP 403"]),
        (LOGIN, &[401], 1, &["FAILED  refuses this login"]),
        (LOGIN, &[403], 1, &["FAILED  refuses this login"]),
        (LOGIN, &[404, 401], 0, &["ok      HTTP 404"]),
        (
            "",
            &[404],
            0,
            &[
                "ok      HTTP 404",
                "warning hands out recordings to anybody",
            ],
        ),
        (
            LOGIN,
            &[404, 404],
            0,
            &[
                "ok      HTTP 404",
                "warning hands out recordings to anybody",
            ],
        ),
        ("", &[503], 1, &["FAILED  fails: HTTP 503"]),
        (
            "",
            &[302],
            1,
            &["FAILED  redirects (HTTP 302), which is never followed"],
        ),
    ];
    for (login, statuses, exit, expected) in cases {
        let pbx = Pbx::start();
        let answers = statuses.iter().map(|status| Answer::status(*status));
        pbx.script_path(NOTHING, answers);
        let output = online(&pbx.base_url(), login);
        assert_eq!(output.status, exit, "{login} {statuses:?}: {output:?}");
        let said = of_pbx(&output);
        assert_eq!(said.len(), expected.len(), "{login} {statuses:?}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            let (word, text) = expected.split_at(8);
            assert!(said.starts_with(word) && said.contains(text), "{said}");
        }
        let asked = pbx.requests();
        assert!(
            asked.iter().all(|request| request.path == NOTHING),
            "{asked:?}"
        );
        let authorized = asked[0].header("authorization").is_some();
        assert_eq!(authorized, !login.is_empty(), "{statuses:?}");
        assert!(!output.stdout.contains("secret word") && !output.stderr.contains("secret word"));
    }
}

#[test]
fn each_pbx_is_asked() {
    let pbx = Pbx::start();
    let service: Service = Setup::hq("http://127.0.0.1:9")
        .pbx("branch", "Europe/Prague", &pbx.base_url(), "")
        .prepare();
    let output = service.cli(&["check", "--online"]);
    assert_eq!(output.status, 1);
    for begins in ["FAILED  pbx hq: ", "ok      pbx branch: "] {
        assert!(
            output.stdout.lines().any(|line| line.starts_with(begins)),
            "{output:?}"
        );
    }
}

/// Whatever keeps `serve` from starting is said before, as the same kind of mistake.
#[test]
fn what_serve_refuses_check_refuses() {
    let named = "connect_to = \"10.0.0.5\"";
    let torn = "ca_file = \"torn.pem\"";
    for (lines, said) in [
        (named, "pbx[hq].connect_to: found beside base_url"),
        (torn, "ca_file"),
    ] {
        let service = Setup::new()
            .pbx("hq", "Europe/Prague", "https://127.0.0.1:5001", lines)
            .prepare();
        let pem = "-----BEGIN CERTIFICATE-----\nnone of it\n-----END CERTIFICATE-----\n";
        std::fs::write(service.dir().join("torn.pem"), pem).unwrap();
        for verb in ["check", "serve"] {
            let output = service.cli(&[verb]);
            assert_eq!(output.status, 64, "{verb} {lines}: {output:?}");
            let all = format!("{}{}", output.stdout, output.stderr);
            assert!(all.contains(said), "{verb} {lines}: {all}");
        }
    }
}

/// An unknown authority's certificate is another matter than a PBX that is away.
#[test]
fn a_pbx_that_is_not_trusted() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let pbx = Pbx::start_tls(authority.server(HERE));
    pbx.script_path(NOTHING, [Answer::status(404)]);
    let output = online(&pbx.base_url(), "");
    assert_eq!(output.status, 1);
    let [line] = of_pbx(&output)[..] else {
        panic!("{output:?}")
    };
    let begins = format!("FAILED  pbx hq: trust the PBX at {}: ", pbx.base_url());
    assert!(
        line.starts_with(&begins) && line.contains("certificate"),
        "{line}"
    );
    assert!(pbx.requests().is_empty(), "asked without trust");

    let ca = dir.path().join("authority.pem");
    authority.write(&ca);
    let output = online(&pbx.base_url(), &format!("ca_file = \"{}\"", ca.display()));
    assert_eq!(output.status, 0, "{output:?}");
    let no_tls = Pbx::start();
    let base_url = no_tls.base_url().replace("http:", "https:");
    let output = online(&base_url, "");
    assert_eq!(output.status, 1);
    let begins = format!("FAILED  pbx hq: reach the PBX at {base_url}: ");
    let [line] = of_pbx(&output)[..] else {
        panic!("{output:?}")
    };
    assert!(line.starts_with(&begins), "{line}");
}

/// Ended when dropped.
struct Verb(Child);

impl Drop for Verb {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes connections and says nothing, in the words of HTTP or of TLS.
#[test]
fn a_pbx_that_is_silent() {
    for scheme in ["http", "https"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let base_url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (service, ahead) = (Setup::hq(&base_url).prepare(), Ahead::by_nothing());
        let mut verb = service.verb(&["check", "--online"]);
        ahead.of_verb(verb.stdout(Stdio::piped()));
        let mut verb = Verb(verb.spawn().unwrap());
        let mut asked = None;
        wait_for("it comes", WITHIN, || match listener.accept() {
            Ok((mut stream, _)) => {
                // Its first word has come: from now on it waits.
                stream.set_nonblocking(false).unwrap();
                stream.read_exact(&mut [0]).unwrap();
                asked = Some(stream);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("accept: {error}"),
        });
        ahead.turn(LONG);
        let mut status = None;
        wait_for("it waits no longer", WITHIN, || {
            status = verb.0.try_wait().unwrap();
            status.is_some()
        });
        let mut said = String::new();
        let stdout = verb.0.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut said).unwrap();
        service.secrets.assert_untold("check", &said);
        assert_eq!(status.unwrap().code(), Some(1), "{said}");
        let begins = format!("FAILED  pbx hq: reach the PBX at {base_url}: ");
        let told = said.lines().find(|line| line.starts_with(&begins));
        assert!(
            told.is_some_and(|line| line.contains("timed out")),
            "{said}"
        );
    }
}
