//! Tokens: who may ask the archive over HTTP. Only a token's SHA-256 is kept.

use rusqlite::{Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::custody::{self, Entry};
use super::{Db, Error, Tx, all, execute, first, parsed};
use crate::model::access::{Role, Scope};
use crate::model::digest::Digest;
use crate::model::id::PbxName;
use crate::model::time::UtcMs;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct New {
    pub name: String,
    pub person: String,
    pub role: Role,
    pub scope: Scope,
    pub expires: Option<UtcMs>,
    pub sha256: Digest,
}

/// A token as people see it: never the token itself.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TokenRow {
    pub name: String,
    pub person: String,
    #[schemars(with = "String")]
    pub role: Role,
    #[schemars(with = "Option<String>")]
    pub pbx: Option<PbxName>,
    pub extensions: Vec<String>,
    #[schemars(with = "String")]
    pub created_at: UtcMs,
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<UtcMs>,
    #[schemars(with = "Option<String>")]
    pub revoked_at: Option<UtcMs>,
    #[schemars(with = "Option<String>")]
    pub last_used_at: Option<UtcMs>,
}

impl TokenRow {
    pub fn scope(&self) -> Scope {
        Scope {
            pbx: self.pbx.clone(),
            extensions: self.extensions.clone(),
        }
    }

    /// Tokens are bound to a person; which of theirs it was is said too.
    pub fn actor(&self) -> String {
        format!("{} ({})", self.person, self.name)
    }

    /// Whether it opens anything at this time.
    pub fn is_valid(&self, now: UtcMs) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

/// Makes a token; false where the name is taken. Who made it for whom is a custody entry.
pub fn add(tx: &mut Tx, new: &New, actor: &str, now: UtcMs) -> Result<bool, Error> {
    let sql = "INSERT OR IGNORE INTO token (name, person, role, pbx, extensions, sha256, \
        created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = params![
        new.name,
        new.person,
        new.role.as_str(),
        new.scope.pbx.as_ref().map(PbxName::as_str),
        serde_json::json!(new.scope.extensions).to_string(),
        new.sha256.as_bytes(),
        now.0,
        new.expires.map(|expires| expires.0),
    ];
    if execute(tx, "make a token", sql, row)? == 0 {
        return Ok(false);
    }
    let detail = format!("for {} as {}", new.person, new.role);
    enter(tx, "token made", &new.name, actor, detail, now)?;
    Ok(true)
}

/// Ends a token for good; false where there is none of this name that still opens anything.
pub fn revoke(tx: &mut Tx, name: &str, actor: &str, now: UtcMs) -> Result<bool, Error> {
    let sql = "UPDATE token SET revoked_ms = ?2 WHERE name = ?1 AND revoked_ms IS NULL";
    let revoked = execute(tx, "revoke a token", sql, params![name, now.0])? == 1;
    if revoked {
        enter(tx, "token revoked", name, actor, String::new(), now)?;
    }
    Ok(revoked)
}

pub(super) fn enter(
    tx: &mut Tx,
    act: &'static str,
    name: &str,
    actor: &str,
    detail: String,
    now: UtcMs,
) -> Result<(), Error> {
    let entry = Entry {
        actor: actor.to_owned(),
        detail: Some(detail).filter(|detail| !detail.is_empty()),
        ..Entry::of_service(now, act, &format!("token/{name}"))
    };
    custody::append(tx, &entry)
}

const COLUMNS: &str = "name, person, role, pbx, extensions, created_ms, expires_ms, revoked_ms, \
    last_used_ms";

pub fn list(db: &Db) -> Result<Vec<TokenRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM token ORDER BY name");
    all(db, "list tokens", &sql, [], token)
}

/// The token of this digest, valid or not.
pub fn find(db: &Db, sha256: Digest) -> Result<Option<TokenRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM token WHERE sha256 = ?1");
    first(db, "look for a token", &sql, [sha256.as_bytes()], token)
}

pub fn named(db: &Db, name: &str) -> Result<Option<TokenRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM token WHERE name = ?1");
    first(db, "look for a token", &sql, [name], token)
}

/// Notes that a token was used, to the minute.
pub fn used(tx: &mut Tx, name: &str, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE token SET last_used_ms = ?2 \
        WHERE name = ?1 AND coalesce(last_used_ms, 0) < ?2 - 60000";
    execute(tx, "note a token's use", sql, params![name, now.0])?;
    Ok(())
}

fn token(row: &Row) -> rusqlite::Result<TokenRow> {
    let role: String = row.get(2)?;
    let pbx: Option<String> = row.get(3)?;
    let moment = |ms: Option<i64>| ms.map(UtcMs);
    Ok(TokenRow {
        name: row.get(0)?,
        person: row.get(1)?,
        role: Role::from_word(&role).ok_or_else(|| {
            let what = format!("{role:?} is no role").into();
            rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, what)
        })?,
        pbx: pbx.map(parsed).transpose()?,
        extensions: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
        created_at: UtcMs(row.get(5)?),
        expires_at: moment(row.get(6)?),
        revoked_at: moment(row.get(7)?),
        last_used_at: moment(row.get(8)?),
    })
}
