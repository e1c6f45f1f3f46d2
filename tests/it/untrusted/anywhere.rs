//! Announced URLs that would lead elsewhere: whatever they say, nothing but the configured PBX is
//! connected to, and nothing but a recording is asked for there.

use std::fs;
use std::time::Duration;

use crate::support::calls::announce;
use crate::support::gate::Gate;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;
use crate::support::shim::Shim;
use crate::support::wait::wait_for;

/// `PBX` and `DECOY` are addresses with ports.
const HOSTS: [&str; 28] = [
    "https://DECOY",
    "http://DECOY",
    "http://169.254.169.254",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]",
    "http://[fd00:ec2::254]",
    "http://metadata.google.internal",
    "http://localhost",
    "http://[::1]",
    "http://[fe80::1%25eth0]",
    "http://0",
    "http://0x7f000001",
    "http://2130706433",
    "http://0177.0.0.1",
    "http://127.1",
    "http://127.0.0.1.nip.example",
    "http://user:password@DECOY",
    "http://PBX@DECOY",
    "http://PBX:80@DECOY",
    "http://PBX%40DECOY",
    "http://DECOY%00.PBX",
    "http://DECOY%0d%0aHost:%20elsewhere",
    "http://DECOY\r\nHost: elsewhere\r\n\r\n",
    "http://DECOY\\@PBX",
    "http://DECOY#@PBX",
    "http://DECOY?@PBX",
    "HtTpS://DECOY",
    "http://\u{24db}\u{24de}calhost",
];
/// `NAME` is a recording's own.
const PATHS: [&str; 14] = [
    "/webapi/recording/NAME.mp3",
    "/webapi/recording/NAME.mp3?url=http://DECOY/",
    "/webapi/recording/NAME.mp3#@DECOY",
    "/webapi/recording/../recording/NAME.mp3",
    "/webapi/recording/%2e%2e/%2e%2e/NAME.mp3",
    "/webapi/recording/..%2f..%2fNAME.mp3",
    "/webapi/recording/..%5c..%5cNAME.mp3",
    "/webapi/recording/%252e%252e%252fNAME.mp3",
    "/webapi/recording//DECOY/NAME.mp3",
    "/webapi/recording/http://DECOY/NAME.mp3",
    "/webapi/recording/NAME.mp3\r\nX-Injected: 1",
    "/webapi/recording/NAME.mp3%0d%0aX-Injected:%201",
    "/webapi/recording/NAME.mp3 HTTP/1.1",
    "//DECOY/webapi/recording/NAME.mp3",
];

fn urls(decoy: &str, pbx: &str) -> Vec<String> {
    let pairs = HOSTS
        .iter()
        .flat_map(|host| PATHS.iter().map(move |path| format!("{host}{path}")));
    let named = pairs.enumerate().map(|(nth, url)| {
        let name = format!("2303071200{:02}_{nth}-1-1", nth % 60);
        url.replace("NAME", &name)
            .replace("DECOY", decoy)
            .replace("PBX", pbx)
    });
    named.collect()
}

#[test]
fn i8_nothing_but_the_pbx_is_connected_to() {
    let (pbx, decoy) = (Pbx::start(), Gate::decoy());
    // The first one of a call redirects, as an answer may ask for too.
    let elsewhere = format!("http://{}/x.mp3", decoy.address());
    pbx.script("230307120000_0-1-1", [Answer::redirect(&elsewhere)]);
    let shim = Shim::build("see_connect");
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1h"]"#);
    let mut service = setup.prepare();
    let report = service.dir().join("connected");
    service.set_env("LD_PRELOAD", Some(shim.path()));
    service.set_env("SEE_CONNECT_REPORT", report.to_str());
    service.restart();

    let own = pbx.address().to_string();
    let urls = urls(&decoy.address().to_string(), &own);
    assert!(urls.len() >= 300, "{}", urls.len());
    urls.iter().for_each(|url| announce(&service, url));
    service.wait_until_read();
    let unasked = "SELECT count(*) FROM recordings WHERE state = 'pending' AND code IS NULL";
    let known = "SELECT count(*) FROM recordings";
    wait_for(
        "each was asked for or refused",
        Duration::from_secs(60),
        || service.number(unasked) == 0,
    );
    assert!(service.number(known) >= 300, "{}", service.number(known));

    let seen = fs::read_to_string(&report).expect("connections");
    let expected = format!("connect {} {}", pbx.address().ip(), pbx.address().port());
    let others: Vec<&str> = seen.lines().filter(|line| *line != expected).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(seen.lines().count() > 0, "nothing was seen at all");
    assert_eq!(decoy.connections(), 0);

    let requests = pbx.requests();
    assert!(requests.len() > 20, "{}", requests.len());
    for request in requests {
        let name = request.path.strip_prefix("/webapi/recording/");
        let name = name.unwrap_or_else(|| panic!("{}", request.path));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
        assert!(name.bytes().all(is_plain) && !name.contains(".."), "{name}");
        assert_eq!(request.header("host"), Some(own.as_str()));
        assert_eq!(request.header("x-injected"), None);
    }
}
