//! How fast a large archive is searched and heard: a seeded index of N recordings by the real
//! schema and the store's own functions, then every filter through the library, the API and the
//! page of the real binary, the verb `search` as a whole process, and audio.
//!
//! `cargo bench --bench archive -- [RECORDINGS [DIRECTORY [FILTER…]]]`: 1,000,000 by default; a
//! directory is kept, and an index that it holds already is measured again without being made anew;
//! of filters that are named nothing but the library is measured. Prints the tables of
//! docs/performance.md. Never here: an assertion; machines differ.

mod audio;
mod filters;
mod seed;
mod served;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callvault::catalog;
use callvault::store::{Reader, Store};

/// Times of one kind, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    /// Runs `each` until it was run often enough, or for long enough.
    pub fn measure<T>(most: usize, mut each: impl FnMut(usize) -> T) -> (Times, T) {
        const LONG_ENOUGH: Duration = Duration::from_secs(4);
        let began = Instant::now();
        let mut times = Vec::new();
        loop {
            let at = Instant::now();
            let answer = each(times.len());
            times.push(at.elapsed());
            if times.len() >= most || began.elapsed() > LONG_ENOUGH {
                times.sort();
                return (Times(times), answer);
            }
        }
    }

    pub fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    pub fn ms(&self, percent: usize) -> String {
        let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        let ms = self.0[at].as_secs_f64() * 1000.0;
        format!("{ms:.1}")
    }

    pub fn cells(&self) -> String {
        format!("{} | {} | {}", self.ms(50), self.ms(95), self.ms(99))
    }
}

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let count = given.first().map_or(Ok(1_000_000), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let kept = given.get(1).map(PathBuf::from);
    let directory = kept.as_deref().unwrap_or(temporary.path());
    let index = directory.join("data/index.sqlite");
    let runtime = tokio::runtime::Runtime::new()?;
    if !index.exists() {
        std::fs::create_dir_all(directory.join("data"))?;
        runtime.block_on(seed::seed(&Store::open(&index)?, count))?;
    }
    let mut cases = filters::cases(&Reader::open(&index)?)?;
    if let Some(named) = given.get(2..).filter(|named| !named.is_empty()) {
        cases.retain(|case| named.iter().any(|name| name == case.name));
        return library(&index, &cases);
    }
    let sql = "SELECT count(*) FROM call";
    let calls: i64 = Reader::open(&index)?.query_row(sql, [], |row| row.get(0))?;
    runtime.block_on(seed::rates(&Store::open(&index)?, calls as u64, count))?;
    let bytes = std::fs::metadata(&index)?.len() >> 20;
    println!("Index of {bytes} MiB.\n");
    library(&index, &cases)?;
    runtime.block_on(served::measure(directory, &cases))
}

fn library(index: &Path, cases: &[filters::Case]) -> anyhow::Result<()> {
    let reader = Reader::open(index)?;
    println!("Library, pages of 100, in ms:\n");
    println!("| filter | recordings p50 | p95 | p99 | rows | calls p50 | p95 | p99 | rows |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        let (recordings, some) = Times::measure(300, |nth| {
            catalog::recordings(&reader, &case.filter(nth)).map(|rows| rows.len())
        });
        let (calls, other) = Times::measure(300, |nth| {
            catalog::calls_with_standings(&reader, &case.filter(nth)).map(|rows| rows.len())
        });
        println!(
            "| {} | {} | {} | {} | {} |",
            case.name,
            recordings.cells(),
            some?,
            calls.cells(),
            other?,
        );
    }
    Ok(())
}
