//! What custody says of a recording that went the whole way.

use serde_json::{Value, json};

use super::row;
use crate::support::calls::{key, post_table, url};
use crate::support::pbx::Pbx;
use crate::support::service::Setup;
use crate::support::vault::{Vault, on_both_stores};

on_both_stores!(each_act_is_entered_once_in_its_order);

const RECORDING: &str = "230307150805_46-1-1";
const ACTS: [&str; 7] = [
    "announced",
    "downloaded",
    "verified",
    "tagged",
    "uploaded",
    "proved",
    "archived",
];

fn each_act_is_entered_once_in_its_order(vault: &Vault) {
    let pbx = Pbx::start();
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_table(&service, 5);
    service.wait_for_recordings("archived", 1);
    let entries = service.rows(&format!(
        "SELECT json_array(act, actor, detail) FROM custody WHERE subject = 'hq/{RECORDING}' \
            ORDER BY seq"
    ));
    let acts: Vec<Value> = entries.iter().map(|entry| entry[0].clone()).collect();
    assert_eq!(acts, ACTS.map(|act| json!(act)));
    assert!(entries.iter().all(|entry| entry[1] == "callvault"));

    // Each tells what was done to which bytes.
    let row = row(&service, RECORDING);
    let digest = |field: &str| row[field].as_str().unwrap().to_owned();
    let (original, object) = (digest("original_sha256"), digest("object_sha256"));
    let told = [
        ("announced", url(RECORDING).replace("pbx.example", "FQDN")),
        ("downloaded", original),
        ("tagged", object.clone()),
        ("tagged", key(RECORDING)),
        ("uploaded", object),
    ];
    for (act, expected) in told {
        let entry = entries.iter().find(|entry| entry[0] == act).unwrap();
        let detail = entry[2].as_str().unwrap();
        assert!(detail.contains(&expected), "{act}: {detail}");
    }
}
