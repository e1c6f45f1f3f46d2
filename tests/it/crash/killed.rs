//! SIGKILL at random moments, under load.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::scenario::assert_integrity;
use crate::support::calls::{key, keys, spooled, url};
use crate::support::hook::{Ledger, Request, target};
use crate::support::id3;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::soak::{is_soak, tell};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(i1_to_i5_hold_under_random_kills);

const LONG: Duration = Duration::from_secs(30);
const KILLS: usize = 25;
const KILLS_OF_A_SOAK: usize = 1000;
const CLIENTS: usize = 4;
/// So that each life has work from its first moment on.
const CALLS_PER_LIFE: usize = 12;
const FAULTS_PERCENT: u64 = 10;
const AUDIO: &str = "230307150805_46-1-1";

fn i1_to_i5_hold_under_random_kills(vault: &Vault) {
    let mut dice = Dice::new();
    let dice_seed = dice.0;
    let pbx = Pbx::start();
    let kills = if is_soak() { KILLS_OF_A_SOAK } else { KILLS };
    let setup = Setup::hq(&pbx.base_url());
    let (proxy, setup) = vault.faulty(setup, dice.below(u64::MAX), FAULTS_PERCENT);
    let mut service = setup.start();
    let load = Load::new(service.hook(), &pbx);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run());
        }
        // Also when an assertion in between fails.
        let _stop = Stop(&load.is_over);
        for _ in 0..kills {
            let moment = Instant::now() + Duration::from_millis(dice.below(300));
            wait_for("the moment comes", Duration::from_secs(1), || {
                Instant::now() >= moment
            });
            service.kill();
            assert_integrity(&service);
            service.restart();
            *load.hook.lock().unwrap() = service.hook();
            load.calls_max.fetch_add(CALLS_PER_LIFE, Ordering::SeqCst);
        }
    });
    if let Some(proxy) = &proxy {
        proxy.heal();
    }
    service.wait_until_read();
    assert_all_is_there(vault, &service, &load, kills);
    let store = vault.kind();
    let promise = format!("I1 to I5 after kills under load, {store}");
    tell(&promise, kills, &dice_seed.to_string());
}

fn assert_all_is_there(vault: &Vault, service: &Service, load: &Load, kills: usize) {
    load.ledger.assert_logged(&service.index());
    let mut recordings = known(service);
    let announced = load.announced.lock().unwrap();
    let lost: Vec<&String> = announced.difference(&recordings).collect();
    assert!(lost.is_empty(), "announced and unknown: {lost:?}");
    eprintln!(
        "{} events acknowledged, {} recordings announced",
        load.ledger.acknowledged(),
        announced.len()
    );
    assert!(announced.len() > kills, "too little load to tell");

    // Thousands take their time after a soak, but get on; and by then there may be more: what was cut
    // off as it was announced is looked for ten minutes after its call.
    let archived = || service.number("SELECT count(*) FROM recordings WHERE state = 'archived'");
    let stored = loop {
        let mut before = -1;
        while before < recordings.len() as i64 {
            wait_for("more recordings are archived", LONG, || archived() > before);
            before = archived();
        }
        wait_for("the spool is empty", Duration::from_secs(5), || {
            spooled(service).is_empty()
        });
        let stored = vault.keys();
        let meanwhile = known(service);
        if meanwhile == recordings {
            break stored;
        }
        recordings = meanwhile;
    };
    assert_eq!(stored, keys(recordings.iter().map(String::as_str)));
    for recording in recordings.iter().take(10) {
        let object = vault.read(&key(recording));
        assert!(id3::split(&object).1 == audio(AUDIO), "{recording}");
    }
    let verified = service.cli(&["verify", "--all"]);
    assert_eq!(verified.status, 0, "{}", verified.stderr);
    assert_integrity(service);
}

fn known(service: &Service) -> BTreeSet<String> {
    let names = service.rows("SELECT json_quote(substr(recording, 4)) FROM recordings");
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    names.collect()
}

/// Calls that come and come, each event at least once, some twice.
struct Load<'a> {
    hook: Mutex<SocketAddr>,
    pbx: &'a Pbx,
    calls: AtomicUsize,
    calls_max: AtomicUsize,
    ledger: Ledger,
    /// Whose announcement was acknowledged.
    announced: Mutex<BTreeSet<String>>,
    is_over: AtomicBool,
}

impl<'a> Load<'a> {
    fn new(hook: SocketAddr, pbx: &'a Pbx) -> Load<'a> {
        Load {
            hook: Mutex::new(hook),
            pbx,
            calls: AtomicUsize::new(0),
            calls_max: AtomicUsize::new(CALLS_PER_LIFE),
            ledger: Ledger::default(),
            announced: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    fn run(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let number = self.calls.fetch_add(1, Ordering::SeqCst);
            wait_for(
                "there is to be another call",
                Duration::from_secs(20),
                || {
                    number < self.calls_max.load(Ordering::SeqCst)
                        || self.is_over.load(Ordering::SeqCst)
                },
            );
            self.call(number);
        }
    }

    fn call(&self, number: usize) {
        let call = format!("2303071200{:02}_{number}", number % 60);
        let recording = format!("{call}-1-1");
        let fine = Answer::ok(audio(AUDIO)).drip(2048, Duration::from_millis(5));
        let bytes = audio(AUDIO).len();
        let answers = match number % 6 {
            0 => vec![Answer::status(404), fine],
            1 => vec![Answer::status(503), Answer::hang_up(), fine],
            2 => vec![Answer::ok("<html>Sign in</html>"), fine],
            3 => vec![Answer::audio(AUDIO).cut(bytes / 2), fine],
            _ => vec![fine],
        };
        self.pbx.script(&recording, answers);
        let leg = format!("{call}-1");
        self.deliver(
            json!({"Event": "ringing", "Callerid": "05552221133", "User": "117",
            "Usertype": "ext", "Id": format!("{call}-0")}),
        );
        self.deliver(
            json!({"Event": "incomingcall_started", "Callerid": "05552221133",
            "User": "117", "Trtype": "NotDef", "Id": leg}),
        );
        self.deliver(
            json!({"Event": "incoming", "Callerid": "05552221133", "User": "117",
            "Finishtype": "Ok", "Transfer": "False", "Duration": "00:04", "Id": leg}),
        );
        let recorded = self.deliver(json!({"Event": "recording", "FileUrls": [url(&recording)],
            "Callerid": "05552221133", "User": "117", "Id": leg}));
        if recorded {
            self.announced.lock().unwrap().insert(recording);
        }
    }

    /// Twice, as a mirror would; says whether it was acknowledged at all.
    fn deliver(&self, event: serde_json::Value) -> bool {
        let request = Request::post(target("hq"), "application/json", event.to_string());
        let send = || {
            let hook = *self.hook.lock().unwrap();
            let is_acknowledged = self.ledger.send(hook, &request);
            if !is_acknowledged {
                self.wait_for_another(hook);
            }
            is_acknowledged
        };
        let first = send();
        send() || first
    }

    /// A PBX does not send again, but its calls do not all fall into one gap either.
    fn wait_for_another(&self, hook: SocketAddr) {
        wait_for("the service is back", Duration::from_secs(20), || {
            *self.hook.lock().unwrap() != hook || self.is_over.load(Ordering::SeqCst)
        });
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The same moments again with the seed that was printed, in `CALLVAULT_TEST_SEED`.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let given = std::env::var("CALLVAULT_TEST_SEED").ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = given.map_or(now.as_nanos() as u64, |seed| seed.parse().unwrap());
        eprintln!("CALLVAULT_TEST_SEED={seed}");
        Dice(seed | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
