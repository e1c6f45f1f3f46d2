//! How long a start takes on a large index. A soak makes it a million events. Printed, never
//! demanded.

use std::time::{Duration, Instant};

use rusqlite::Connection as Index;

use crate::support::calls::post_corpus;
use crate::support::pbx::Pbx;
use crate::support::service::Setup;
use crate::support::soak::is_soak;
use crate::support::wait::wait_for;

/// Every event is of one of a fifth as many calls; a call has a recording, archived but for those
/// that are open: most are due, some not yet, and eight, the oldest, leased to a life that ended.
const SEED: &str = "
PRAGMA synchronous = OFF;
PRAGMA cache_size = -262144;
BEGIN;
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :events)
INSERT INTO delivery (seq, pbx, received_ms, live, method, content_type, raw, raw_key)
    SELECT 1000 + n, 'hq', :now - (:events - n) * 20000, 1, 'POST', 'application/json',
        CAST(json_object('Event', 'ended', 'Id', printf('220101%06d_%d-1', n % 240000, n / 5),
            'Nth', n, 'Caller', '05552221133', 'Filler', hex(randomblob(120))) AS BLOB), random()
    FROM n;
INSERT INTO call (id, pbx, call, direction, did, started_ms, started_local, outcome, known,
        sorted_ms, local_ms, longest_s, shortest_s)
    SELECT 1000 + seq / 5, 'hq', printf('220101%06d_%d', seq / 5 % 240000, seq / 5), 'incoming',
        'DID-420222000300', received_ms, '2022-01-01T00:00:00', 'answered', 1, received_ms,
        received_ms, 60, 60
    FROM delivery WHERE seq > 1000 AND seq % 5 = 0;
INSERT INTO leg (call_id, leg, name, extension, answered_ms, ended_ms, duration_s, end_is_certain)
    SELECT id, 1, call || '-1', '117', started_ms, started_ms + 60000, 60, 1
    FROM call WHERE id > 1000;
INSERT INTO reading (seq, item, kind, call, leg, repaired)
    SELECT seq, 0, 'ended', printf('220101%06d_%d', seq / 5 % 240000, seq / 5), 1, 0
    FROM delivery WHERE seq > 1000;
INSERT INTO call_delivery (call_id, seq)
    SELECT d.seq / 5 + 1000, d.seq FROM delivery d JOIN call c ON c.id = d.seq / 5 + 1000
    WHERE d.seq > 1000;
INSERT INTO recording (pbx, recording, call, leg, part, dated, announced_ms, announced_seq,
        source_url, fetch_path, state, due_ms, lease_ms, attempt, window_ms, skipped_ms, original_sha256,
        original_bytes, object_key, object_sha256, object_bytes, media_ms, archived_ms, sorted_ms,
        local_ms, ambiguous_hour, extension, direction, outcome, duration_s)
    SELECT 'hq', c.call || '-1-1', c.call, 1, 1, '2022-01-01', c.started_ms, 5 * (c.id - 1000),
        'https://pbx.example/webapi/recording/' || c.call || '-1-1.mp3',
        '/webapi/recording/' || c.call || '-1-1.mp3',
        iif(open, 'pending', 'archived'), iif(open, iif(c.id % 10, :now, :now + 3600000), NULL),
        iif(open AND c.id <= (SELECT max(id) FROM call) - :open + 8, :now + 3600000, NULL), 1, c.started_ms, 0,
        iif(open, NULL, randomblob(32)), iif(open, NULL, 16000),
        iif(open, NULL, 'hq/2022/01/01/' || c.call || '-1-1.mp3'),
        iif(open, NULL, randomblob(32)), iif(open, NULL, 17000), iif(open, NULL, 60000),
        iif(open, NULL, c.started_ms + 9000), c.started_ms, c.started_ms, 0, '117', 'incoming',
        'answered', 60
    FROM (SELECT *, id > (SELECT max(id) FROM call) - :open AS open FROM call WHERE id > 1000) c;
UPDATE progress SET correlated = (SELECT max(seq) FROM delivery);
COMMIT;
ANALYZE;
";

#[test]
fn a_large_index_is_ready_soon() {
    // A sample otherwise: that it starts at all, and goes on.
    let (events, open) = match is_soak() {
        true => (1_000_000, 10_000),
        false => (5_000, 200),
    };
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", 10);
    assert!(service.terminate().status.success());
    let now = jiff::Timestamp::now().as_millisecond();
    let seed = [(":events", events), (":open", open), (":now", now)];
    let seed = seed.iter().fold(SEED.to_owned(), |sql, (name, value)| {
        sql.replace(name, &value.to_string())
    });
    let index = Index::open(service.data_dir().join("index.sqlite")).unwrap();
    index.execute_batch(&seed).unwrap();
    drop(index);
    let pending = "SELECT count(*) FROM recordings WHERE state = 'pending'";
    assert_eq!(service.number(pending), open);
    let leased = "SELECT recording FROM recording WHERE lease_ms IS NOT NULL ORDER BY announced_ms";
    let index = service.index();
    let leased: Vec<String> = (index.prepare(leased).unwrap())
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!leased.is_empty());

    let began = Instant::now();
    service.restart();
    let ready = began.elapsed();
    wait_for(
        "a job that was interrupted runs",
        Duration::from_secs(120),
        || {
            leased
                .iter()
                .any(|recording| !pbx.requests_of(recording).is_empty())
        },
    );
    eprintln!(
        "{events} events, {open} open jobs: ready after {} ms, first interrupted job after {} ms",
        ready.as_millis(),
        began.elapsed().as_millis(),
    );
}
