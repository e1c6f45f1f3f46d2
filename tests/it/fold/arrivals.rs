//! What arrival decides: when a leg was answered and ended, and which recording comes first.

use serde_json::json;

use super::{corpus, event};
use crate::support::index::Index;

/// Events of the PBX `hq`, read one by one or all at once.
async fn fed(events: &[String], one_by_one: bool) -> Index {
    let mut index = Index::new();
    for raw in events {
        index.log("hq", raw).await;
        if one_by_one {
            index.catch_up().await;
        }
    }
    index.catch_up().await;
    index
}

/// Events arrive a second apart, the first of them at the first second.
#[tokio::test]
async fn a_leg_was_answered_and_ended_when_that_was_first_said() {
    let said = [
        ("ringing", "117"),
        ("incomingcall_started", "117"),
        // The same once more, and then in other words.
        ("incomingcall_started", "117"),
        ("incomingcall_started", "204"),
        ("incoming", "117"),
        ("incoming", "117"),
        ("incoming", "204"),
        ("incomingcall_started", "117"),
    ];
    let said = said.map(|(name, user)| event(name, "230307142318_40-1", user, "05552221133"));
    for one_by_one in [true, false] {
        let index = fed(&said, one_by_one).await;
        let legs = index.rows("SELECT leg, answered_at, ended_at FROM legs");
        let expected = json!([1, "2026-01-01T00:00:02.000Z", "2026-01-01T00:00:05.000Z"]);
        assert_eq!(legs, [expected], "one by one: {one_by_one}");
    }
}

/// Of a transferred call the vendor's PBX has the second leg's ready before the first one's.
#[tokio::test]
async fn recordings_are_announced_in_the_order_of_their_events() {
    let corpus: Vec<String> = corpus().into_iter().map(|arrival| arrival.raw).collect();
    for one_by_one in [true, false] {
        let index = fed(&corpus, one_by_one).await;
        let announced = "SELECT subject FROM custody WHERE act = 'announced' ORDER BY seq";
        let expected = [
            "hq/230307140234_35-1-1",
            "hq/230307142318_40-2-1",
            "hq/230307142318_40-1-1",
            "hq/230307144544_42-2-1",
            "hq/230307144544_42-1-1",
            "hq/230307150805_46-1-1",
            "hq/230307151412_47-1-1",
            "hq/230307135611_31-1-1",
            "hq/230307154408_63-1-1",
            "hq/230102185935_18-1-1",
        ];
        let expected = expected.map(|recording| json!([recording]));
        assert_eq!(index.rows(announced), expected, "one by one: {one_by_one}");
        let by_time = "SELECT leg, extension FROM recordings WHERE call = '230307142318_40' \
            ORDER BY announced_at";
        let expected = [json!([2, "204"]), json!([1, "117"])];
        assert_eq!(index.rows(by_time), expected, "one by one: {one_by_one}");
    }
}
