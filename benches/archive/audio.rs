//! Hearing: the first byte of a recording, and what many listeners cost in memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::Times;
use crate::served::Served;

const LARGE_BYTES: usize = 64 * 1024 * 1024;
const LISTENERS: usize = 10;
/// The large one is of another name than any that is seeded, the small ones are seeded.
const LARGE: &str = "u-00000000000000ff";
const SMALL: usize = 20;

/// Puts objects behind some of the newest recordings, one of them large.
pub fn prepare(directory: &Path) -> anyhow::Result<()> {
    let db = rusqlite::Connection::open(directory.join("data/index.sqlite"))?;
    db.busy_timeout(Duration::from_secs(10))?;
    let copy = format!(
        "UPDATE recording SET recording = '{LARGE}', object_key = 'hq/{LARGE}.mp3' WHERE id = \
         (SELECT id FROM recording WHERE pbx = 'hq' AND state = 'archived' AND call IS NULL \
          AND NOT EXISTS (SELECT 1 FROM recording WHERE recording = '{LARGE}') LIMIT 1)"
    );
    db.execute(&copy, [])?;
    put(directory, &db, LARGE, &vec![0x55; LARGE_BYTES])?;
    for name in small(&db)? {
        put(directory, &db, &name, &vec![0x55; 240_000])?;
    }
    Ok(())
}

fn small(db: &rusqlite::Connection) -> anyhow::Result<Vec<String>> {
    let sql = format!(
        "SELECT recording FROM recording WHERE pbx = 'hq' AND state = 'archived' \
         AND call IS NOT NULL ORDER BY sorted_ms DESC, recording DESC LIMIT {SMALL}"
    );
    let mut names = db.prepare(&sql)?;
    let names = names.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn put(
    directory: &Path,
    db: &rusqlite::Connection,
    name: &str,
    bytes: &[u8],
) -> anyhow::Result<()> {
    let sql = "UPDATE recording SET object_bytes = ?2, object_sha256 = ?3 WHERE recording = ?1 \
        AND pbx = 'hq' RETURNING object_key";
    let sha256: [u8; 32] = Sha256::digest(bytes).into();
    let key = rusqlite::params![name, bytes.len() as i64, sha256];
    let key: String = db.query_row(sql, key, |row| row.get(0))?;
    let path = directory.join("archive").join(key);
    std::fs::create_dir_all(path.parent().context("a parent")?)?;
    std::fs::write(path, bytes)?;
    Ok(())
}

pub async fn measure(served: &Served) -> anyhow::Result<()> {
    let listed: serde_json::Value =
        serde_json::from_slice(&newest(served).await?).context("a page")?;
    let ids = listed["items"].as_array().context("items")?.iter();
    let ids: Vec<&str> = ids.filter_map(|row| row["recording"].as_str()).collect();
    let mut times = Vec::new();
    while times.len() < 300 {
        let id = ids[times.len() % ids.len()];
        let at = Instant::now();
        let mut heard = hear(served, id).await?;
        heard.chunk().await?.context("a first byte")?;
        times.push(at.elapsed());
        while heard.chunk().await?.is_some() {}
    }
    let times = Times::of(times);
    println!("\nFirst byte of audio, 300 requests, directory as store, in ms:\n");
    println!("| p50 | p95 | p99 |\n|---|---|---|\n| {} |", times.cells());

    let large = format!("hq/{LARGE}");
    let before = resident_kib(served)?;
    let mut listening = Vec::new();
    for _ in 0..LISTENERS {
        let mut heard = hear(served, &large).await?;
        heard.chunk().await?.context("a first byte")?;
        listening.push(heard);
    }
    let mut most = resident_kib(served)?;
    let mut open = LISTENERS;
    while open > 0 {
        open = 0;
        for heard in &mut listening {
            open += usize::from(heard.chunk().await?.is_some());
        }
        most = most.max(resident_kib(served)?);
    }
    println!(
        "\n{LISTENERS} listeners at once of {} MiB: {:.1} MiB resident before, {:.1} MiB at most.",
        LARGE_BYTES >> 20,
        before as f64 / 1024.0,
        most as f64 / 1024.0,
    );
    Ok(())
}

async fn newest(served: &Served) -> anyhow::Result<Vec<u8>> {
    let path = format!("/api/v1/recordings?pbx=hq&state=archived&limit={SMALL}");
    let page = served.get(&path).send().await?;
    Ok(page.bytes().await?.to_vec())
}

async fn hear(served: &Served, id: &str) -> anyhow::Result<reqwest::Response> {
    let request = served.get(&format!("/api/v1/recordings/{id}/audio"));
    let response = request.header("X-Callvault-Reason", "bench").send().await?;
    anyhow::ensure!(response.status() == 200, "{id}: {}", response.status());
    Ok(response)
}

fn resident_kib(served: &Served) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("VmRSS")?.trim().parse()?)
}
