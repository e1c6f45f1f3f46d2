//! A PBX that is taken out of the settings and put back loses nothing that was logged meanwhile.

use std::time::Duration;

use callvault::correlate::{Correlator, Pbx};
use callvault::model::time::UtcMs;
use callvault::model::vendor::Vendor;
use callvault::store::log::{self, Delivery};
use callvault::store::{Reader, Store};

fn correlator(store: &Store, pbx: &str) -> Correlator {
    let known = Pbx {
        vendor: Vendor::ThreeCx,
        zone: jiff::tz::TimeZone::UTC,
    };
    let pbxs = [(pbx.parse().unwrap(), known)];
    Correlator::new(store.clone(), pbxs, Duration::ZERO)
}

#[tokio::test]
async fn a_pbx_put_back_is_read_from_where_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.sqlite");
    let store = Store::open(&path).unwrap();
    for (pbx, user) in [("hq", "117"), ("branch", "204")] {
        let body = format!(
            r#"{{"event":"incomingcall_started","user":"{user}","id":"230307142318_40-1"}}"#
        );
        let delivery = Delivery {
            pbx: pbx.parse().unwrap(),
            received: UtcMs(0),
            live: true,
            method: "POST".to_owned(),
            content_type: None,
            target: None,
            peer: None,
            raw: body.into_bytes(),
        };
        store
            .write(move |tx| log::append(tx.one(), &delivery))
            .await
            .unwrap();
    }
    let reader = Reader::open(&path).unwrap();
    let count = |sql: &str| {
        reader
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let calls = "SELECT count(*) FROM calls";

    correlator(&store, "branch").catch_up().await.unwrap();
    assert_eq!(count(calls), 1);
    assert_eq!(
        count("SELECT count(*) FROM events WHERE pbx = 'hq' AND kind IS NULL"),
        1
    );

    correlator(&store, "hq").catch_up().await.unwrap();
    assert_eq!(count(calls), 2);
    assert_eq!(
        count("SELECT count(*) FROM events WHERE kind = 'answered'"),
        2
    );
    assert_eq!(count("SELECT count(*) FROM passed_over"), 0);
}
