//! Death at every named point: at its first, its second and its last pass, and once more while the
//! next life recovers.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::thread;

use callvault::failpoint::Point;

use super::scenario::{Life, Story};
use crate::support::soak::{is_soak, tell};
use crate::support::vault::{Vault, on_both_stores};

on_both_stores!(i1_to_i5_hold_after_death_at_every_point);

const PLAN: &str = "CALLVAULT_FAILPOINT";
const TALLY: &str = "CALLVAULT_FAILPOINT_TALLY";
/// Stories told at the same time.
const TELLERS: usize = 3;
/// Of the second life: what a start does before there is anything new to do.
const OF_RECOVERY: [&str; 6] = [
    "before-lease-release",
    "after-lease-release",
    "after-set-aside",
    "before-spool-sweep",
    "after-spool-sweep",
    "after-commit",
];

/// `name:nth` of the first life, and of the second.
type Deaths = (String, String);

fn i1_to_i5_hold_after_death_at_every_point(vault: &Vault) {
    let mut reference = Story::new(vault, "reference");
    let tally = reference.service.dir().join("tally");
    let path = tally.to_str().unwrap().to_owned();
    reference.service.set_env(TALLY, Some(&path));
    assert_eq!(reference.live(), Life::Settled);
    reference.service.terminate();
    let expected = reference.end_state();
    let tally = fs::read_to_string(&tally).unwrap();
    let passes = passes(&tally);

    let deaths = Mutex::new(deaths(vault, &passes));
    let total = deaths.lock().unwrap().len();
    thread::scope(|scope| {
        for _ in 0..TELLERS {
            scope.spawn(|| {
                while let Some((nth, death)) = next(&deaths) {
                    let state = die_at(vault, &format!("death-{nth}"), &death);
                    assert_eq!(state, expected, "{death:?}");
                }
            });
        }
    });
    let promise = format!(
        "I1 to I5 after death at each of {} points, {}",
        passes.len(),
        vault.kind()
    );
    tell(&promise, total, "-");
}

fn next(deaths: &Mutex<Vec<Deaths>>) -> Option<(usize, Deaths)> {
    let mut deaths = deaths.lock().unwrap();
    let death = deaths.pop()?;
    Some((deaths.len(), death))
}

fn passes(tally: &str) -> BTreeMap<&str, usize> {
    let mut passes = BTreeMap::new();
    for name in tally.lines() {
        *passes.entry(name).or_default() += 1;
    }
    passes
}

/// Each point once, at its first, second or last pass in turn; all of that, and twice the deaths in
/// recovery, in a soak.
fn deaths(vault: &Vault, passes: &BTreeMap<&str, usize>) -> Vec<Deaths> {
    let is_soak = is_soak();
    let mut deaths = Vec::new();
    for (at, point) in Point::ALL.iter().enumerate() {
        let name = point.name();
        let of_directories = name.contains("-object-");
        let Some(&count) = passes.get(name.as_str()) else {
            let elsewhere = matches!(vault, Vault::Bucket(_)) && of_directories;
            assert!(elsewhere, "{name}: the story never comes by");
            continue;
        };
        if matches!(vault, Vault::Bucket(_)) && !is_soak && !is_of_the_store(&name) {
            continue;
        }
        let mut nths = vec![1, 2.min(count), count];
        nths.dedup();
        let again = format!("{name}:1");
        let recovery = OF_RECOVERY.map(|name| format!("{name}:1"));
        if is_soak {
            for nth in nths {
                deaths.push((format!("{name}:{nth}"), again.clone()));
                deaths.push((
                    format!("{name}:{nth}"),
                    recovery[at % recovery.len()].clone(),
                ));
            }
        } else {
            let nth = nths[at % nths.len()];
            let second = if at % 2 == 0 {
                again
            } else {
                recovery[at / 2 % recovery.len()].clone()
            };
            deaths.push((format!("{name}:{nth}"), second));
        }
    }
    deaths
}

fn is_of_the_store(name: &str) -> bool {
    ["-put", "-prove", "-manifest", "-index", "-release"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Dies in the first life and, if it comes by there, in the second; the third is left alone.
fn die_at(
    vault: &Vault,
    corner: &str,
    (first, second): &Deaths,
) -> BTreeMap<&'static str, Vec<serde_json::Value>> {
    let mut story = Story::new(vault, corner);
    story.service.set_env(PLAN, Some(first));
    let life = story.live();
    // How often it comes by late in a story is a matter of batches.
    let is_certain = first.ends_with(":1");
    assert!(life == Life::Cut || !is_certain, "{first}: survived");
    story.service.kill();
    story.service.set_env(PLAN, Some(second));
    story.live();
    story.service.kill();
    story.service.set_env(PLAN, None);
    assert_eq!(story.live(), Life::Settled, "{first}, {second}");
    story.assert_nothing_lost_or_doubled();
    story.end_state()
}
