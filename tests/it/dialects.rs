//! Every way in which an event may be told, through the real hook.

use serde_json::{Value, json};

use crate::support::hook::{self, Connection, Request, acknowledged, target};
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn start() -> (Pbx, Service) {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    (pbx, service)
}

fn query(query: &str) -> Request {
    Request::get(format!("{}?{query}", target("hq")))
}

/// One end event, told in every way; LEG stands for its id.
fn told() -> Vec<(&'static str, Request)> {
    let lower = r#"{"event":"incoming","callerid":"05552221133","user":"117","finishtype":"Ok","transfer":"False","did":"Rule A","duration":"1:02:14","id":"LEG"}"#;
    let upper = r#"{"Event":"incoming","Callerid":"05552221133","User":"117","Finishtype":"Ok","Transfer":"False","Did":"Rule A","Duration":"62:14","Id":"LEG"}"#;
    let shouting = r#"{ "EVENT" : " Incoming ", "CALLERID":" 05552221133 ", "USER": 117, "FINISHTYPE":"OK", "TRANSFER":false, "DID":"Rule A", "DURATION":"62:14", "ID":" LEG " }"#;
    let titled = r#"{"event":"incoming","title":"Rule A:Answered call from 05552221133 (1:02:14)","callerid":"05552221133","user":"117","finishtype":"OK","transfer":"false","did":"Rule A","phonebook":"","sip_displayname":"x","termination_reason_details":{"a":[1]},"id":"LEG"}"#;
    let raw = "event=incoming&callerid=05552221133&user=117&finishtype=Ok&transfer=False&did=Rule A&title=Rule A:Answered call from 05552221133 (1:02:14)&id=LEG";
    let encoded = "event=incoming&callerid=05552221133&user=117&finishtype=Ok&transfer=False&did=Rule+A&title=Rule%20A%3AAnswered+call+from+05552221133+%281%3A02%3A14%29&id=LEG";
    let post = |content_type, body: &str| Request::post(target("hq"), content_type, body);
    vec![
        ("upper case", post(JSON, upper)),
        ("lower case", post(JSON, lower)),
        ("any case, stray spaces, bare values", post(JSON, shouting)),
        ("a title and unknown keys", post(JSON, titled)),
        (
            "a byte order mark",
            post(JSON, &format!("\u{feff}{upper}\r\n")),
        ),
        ("JSON as text", post("text/plain; charset=utf-8", upper)),
        ("JSON as a form", post(FORM, lower)),
        ("JSON of no type", post("", lower)),
        ("a JSON array", post(JSON, &format!("[{upper}]"))),
        ("chunked", post(JSON, titled).in_chunks_of(7)),
        ("a raw query", query(raw)),
        ("an encoded query", query(encoded)),
        ("a raw form", post(FORM, raw)),
        ("an encoded form", post(FORM, encoded)),
        ("a form as JSON", post(JSON, encoded)),
        (
            "a get of nothing but a body",
            Request {
                method: "GET".to_owned(),
                ..post(JSON, upper)
            },
        ),
        (
            "a post of nothing but a query",
            Request::post(format!("{}?{encoded}", target("hq")), FORM, ""),
        ),
        (
            "a query beside a body that tells of nothing",
            Request::post(format!("{}?{encoded}", target("hq")), JSON, r#"{"a":1}"#),
        ),
        (
            "a body beside a query that tells of nothing",
            Request::post(format!("{}?from=3cx", target("hq")), JSON, upper),
        ),
        (
            "a target as a proxy is asked",
            Request::post(format!("HTTP://pbx.example{}", target("hq")), JSON, upper),
        ),
    ]
}

#[test]
fn an_end_event_in_every_dialect() {
    let (_pbx, service) = start();
    for (counter, (name, request)) in (1..).zip(&told()) {
        let id = format!("230307142318_{counter}");
        let mut request = request.clone();
        let name_it = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).unwrap();
            text.replace("LEG", &format!("{id}-1")).into_bytes()
        };
        request.target = name_it(&request.target);
        request.body = name_it(&request.body);
        acknowledged(service.hook(), &request);
        service.wait_until_read();
        let call = service.cli(&["show", &id, "--json"]);
        assert_eq!(call.status, 0, "{name}: {}", call.stderr);
        let call: Value = serde_json::from_str(&call.stdout).unwrap();
        let found = json!([
            call["direction"],
            call["external"],
            call["did"],
            call["started_at"],
            call["outcome"],
            call["events"][0]["kind"],
        ]);
        let start = "2023-03-07T13:23:18Z";
        let expected = [
            "incoming",
            "05552221133",
            "Rule A",
            start,
            "answered",
            "ended",
        ];
        assert_eq!(found, json!(expected), "{name}");
        assert_eq!(call["events"][0]["repaired"], false, "{name}");
        let leg = &call["legs"][0];
        let found = json!([
            leg["leg"],
            leg["extension"],
            leg["duration_s"],
            leg["transfer"],
            leg["finish"]
        ]);
        assert_eq!(found, json!([1, "117", 3734, null, "ok"]), "{name}");
    }
}

#[test]
fn an_array_is_a_row_a_reading() {
    let (_pbx, service) = start();
    let array = r#"[{"Event":"ringing","User":"117","Usertype":"ext","Id":"230307142318_40-0"},
        {"Event":"incomingcall_started","User":"117","Id":"230307142318_40-1"},
        {"Event":"queue_login","User":"117"}, 17]"#;
    hook::post(service.hook(), array);
    service.wait_until_read();
    let readings = "SELECT json_array(seq, item, kind, call, leg, raw = (SELECT raw FROM events LIMIT 1)) FROM events ORDER BY item";
    let expected = [
        json!([1, 0, "ringing", "230307142318_40", 0, 1]),
        json!([1, 1, "answered", "230307142318_40", 1, 1]),
        json!([1, 2, "unknown", null, null, 1]),
        json!([1, 3, "unparsed", null, null, 1]),
    ];
    assert_eq!(service.rows(readings), expected);
}

#[test]
fn what_nobody_understands_is_logged_and_visible() {
    let (_pbx, service) = start();
    let unknown = [
        r#"{"Event":"extension_status","User":"117","State":"away"}"#,
        r#"{"Event":"queue_login","Queue":"820","Id":"230307142318_40-1"}"#,
        r#"{"quite":"another thing"}"#,
        "event=agent_pause&user=117",
    ];
    let unparsed: [&[u8]; 8] = [
        b"",
        b" \r\n ",
        b"garbage",
        b"{\"Event\":",
        b"\xff\xfe\x00\x01",
        b"17",
        b"null",
        b"<xml a=\"b\"/>",
    ];
    for body in unknown {
        hook::post(service.hook(), body);
    }
    for body in unparsed {
        acknowledged(service.hook(), &Request::post(target("hq"), "x/y", body));
    }
    acknowledged(service.hook(), &Request::get(target("hq")));
    service.wait_until_read();
    let index = service.index();
    let mut logged = index
        .prepare("SELECT raw, kind FROM events ORDER BY seq")
        .unwrap();
    let logged = logged.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let logged: Vec<(Vec<u8>, String)> = logged.unwrap().map(Result::unwrap).collect();
    let unknown = unknown.map(|raw| (raw.as_bytes().to_vec(), "unknown".to_owned()));
    let unparsed = unparsed.map(|raw| (raw.to_vec(), "unparsed".to_owned()));
    let nothing = [(Vec::new(), "unparsed".to_owned())];
    assert_eq!(logged, [&unknown[..], &unparsed, &nothing].concat());
    assert_eq!(service.number("SELECT count(*) FROM calls"), 0);
}

/// The sibling of 2023: leg 1 in every row, the end once plainly and once more with its file.
#[test]
fn the_old_sibling() {
    let (pbx, service) = start();
    let id = "230918101500_77-1";
    let url = format!("https://pbx.example/webapi/recording/{id}-1.mp3");
    let ring = |user| {
        format!(
            r#"{{"event":"ringing","callerid":"+381 21 555","user":"{user}","usertype":"other","did":"prodaja 021","id":"{id}"}}"#
        )
    };
    let end = format!(
        r#"{{"event":"incoming","title":"Answered call to +381 21 555 (1:00:09)","callerid":"+381 21 555","user":"204","finishtype":"Ok","transfer":"False","did":"prodaja 021","id":"{id}"}}"#
    );
    let end_with_file = format!(
        r#"{{"event":"incoming","title":"Answered call to +381 21 555 (1:00:09)","callerid":"+381 21 555","user":"204","finishtype":"OK","transfer":"false","did":"empty","FILES":["{url}"],"id":"{id}"}}"#
    );
    let picked_up = format!(
        r#"{{"event":"pickupincoming","callerid":"+381 21 555","user":"204","usertype":"other","did":"empty","trtype":"NotDef","id":"{id}"}}"#
    );
    pbx.script(&format!("{id}-1"), [Answer::audio("230307142318_40-1-1")]);
    for body in [
        ring("800"),
        ring("204"),
        ring("117"),
        picked_up,
        end,
        end_with_file,
    ] {
        hook::post(service.hook(), body);
    }
    service.wait_until_read();
    let call = service.json(&["show", "230918101500_77"]).remove(0);
    let kinds: Vec<&Value> = call["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["kind"])
        .collect();
    assert_eq!(
        json!(kinds),
        json!([
            "ringing", "ringing", "ringing", "answered", "ended", "ended"
        ])
    );
    assert_eq!(call["direction"], "incoming");
    assert_eq!(call["did"], "prodaja 021");
    assert_eq!(call["external"], "+381 21 555");
    assert_eq!(call["started_at"], "2023-09-18T08:15:00Z");
    assert_eq!(call["ring_path"], json!(["800", "204", "117"]));
    let [leg] = &call["legs"].as_array().unwrap()[..] else {
        panic!("not one leg: {call}");
    };
    let found = json!([
        leg["extension"],
        leg["duration_s"],
        leg["transfer"],
        leg["finish"]
    ]);
    assert_eq!(found, json!(["204", 3609, null, "ok"]));
    assert_eq!(leg["recordings"], json!([format!("hq/{id}-1")]));
}

/// In the hour that the clock shows twice, only a `chid` knows which one it was.
#[test]
fn chid_decides_the_autumn_hour() {
    let (_pbx, service) = start();
    let filetime = |unix_s: u64| (unix_s + 11_644_473_600) * 10_000_000;
    let first_half = 1_761_438_600; // 2025-10-26T00:30:00Z, in Prague 02:30 for the first time
    for (counter, unix_s, start) in [
        (7, first_half, "2025-10-26T00:30:00Z"),
        (8, first_half + 3600, "2025-10-26T01:30:00Z"),
    ] {
        let hex = format!("{:016x}", filetime(unix_s));
        let chid = format!(
            "00000000-{}-{}-{}-{}{counter:08x}",
            &hex[..4],
            &hex[4..8],
            &hex[8..12],
            &hex[12..]
        );
        let call = format!("251026023000_{counter}");
        hook::post(
            service.hook(),
            format!(
                r#"{{"event":"pickupincoming","callerid":"05552221133","user":"117","chid":"{chid}","id":"{call}-1"}}"#
            ),
        );
        service.wait_until_read();
        assert_eq!(
            service.json(&["show", &call])[0]["started_at"],
            start,
            "{chid}"
        );
    }
}

#[test]
fn a_query_is_kept_as_it_came() {
    let (_pbx, service) = start();
    let odd = "event=incoming&callerid=05552221133&user=117&finishtype=Ok&title=100% Žižkov \"A\" <b>: Answered call (0:07)&id=230307142318_40-1";
    let plain = "event=ringing&user=117&id=230307142318_40-0";
    let mut connection = Connection::open(service.hook()).unwrap();
    for query in [plain, plain, odd] {
        let mut request = Request::get(target("hq"));
        request.target.extend(format!("?{query}").bytes());
        let reply = connection.send(&request).unwrap();
        assert_eq!((reply.status, reply.body), (200, b"{}".to_vec()), "{query}");
    }
    let mut latin = query("event=ringing&did=");
    latin.target.extend(b"caf\xe9&id=230307142318_40-0");
    acknowledged(service.hook(), &latin);
    service.wait_until_read();
    let index = service.index();
    let mut raw = index
        .prepare("SELECT raw FROM events ORDER BY seq")
        .unwrap();
    let raw: Vec<Vec<u8>> = raw
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let latin = b"event=ringing&did=caf\xe9&id=230307142318_40-0".to_vec();
    assert_eq!(raw, [plain.into(), plain.into(), odd.into(), latin]);
    let ended = "SELECT count(*) FROM legs WHERE call = '230307142318_40' AND duration_s = 7";
    assert_eq!(service.number(ended), 1);
}

/// What was read is what the archive tells, also where it stood in the query.
#[test]
fn a_query_beside_a_body_is_in_the_manifest() {
    let (pbx, service) = start();
    let name = "230307142318_40-1-1";
    for (id, number) in [("40-1", "1"), ("41-1", "2")] {
        let query = format!(
            "event=recording&id=230307142318_{id}&callerid={number}\
             &files=https://h/webapi/recording/230307142318_{id}-1.mp3"
        );
        pbx.script(
            &format!("230307142318_{id}-1"),
            [Answer::audio("230307142318_40-1-1")],
        );
        let target = format!("{}?{query}", target("hq"));
        acknowledged(service.hook(), &Request::post(target, JSON, "{}"));
    }
    service.wait_for_recordings("archived", 2);
    let same = "SELECT count(*) FROM events WHERE duplicate_of IS NOT NULL";
    assert_eq!(
        service.number(same),
        0,
        "the same body is not the same event"
    );
    let manifest = format!("archive/hq/2023/03/07/{name}.json");
    let manifest = std::fs::read(service.dir().join(manifest)).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let event = &manifest["events"][0];
    assert_eq!(event["raw"], "{}");
    let query = event["query"].as_str().unwrap();
    assert!(
        query.starts_with("event=recording&id=230307142318_40-1&"),
        "{query}"
    );
}
