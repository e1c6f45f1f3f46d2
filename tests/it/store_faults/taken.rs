//! Something lies at the key already. What it is decides; it is never touched.

use serde_json::{Value, json};

use super::{announce, assert_all_there, behind, get, job, key, name};
use super::{spooled, state, wait_until_archived, wait_until_failing};
use crate::support::hook;
use crate::support::pbx::Pbx;
use crate::support::proxy::{Fault, Proxy};
use crate::support::service::Service;
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

async fn start() -> (Weed, Proxy, Pbx) {
    let weed = Weed::start();
    weed.create_bucket("calls", true).await;
    let proxy = Proxy::start(&weed.endpoint());
    (weed, proxy, Pbx::start())
}

async fn put(weed: &Weed, key: &str, content: &[u8]) {
    let client = weed.client();
    let put = client.put_object().bucket("calls").key(key);
    put.body(content.to_vec().into()).send().await.unwrap();
}

/// For good, its versions too.
async fn remove(weed: &Weed, key: &str) {
    for (found, version) in weed.versions("calls").await {
        if found == key {
            let client = weed.client();
            let delete = client.delete_object().bucket("calls").key(key);
            delete.version_id(version).send().await.unwrap();
        }
    }
}

/// Which act of custody tells how the object came to be archived.
fn stored(service: &Service, name: &str) -> Vec<Value> {
    service.rows(&format!(
        "SELECT json_array(act, detail) FROM custody \
         WHERE subject = 'hq/{name}' AND act IN ('uploaded', 'adopted', 'proved') ORDER BY seq"
    ))
}

#[tokio::test]
async fn our_own_object_is_archived() {
    let (weed, proxy, pbx) = start().await;
    let service = behind(&proxy, &weed, &pbx).start();
    service.wait_until_store_is_tried();
    let name = name(0);
    // The store has it and the answer is lost: the next PUT meets it.
    proxy.plan(|request| (request.method == "PUT" && request.nth == 0).then_some(Fault::DropAfter));
    announce(&service, &pbx, &name);
    wait_until_archived(&service, &name);
    let requests = proxy.requests();
    let puts = requests.iter().filter(|request| request.is("PUT", ".mp3"));
    assert_eq!(
        puts.count(),
        2 + 1,
        "lost, met, and met again for the manifest"
    );
    assert_eq!(stored(&service, &name)[0][0], "uploaded");
    assert_all_there(&service, &weed, 1).await;
}

/// An earlier life of the archive, whose index is lost, knew more of the call and so made another
/// tag.
async fn live_once(weed: &Weed, proxy: &Proxy, pbx: &Pbx, name: &str) {
    let service = behind(proxy, weed, pbx).start();
    let call = name.rsplit_once('-').unwrap().0;
    let event = json!({"Event": "answered", "Extension": "117", "User": "117",
        "CallerId": "05552221133", "Id": call});
    hook::post(service.hook(), event.to_string());
    service.wait_until_read();
    announce(&service, pbx, name);
    wait_until_archived(&service, name);
    service.wait_until_store_is_tried();
}

#[tokio::test]
async fn the_same_original_under_another_tag_is_adopted() {
    let (weed, proxy, pbx) = start().await;
    let (whole, bare) = (name(0), name(1));
    for name in [&whole, &bare] {
        live_once(&weed, &proxy, &pbx, name).await;
    }
    let manifest_key = |name: &str| key(name).replace(".mp3", ".json");
    remove(&weed, &manifest_key(&bare)).await;
    let before = [
        get(&weed, &key(&whole)).await,
        get(&weed, &manifest_key(&whole)).await,
        get(&weed, &key(&bare)).await,
    ];

    let service = behind(&proxy, &weed, &pbx).start();
    for name in [&whole, &bare] {
        // Nothing is adopted, and nothing refused, that reads otherwise than it lies there.
        let object = key(name);
        proxy.plan(move |request| request.is("GET", &object).then_some(Fault::FlipBack));
        announce(&service, &pbx, name);
        wait_until_failing(&service, name, "not_proved");
        let object = key(name);
        proxy.plan(move |request| match request.method.as_str() {
            "HEAD" if request.path.ends_with(&object) => Some(Fault::NoChecksum),
            "GET" if request.path.ends_with(&object) => Some(Fault::FlipBack),
            _ => None,
        });
        let so_far = proxy.requests().len();
        wait_for("it is read back again", super::WITHIN, || {
            let requests = proxy.requests();
            let reads = requests[so_far..].iter();
            reads.filter(|request| request.method == "GET").count() > 4
        });
        assert_eq!(state(&service, name), "pending");
        proxy.heal();
        wait_until_archived(&service, name);
        let acts = stored(&service, name);
        assert_eq!(acts[0][0], "adopted");
        assert_eq!(acts[1], json!(["proved", "read back and rebuilt"]));
    }
    let after = [
        get(&weed, &key(&whole)).await,
        get(&weed, &manifest_key(&whole)).await,
        get(&weed, &key(&bare)).await,
    ];
    assert!(before == after, "an object was rewritten");
    assert_all_there(&service, &weed, 2).await;
}

/// Beside an object of ours lies a manifest that is another's, or half of ours.
#[tokio::test]
async fn an_object_is_not_adopted_with_a_manifest_that_is_not_its_own() {
    let (weed, proxy, pbx) = start().await;
    let names = [name(0), name(1)];
    let manifest_key = |name: &str| key(name).replace(".mp3", ".json");
    for name in &names {
        live_once(&weed, &proxy, &pbx, name).await;
    }
    let own = get(&weed, &manifest_key(&names[0])).await;
    let other = get(&weed, &manifest_key(&names[1])).await;
    let half = own[..own.len() / 2].to_owned();
    for (name, instead) in names.iter().zip([half, own]) {
        remove(&weed, &manifest_key(name)).await;
        put(&weed, &manifest_key(name), &instead).await;
    }
    let service = behind(&proxy, &weed, &pbx).start();
    service.wait_until_store_is_tried();
    for name in &names {
        announce(&service, &pbx, name);
        wait_for("it is given up", super::WITHIN, || {
            state(&service, name) == "failed"
        });
        let job = job(&service, name);
        assert_eq!(job["code"], "conflict");
        let reason = job["reason"].as_str().unwrap();
        assert!(reason.contains(&manifest_key(name)), "{job}");
    }

    // A person puts back what belongs there.
    remove(&weed, &manifest_key(&names[1])).await;
    put(&weed, &manifest_key(&names[1]), &other).await;
    let id = format!("hq/{}", names[1]);
    assert_eq!(service.cli(&["jobs", "retry", &id]).status, 0);
    wait_until_archived(&service, &names[1]);
    assert_eq!(service.cli(&["verify", &id]).status, 0);
}

#[tokio::test]
async fn other_content_is_a_conflict() {
    let (weed, proxy, pbx) = start().await;
    let (object, manifest) = (name(0), name(1));
    let manifest_key = key(&manifest).replace(".mp3", ".json");
    put(&weed, &key(&object), b"another's").await;
    put(&weed, &manifest_key, b"another's").await;
    let service = behind(&proxy, &weed, &pbx).start();
    service.wait_until_store_is_tried();
    for (name, at) in [(&object, key(&object)), (&manifest, manifest_key.clone())] {
        announce(&service, &pbx, name);
        wait_for("it is given up", super::WITHIN, || {
            state(&service, name) == "failed"
        });
        let job = job(&service, name);
        assert_eq!(
            (&job["code"], &job["attempts"]),
            (&json!("conflict"), &json!(1))
        );
        assert!(job["reason"].as_str().unwrap().contains(&at), "{job}");
        assert_eq!(get(&weed, &at).await, b"another's");
    }
    assert_eq!(spooled(&service), 2, "our own are kept");
    let versions = weed.versions("calls").await;
    assert_eq!(
        versions.len(),
        3,
        "two of another's and an object: {versions:?}"
    );

    // A person moves the other ones away.
    remove(&weed, &key(&object)).await;
    remove(&weed, &manifest_key).await;
    let retried = service.cli(&["jobs", "retry", "--all-failed"]);
    assert_eq!(retried.status, 0, "{}", retried.stderr);
    for name in [&object, &manifest] {
        wait_until_archived(&service, name);
    }
    assert_all_there(&service, &weed, 2).await;
}
