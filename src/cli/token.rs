//! `callvault token`: who may use the web page and the API.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::{Exit, Trouble, output};
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::access::{Role, Scope, is_extension};
use crate::model::digest::Digest;
use crate::model::id::PbxName;
use crate::model::secret::{Token, digest};
use crate::model::time::UtcMs;
use crate::random;
use crate::store::links;
use crate::store::tokens::{self, New, TokenRow};

/// A link signs in within this time, or never.
pub const LINK_HOLDS: Duration = Duration::from_secs(10 * 60);

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Make a token for a person, and print it once
    Add {
        /// What lists and custody call it: 1 to 64 letters, digits, ., _ and -
        #[arg(value_parser = name)]
        name: String,
        /// The person it is bound to
        #[arg(long, value_parser = person)]
        person: String,
        /// viewer sees, listener hears too, compliance downloads too, approver agrees, admin configures
        #[arg(long, value_parser = role)]
        role: Role,
        /// Only this PBX
        #[arg(long, value_name = "P")]
        pbx: Option<PbxName>,
        /// Only these extensions, each by an option of its own
        #[arg(long = "extension", value_name = "E", value_parser = extension)]
        extensions: Vec<String>,
        /// Valid for so long, such as 90d; for ever otherwise
        #[arg(long, value_name = "D", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Every token, with its last use
    List {
        /// One object a line
        #[arg(long)]
        json: bool,
    },
    /// What should be looked at: tokens never used, unused for 90 days, or valid for ever
    Review {
        /// One object a line
        #[arg(long)]
        json: bool,
    },
    /// End a token for good; what it has open ends at once
    Revoke { name: String },
}

fn name(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    match (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 letters, digits, ., _ and -".to_owned()),
    }
}

fn person(text: &str) -> Result<String, String> {
    let text = text.trim();
    match (1..=200).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err("expected a person's name".to_owned()),
    }
}

fn role(text: &str) -> Result<Role, String> {
    let known = "expected viewer, listener, compliance, approver or admin";
    Role::from_word(text).ok_or_else(|| known.to_owned())
}

fn extension(text: &str) -> Result<String, String> {
    let expected = "expected one extension, such as 117; for more, --extension again";
    is_extension(text)
        .then(|| text.to_owned())
        .ok_or_else(|| expected.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime_serde::re::humantime::parse_duration(text);
    let parsed = parsed.ok().filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "expected a duration, such as 90d".to_owned())
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    match arguments.act {
        Act::Add {
            name,
            person,
            role,
            pbx,
            extensions,
            expires,
        } => {
            if let Some(pbx) = &pbx {
                super::check::known_pbx(settings, pbx)?;
            }
            let now = Clock::system().now();
            let expires = expires.map(|duration| now.plus(duration));
            let who = Who {
                name,
                person,
                role,
                scope: Scope { pbx, extensions },
                expires,
            };
            add(settings, who).await
        }
        Act::List { json } => list(&tokens::list(&*super::reader(settings)?)?, json),
        Act::Review { json } => review(&tokens::list(&*super::reader(settings)?)?, json),
        Act::Revoke { name } => revoke(settings, name).await,
    }
}

/// Whom a token is for, and what it opens.
pub struct Who {
    pub name: String,
    pub person: String,
    pub role: Role,
    pub scope: Scope,
    pub expires: Option<UtcMs>,
}

/// Makes a token and gives its text, the only time that it is known; none where the name is taken.
pub async fn make(settings: &Settings, who: Who) -> anyhow::Result<Option<String>> {
    let token = Token::of(random::bytes().context("make a token")?);
    let new = New {
        sha256: digest(token.reveal()).context("a token that was just made is one")?,
        name: who.name,
        person: who.person,
        role: who.role,
        scope: who.scope,
        expires: who.expires,
    };
    let (actor, now) = (super::actor(), Clock::system().now());
    let store = super::store(settings)?;
    let made = store
        .write(move |tx| tokens::add(tx, &new, &actor, now))
        .await?;
    Ok(made.then(|| token.reveal().to_owned()))
}

/// Makes what a link carries that signs the token's person in, once.
pub async fn link(settings: &Settings, token: String) -> anyhow::Result<String> {
    let code = random::hex::<32>().context("make a link")?;
    let (sha256, actor, now) = (
        Digest::of(code.as_bytes()),
        super::actor(),
        Clock::system().now(),
    );
    let store = super::store(settings)?;
    let expires = now.plus(LINK_HOLDS);
    store
        .write(move |tx| links::add(tx, sha256, &token, expires, (&actor, now)))
        .await?;
    Ok(code)
}

async fn add(settings: &Settings, who: Who) -> anyhow::Result<Exit> {
    let name = who.name.clone();
    let Some(token) = make(settings, who).await? else {
        let error = anyhow!("there is a token {name} already");
        let advice = format!("another name, or callvault token revoke {name}");
        return Err(Trouble::usage(error, advice));
    };
    eprintln!("the token of {name}, shown this once:");
    output::line(&token)?;
    Ok(Exit::Done)
}

async fn revoke(settings: &Settings, name: String) -> anyhow::Result<Exit> {
    let (asked, actor, now) = (name.clone(), super::actor(), Clock::system().now());
    let store = super::store(settings)?;
    let revoked = store
        .write(move |tx| tokens::revoke(tx, &asked, &actor, now))
        .await?;
    match revoked {
        true => {
            output::line(&format!("{name} opens nothing any more"))?;
            Ok(Exit::Done)
        }
        false => Err(Trouble {
            exit: Exit::Failed,
            error: anyhow!("no token {name} is valid"),
            advice: Some("callvault token list".to_owned()),
        }
        .into()),
    }
}

fn list(rows: &[TokenRow], json: bool) -> anyhow::Result<Exit> {
    if json {
        rows.iter().try_for_each(output::json)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        eprintln!("there are no tokens: callvault token add");
        return Ok(Exit::Done);
    }
    let now = Clock::system().now();
    let head = [
        "NAME",
        "PERSON",
        "ROLE",
        "PBX",
        "EXTENSIONS",
        "STATE",
        "EXPIRES",
        "LAST USED",
    ];
    let cells = |row: &TokenRow| {
        let state = match (row.revoked_at, row.is_valid(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "valid",
            (None, false) => "expired",
        };
        let extensions = row.extensions.join(" ");
        vec![
            row.name.clone(),
            row.person.clone(),
            row.role.to_string(),
            row.pbx
                .as_ref()
                .map_or_else(|| "all".to_owned(), |pbx| pbx.to_string()),
            if extensions.is_empty() {
                "all".to_owned()
            } else {
                extensions
            },
            state.to_owned(),
            row.expires_at
                .map_or_else(|| "never".to_owned(), |at| at.to_seconds()),
            row.last_used_at
                .map_or_else(|| "never".to_owned(), |at| at.to_seconds()),
        ]
    };
    output::table(&head, &rows.iter().map(cells).collect::<Vec<_>>())?;
    Ok(Exit::Done)
}

/// Tokens are reviewed now and then: the ones that a person should think about.
fn review(rows: &[TokenRow], json: bool) -> anyhow::Result<Exit> {
    const UNUSED_MAX_MS: i64 = 90 * 86_400_000;
    let now = Clock::system().now();
    let doubts = |row: &TokenRow| {
        let unused_ms = now.0 - row.last_used_at.unwrap_or(row.created_at).0;
        let doubts = [
            (row.last_used_at.is_none(), "never used"),
            (unused_ms > UNUSED_MAX_MS, "unused for 90 days"),
            (row.expires_at.is_none(), "never expires"),
            (
                row.pbx.is_none() && row.extensions.is_empty(),
                "sees everything",
            ),
        ];
        let found = doubts
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, doubt)| doubt);
        found.collect::<Vec<_>>()
    };
    let valid = rows.iter().filter(|row| row.is_valid(now));
    let found: Vec<_> = valid
        .map(|row| (row, doubts(row)))
        .filter(|(_, d)| !d.is_empty())
        .collect();
    for (row, doubts) in &found {
        match json {
            true => output::json(&serde_json::json!({ "token": row, "doubts": doubts }))?,
            false => output::line(&format!(
                "{} ({}, {}): {}",
                row.name,
                output::printable(&row.person),
                row.role,
                doubts.join(", ")
            ))?,
        }
    }
    if found.is_empty() {
        eprintln!("no token need be looked at");
    }
    Ok(Exit::Done)
}
