//! Links that sign the person of a token in, once and soon. Only a link's SHA-256 is kept.
//!
//! Never here: what a link looks like, or the session that it opens.

use rusqlite::params;

use super::tokens::{self, TokenRow};
use super::{Db, Error, Tx, execute, first};
use crate::model::digest::Digest;
use crate::model::time::UtcMs;

/// Makes a link good until then. Who made it for which token is a custody entry.
pub fn add(
    tx: &mut Tx,
    sha256: Digest,
    token: &str,
    expires: UtcMs,
    (actor, now): (&str, UtcMs),
) -> Result<(), Error> {
    let old = "DELETE FROM sign_in_link WHERE expires_ms <= ?1";
    execute(tx, "forget old sign-in links", old, [now.0])?;
    let sql = "INSERT INTO sign_in_link (sha256, token, expires_ms) VALUES (?1, ?2, ?3)";
    let row = params![sha256.as_bytes(), token, expires.0];
    execute(tx, "make a sign-in link", sql, row)?;
    let detail = format!("good until {expires}");
    tokens::enter(tx, "sign-in link made", token, actor, detail, now)
}

/// The token whose person a link signs in, valid or not; the link stays as it is.
pub fn find(db: &Db, sha256: Digest, now: UtcMs) -> Result<Option<TokenRow>, Error> {
    let sql = "SELECT token FROM sign_in_link WHERE sha256 = ?1 AND expires_ms > ?2";
    let row = params![sha256.as_bytes(), now.0];
    let name = first(db, "look for a sign-in link", sql, row, |row| {
        row.get::<_, String>(0)
    })?;
    name.map_or(Ok(None), |name| tokens::named(db, &name))
}

/// The same, and the link is gone: whoever comes second finds none.
pub fn take(tx: &mut Tx, sha256: Digest, now: UtcMs) -> Result<Option<TokenRow>, Error> {
    let found = find(tx, sha256, now)?;
    let sql = "DELETE FROM sign_in_link WHERE sha256 = ?1";
    execute(tx, "take a sign-in link", sql, [sha256.as_bytes()])?;
    Ok(found)
}
