//! Events that contradict each other: what is believed, whichever comes first.
//!
//! Values are chosen so that the smaller one is now right and now wrong: it decides between equals
//! only.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::support::index::Index;

/// The names of events; who stands further up is believed.
const OF_CALLS: &[&[&str]] = &[
    &["incoming"],
    &["incomingcall_started"],
    &["ringing", "dialing"],
    &["recording"],
];
/// Of those that say who spoke.
const OF_LEGS: &[&[&str]] = &[&["incoming"], &["incomingcall_started"], &["recording"]];

/// An event's name and which of two things it says.
type Said = (&'static str, &'static str);

/// Each name with each, in both orders, with what they say and what is believed.
fn contradictions(ranks: &[&[&'static str]]) -> Vec<([Said; 2], &'static str)> {
    let ranked = ranks.iter().enumerate();
    let ranked = ranked.flat_map(|(rank, names)| names.iter().map(move |name| (rank, *name)));
    let ranked: Vec<(usize, &str)> = ranked.collect();
    let pairs = ranked
        .iter()
        .flat_map(|first| ranked.iter().map(move |then| (first, then)));
    pairs
        .flat_map(|(first, then)| {
            [("A", "B"), ("B", "A")].map(|(says, contradicts)| {
                let believed = match first.0.cmp(&then.0) {
                    Ordering::Less => says,
                    Ordering::Greater => contradicts,
                    Ordering::Equal => "A",
                };
                ([(first.1, says), (then.1, contradicts)], believed)
            })
        })
        .collect()
}

/// What the one row of a call says, once both events have been read.
async fn believed(events: [Value; 2], sql: &str) -> Value {
    let mut index = Index::new();
    for event in events {
        index.log("hq", &event.to_string()).await;
    }
    index.catch_up().await;
    let rows = index.rows(sql);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

fn event((name, says): Said) -> Value {
    json!({"Event": name, "Callerid": format!("caller {says}"), "User": format!("user {says}"),
        "Did": format!("rule {says}"), "Finishtype": "Ok", "Id": "230307142318_40-1"})
}

#[tokio::test]
async fn of_a_call_an_end_is_believed_before_an_answer_before_a_ring_before_a_recording() {
    let all = contradictions(OF_CALLS);
    assert_eq!(all.len(), 50);
    for (said, expected) in all {
        let found = believed(said.map(event), "SELECT external, did FROM calls").await;
        let expected = json!([format!("caller {expected}"), format!("rule {expected}")]);
        assert_eq!(found, expected, "{said:?}");
    }
}

#[tokio::test]
async fn of_a_leg_an_end_is_believed_before_an_answer_before_a_recording() {
    let all = contradictions(OF_LEGS);
    assert_eq!(all.len(), 18);
    for (said, expected) in all {
        let found = believed(said.map(event), "SELECT extension FROM legs").await;
        assert_eq!(found, json!([format!("user {expected}")]), "{said:?}");
    }
}

/// Which way a call went only some names say.
#[tokio::test]
async fn of_its_direction_too() {
    for (names, expected) in [
        (["outgoing", "incomingcall_started"], "outgoing"),
        (["incoming", "outgoingcall_started"], "incoming"),
        (["incoming", "dialing"], "incoming"),
        (["incomingcall_started", "dialing"], "incoming"),
        (["outgoing", "recording"], "outgoing"),
        (["outgoing", "incoming"], "incoming"),
    ] {
        let [one, other] = names;
        for names in [[one, other], [other, one]] {
            let events = names.map(|name| event((name, "A")));
            let found = believed(events, "SELECT direction FROM calls").await;
            assert_eq!(found, json!([expected]), "{names:?}");
        }
    }
}
