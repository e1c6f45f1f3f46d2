//! What cannot be entered in custody is not done.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::support::pbx::Pbx;
use crate::support::people::{self, archive, audio};
use crate::support::service::Service;
use crate::support::wait::wait_for;
use crate::support::web::{Ask, get};

const RECORDING: &str = "230307142318_40-1-1";

fn by_hand(service: &Service) -> Connection {
    let index = Connection::open(service.data_dir().join("index.sqlite")).unwrap();
    index.busy_timeout(Duration::from_secs(5)).unwrap();
    index
}

#[test]
fn nothing_is_served_that_cannot_be_entered() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let kim = people::add(&service, "kim", "compliance", &[]);
    let viewer = people::add(&service, "vic", "viewer", &[]);
    let index = by_hand(&service);
    index
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON custody_entry \
             BEGIN SELECT RAISE(ABORT, 'no more entries'); END",
        )
        .unwrap();
    let entries = service.number("SELECT count(*) FROM custody");
    let hear = || audio(RECORDING).by(&kim).because("why");
    let asked = [
        hear(),
        hear().header("Range", "bytes=0-9"),
        get(format!(
            "/api/v1/recordings/hq/{RECORDING}/audio?download=1"
        ))
        .by(&kim)
        .because("why"),
        get("/api/v1/recordings").by(&kim),
        get("/api/v1/calls").by(&kim),
        get("/api/v1/recordings.csv").by(&kim),
        get("/api/v1/recordings.jsonl").by(&kim),
        // A denial too: it must not be found out in silence.
        get("/api/v1/custody").by(&viewer),
    ];
    for ask in &asked {
        ask.send(service.admin()).assert_problem(503, "unavailable");
    }
    assert_eq!(service.number("SELECT count(*) FROM custody"), entries);
    index.execute_batch("DROP TRIGGER full").unwrap();
    // The reason given in vain holds nothing.
    audio(RECORDING)
        .by(&kim)
        .send(service.admin())
        .assert_problem(428, "reason_required");
    let answers = asked.map(|ask| ask.send(service.admin()).status);
    assert_eq!(answers, [200, 206, 200, 200, 200, 200, 200, 403]);
}

#[test]
fn nothing_is_served_while_the_index_is_held() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let kim = people::add(&service, "kim", "compliance", &[]);
    let hear = |ask: Ask| ask.by(&kim).because("why").send(service.admin());
    let index = by_hand(&service);
    index.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    hear(audio(RECORDING)).assert_problem(503, "unavailable");
    assert!(
        began.elapsed() < Duration::from_secs(35),
        "{:?}",
        began.elapsed()
    );
    index.execute_batch("COMMIT").unwrap();
    wait_for("it is served again", Duration::from_secs(30), || {
        hear(audio(RECORDING)).status == 200
    });
    let heard = "SELECT count(*) FROM custody WHERE act = 'listened'";
    assert_eq!(service.number(heard), 1);
}
