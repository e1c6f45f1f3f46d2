//! What an event may not do, whatever it says.

mod anywhere;
mod hostile;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::support::calls::{announce, key, keys, post_corpus, url};
use crate::support::gate::Gate;
use crate::support::hook::{self, Request, target};
use crate::support::id3;
use crate::support::pbx::{self, Answer, Pbx, audio};
use crate::support::service::{SECRET, Service, Setup};
use crate::support::vault::{Vault, files_below, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(
    only_the_recording_path_of_the_base_url_is_requested,
    redirects_are_not_followed,
    bodies_are_not_decompressed,
    the_secret_stays_with_the_hook,
);

/// Recordings, and URLs elsewhere that announce them.
fn fetched(there: SocketAddr) -> [(&'static str, String); 5] {
    [
        ("230307142318_40-1-1", format!("http://{there}"), ""),
        ("230307142318_40-2-1", format!("http://u:p@{there}"), ""),
        ("230307144544_42-1-1", "https://[::1]:1".to_owned(), ""),
        ("230307144544_42-2-1", format!("http://{there}"), "?x=/y#z"),
        ("230307150805_46-1-1", "https://no host:x".to_owned(), ""),
    ]
    .map(|(recording, host, rest)| {
        let url = format!("{host}/webapi/recording/{recording}.mp3{rest}");
        (recording, url)
    })
}

fn refused(there: SocketAddr, pbx: SocketAddr) -> [String; 13] {
    [
        "http://THERE/230307151412_47-1-1.mp3",
        "http://THERE/webapi/other/230307151412_47-1-1.mp3",
        "http://THERE/webapi/recording/../recording/230307151412_47-1-1.mp3",
        "http://THERE/webapi/recording/%2e%2e%2f230307151412_47-1-1.mp3",
        "http://THERE/webapi/recording/x/230307151412_47-1-1.mp3",
        "http://THERE/webapi/recording//THERE/230307151412_47-1-1.mp3",
        "http://THERE/webapi/recording/a%0d%0aX: y.mp3",
        "http://THERE/webapi/recording/a\r\nX: y.mp3",
        "http://THERE\\@PBX/230307151412_47-1-1.mp3",
        "file:///etc/passwd",
        "ftp://PBX/webapi/recording/230307151412_47-1-1.mp3",
        "//PBX/webapi/recording/230307151412_47-1-1.mp3",
        "/webapi/recording/230307151412_47-1-1.mp3",
    ]
    .map(|url| url.replace("THERE", &there.to_string()))
    .map(|url| url.replace("PBX", &pbx.to_string()))
}

fn only_the_recording_path_of_the_base_url_is_requested(vault: &Vault) {
    let (pbx, decoy) = (Pbx::start(), Gate::decoy());
    let mut setup = vault.set_up(Setup::hq(&pbx.base_url()));
    let proxy = format!("http://{}", decoy.address());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        setup = setup.env(name, &proxy);
        setup = setup.env(&name.to_lowercase(), &proxy);
    }
    // What this machine may have set would hide a mistake.
    let service = setup.env("NO_PROXY", "").env("no_proxy", "").start();

    let fetched = fetched(decoy.address());
    let refused = refused(decoy.address(), pbx.address());
    let urls = fetched.iter().map(|(_, url)| url).chain(&refused);
    urls.for_each(|url| announce(&service, url));
    service.wait_for_recordings("archived", fetched.len() as i64);
    service.wait_for_recordings("failed", refused.len() as i64);

    let recordings = fetched.each_ref().map(|(recording, _)| *recording);
    let mut asked: Vec<String> = pbx.requests().into_iter().map(|r| r.path).collect();
    asked.sort();
    let path = |recording| format!("/webapi/recording/{recording}.mp3");
    assert_eq!(asked, recordings.map(path));
    pbx.requests()
        .iter()
        .for_each(|request| check(request, &pbx));
    assert_eq!(decoy.connections(), 0);
    assert_eq!(vault.keys(), keys(recordings));
    for row in service.json(&["search", "--state", "failed"]) {
        assert!(!row["last_error"].as_str().unwrap().is_empty(), "{row}");
        assert_eq!(row["object_key"], json!(null));
    }
}

fn check(request: &pbx::Request, pbx: &Pbx) {
    let host = pbx.address().to_string();
    assert_eq!(request.header("host"), Some(host.as_str()));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    for name in ["authorization", "proxy-authorization", "referer", "cookie"] {
        assert_eq!(request.header(name), None);
    }
}

fn redirects_are_not_followed(vault: &Vault) {
    let (pbx, decoy) = (Pbx::start(), Gate::decoy());
    let recordings = [
        "230307142318_40-1-1",
        "230307142318_40-2-1",
        "230307144544_42-1-1",
    ];
    let elsewhere = format!("http://{}/webapi/recording/x.mp3", decoy.address());
    let there_too = format!(
        "{}/webapi/recording/230307151412_47-1-1.mp3",
        pbx.base_url()
    );
    let ways = [
        elsewhere.as_str(),
        &there_too,
        "/webapi/recording/230307151412_47-1-1.mp3",
    ];
    for (recording, to) in recordings.iter().zip(ways) {
        pbx.script(recording, [Answer::redirect(to)]);
    }
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    for recording in recordings {
        announce(&service, &url(recording));
    }
    wait_for("each was tried", Duration::from_secs(10), || {
        service.number("SELECT count(*) FROM recordings WHERE code = 'redirect'") == 3
    });
    assert_eq!(decoy.connections(), 0);
    let other = pbx.requests_of("230307151412_47-1-1");
    assert_eq!(other.len(), 0);
    assert!(vault.keys().is_empty());
}

/// Audio that claims to be packed is what it is.
fn bodies_are_not_decompressed(vault: &Vault) {
    let pbx = Pbx::start();
    let packings = [
        ("230307142318_40-1-1", "gzip"),
        ("230307142318_40-2-1", "deflate"),
        ("230307144544_42-1-1", "br"),
        ("230307144544_42-2-1", "zstd"),
    ];
    for (recording, packing) in packings {
        let answer = Answer::audio(recording).header("Content-Encoding", packing);
        pbx.script(recording, [answer]);
    }
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    for (recording, _) in packings {
        announce(&service, &url(recording));
    }
    service.wait_for_recordings("archived", packings.len() as i64);
    for (recording, packing) in packings {
        let object = vault.read(&key(recording));
        let (_, stored) = id3::split(&object);
        assert!(stored == audio(recording), "{packing}");
    }
}

/// Neither the log, at its most talkative, nor any file or object tells the hook's secret.
fn the_secret_stays_with_the_hook(vault: &Vault) {
    let pbx = Pbx::start();
    let setup = vault.set_up(Setup::hq(&pbx.base_url()));
    let mut service = setup.env("CALLVAULT_LOG", "trace").start();
    post_corpus(&service);
    let upper = SECRET.to_uppercase();
    let odd = [
        Request::get(format!("{}?event=x", target("hq"))),
        Request::get(target("other")),
        Request::get(format!("{}x", target("hq"))),
        Request::get(format!("{}/", target("hq"))),
        Request::get(format!("/hook/hq/%30{}", &SECRET[1..])),
        Request::get(format!("/hook/hq/{upper}")),
        Request::get(format!("/{SECRET}")),
        Request::post(target("hq"), "text/\u{1}plain", "x"),
        Request::post(target("hq"), "text/plain", vec![b'x'; 2 << 20]),
        Request::get(format!("{}?a=\u{e9}<> \"", target("hq"))),
        Request {
            method: "BREW".to_owned(),
            ..Request::get(target("hq"))
        },
    ];
    for request in &odd {
        // Some are no HTTP at all: any answer will do.
        let _ = hook::send(service.hook(), request);
        let _ = hook::send(service.admin(), request);
    }
    service.wait_for_recordings("archived", 10);
    service.wait_until_read();
    service.terminate();
    assert_untold(&service, vault);
}

fn assert_untold(service: &Service, vault: &Vault) {
    let told = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        text.contains(SECRET) || text.contains(&SECRET[1..])
    };
    assert!(
        service.log().contains("TRACE"),
        "it said too little to tell"
    );
    let told_by = service
        .log()
        .lines()
        .find(|line| told(line.as_bytes()))
        .map(str::to_owned);
    assert_eq!(told_by, None);
    for file in files_below(&service.data_dir()) {
        let bytes = std::fs::read(service.data_dir().join(&file)).unwrap();
        assert!(!told(&bytes), "{file}");
    }
    for (key, bytes) in vault.contents() {
        assert!(!told(&bytes), "{key}");
    }
}
