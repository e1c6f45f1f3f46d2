//! Deliveries that were turned away, counted by reason and peer: a PBX whose address or secret
//! changed is a silent loss otherwise.

use rusqlite::params;

use super::{Error, Tx, execute};
use crate::model::time::UtcMs;

/// In place of a peer that is not named.
pub const OTHERS: &str = "others";
/// Of a reason, by name; more are counted as one, so that strangers cannot fill the index.
const PEERS_MAX: u32 = 1000;

pub fn add(tx: &mut Tx, reason: &str, peer: &str, count: u64, now: UtcMs) -> Result<(), Error> {
    let sql = "INSERT INTO refusal (reason, peer, count, first_ms, last_ms) \
        SELECT ?1, CASE WHEN (SELECT count(*) FROM refusal WHERE reason = ?1) < ?5 \
                OR EXISTS (SELECT 1 FROM refusal WHERE reason = ?1 AND peer = ?2) \
            THEN ?2 ELSE ?6 END, ?3, ?4, ?4 WHERE true \
        ON CONFLICT DO UPDATE SET count = count + excluded.count, last_ms = excluded.last_ms";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    execute(
        tx,
        "count refused deliveries",
        sql,
        params![reason, peer, count, now.0, PEERS_MAX, OTHERS],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Store, all};
    use super::*;

    #[tokio::test]
    async fn strangers_beyond_a_number_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("index.sqlite")).unwrap();
        let counted = store.write(|tx| {
            for peer in (0..PEERS_MAX + 2).chain([0]) {
                add(tx, "wrong_secret", &format!("10.{peer}"), 1, UtcMs(7))?;
            }
            add(tx, "wrong_pbx", "10.0", 1, UtcMs(7))?;
            let sql = "SELECT peer || ' ' || sum(count) FROM refusal \
                WHERE peer IN ('10.0', 'others') OR peer > '10.999' GROUP BY reason, peer";
            all(tx, "read them", sql, [], |row| row.get::<_, String>(0))
        });
        assert_eq!(counted.await.unwrap(), ["10.0 1", "10.0 2", "others 2"]);
    }
}
