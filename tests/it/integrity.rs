//! Whether what lies in the store was last seen to be what was archived: known to all, wherever it
//! was found.

use serde_json::{Value, json};

use crate::support::calls::{key, post_table};
use crate::support::pbx::Pbx;
use crate::support::people;
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::visitor::Visitor;
use crate::support::web::get;

on_both_stores!(what_is_damaged_is_said_until_it_is_whole_again);

const RECORDING: &str = "230307142318_40-1-1";
const CALL: &str = "/call/hq/230307142318_40";

fn integrity(service: &Service) -> Value {
    let sql =
        "SELECT json_object(recording, integrity) FROM recordings WHERE recording = 'hq/NAME'";
    service.rows(&sql.replace("NAME", RECORDING))[0].clone()
}

fn what_is_damaged_is_said_until_it_is_whole_again(vault: &Vault) {
    let pbx = Pbx::start();
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let mut kim = Visitor::signed_in(&service, "compliance", &[]);
    let id = format!("hq/{RECORDING}");
    assert_eq!(integrity(&service), json!({ &id: "verified" }));
    assert!(kim.page("/").contains("verified") && !kim.page("/").contains("MISMATCH"));

    let sound = vault.read(&key(RECORDING));
    vault.damage(&key(RECORDING));
    // Found by whoever downloads it: the last byte is not handed out.
    let token = people::add(&service, "pat", "compliance", &[]);
    let path = format!("/api/v1/recordings/hq/{RECORDING}/audio?download=1");
    let answer = get(path)
        .by(&token)
        .because("complaint")
        .try_send(service.admin());
    assert!(answer.is_none_or(|answer| answer.status != 200 || answer.body != sound));
    let by_pat = "SELECT count(*) FROM custody WHERE act = 'mismatch' AND actor LIKE 'pat%'";
    assert_eq!(service.number(by_pat), 1);
    assert_is_said(&service, &mut kim, &id);

    // By verify as well, in its own name; and it is told no longer once it is whole.
    assert_eq!(service.cli(&["verify", &id]).status, 65);
    assert_is_said(&service, &mut kim, &id);
    vault.write(&key(RECORDING), &sound);
    assert_eq!(service.cli(&["verify", &id]).status, 0);
    assert_eq!(integrity(&service), json!({ &id: "verified" }));
    assert!(!kim.page(CALL).contains("MISMATCH") && !kim.page("/").contains("MISMATCH"));
    let by_verify = "SELECT count(*) FROM custody WHERE actor LIKE 'os user%' \
        AND act IN ('mismatch', 'read back')";
    assert_eq!(service.number(by_verify), 2);
}

fn assert_is_said(service: &Service, kim: &mut Visitor, id: &str) {
    assert_eq!(integrity(service), json!({ id: "mismatch" }));
    for page in [CALL, "/"] {
        assert!(kim.page(page).contains("MISMATCH"), "{page}");
    }
    let status = service.json(&["status"]).pop().unwrap();
    let reasons = status["reasons"].to_string();
    assert!(reasons.contains("not what was archived"), "{reasons}");
}
